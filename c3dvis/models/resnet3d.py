"""R3D, MC3 and R(2+1)D: 18-layer residual networks that differ in how they convolve over time."""

from __future__ import annotations

import os
from collections.abc import Callable

import keras
from keras import layers

from c3dvis.models.builder_parts import (
    check_channels,
    check_numbers,
    checked_shape,
    finished,
    precise,
    scaled,
)
from c3dvis.models.loading import locate
from c3dvis.models.residual import (
    Size,
    Standardize,
    added,
    convolution,
    normalized,
    stages,
)

# Of the Kinetics-400 clips that the released weights were trained on: red, green, blue in [0, 1].
KINETICS_MEANS = (0.43216, 0.394666, 0.37645)
KINETICS_DEVIATIONS = (0.22803, 0.22145, 0.216989)
# The layer that a network without its top does not have.
CLASSIFIER = "fc"

_CHANNELS = (64, 128, 256, 512)
_STEM_SPATIAL_CHANNELS = 45  # of the 1x7x7 half of R(2+1)D's first convolution
_BLOCKS = 2

# A way to convolve: (x, name, channels, channels of the block's input, strides) to the output.
Convolve = Callable[..., "keras.KerasTensor"]


def R3D(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 400,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "r3d",
    *,
    width: float = 1.0,
) -> keras.Model:
    """R3D-18: a residual network of 3x3x3 convolutions.

    Layers have the names of torchvision's state dict: `stem.0` (convolution), `stem.1` (batch
    normalization), `stem.2` (ReLU), `layer1.0.conv1.0`, ..., `layer4.1.conv2.1`, `fc`. A block's
    output is its last ReLU, `layer1.0` to `layer4.1`. `stem` and `layer1` to `layer4` are the
    outputs of whole stages: layers that hand on their last block unchanged. The full network has
    33,371,472 trainable parameters.

    Args:
        include_top: Whether to end in `avgpool` and `fc`; without them the output is `layer4`.
        weights: None for random initial weights, the name of weights that come with the package,
            or a path to a weight file of any format that `c3dvis.models.load_weights` reads, such
            as torchvision's `r3d_18-b3b3357e.pth`.
        input_shape: `(T, H, W, C)`; `(16, 112, 112, 3)` if None. T, H and W may be any, or None.
        classes: Number of classes; Kinetics has 400.
        classifier_activation: Activation of `fc`; None for logits.
        include_preprocessing: Whether the network takes RGB in [0, 1] and standardizes it
            (`Standardize`). If False, it takes standardized clips, with any C.
        name: Name of the model.
        width: Factor of the channels of all convolutions.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)` to class scores `(N, classes)`, or to
        `(N, t, h, w, channels)` without the top.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> network = models.R3D(width=0.05, input_shape=(8, 32, 32, 3), classes=10)
        >>> network.get_layer("layer4").output.shape
        (None, 1, 2, 2, 26)

    Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
    https://arxiv.org/abs/1711.11248
    """
    arguments = (include_top, weights, input_shape, classes, classifier_activation)
    return _network(*arguments, include_preprocessing, name, width, _whole_stem, (_whole,) * 4)


def MC3(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 400,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "mc3",
    *,
    width: float = 1.0,
) -> keras.Model:
    """MC3-18: mixed convolutions, 3x3x3 in the stem and `layer1`, 1x3x3 from `layer2` on.

    Past the stem no stride is taken in time: `layer4` still has a place for every frame. Layers
    are named as in `R3D`. The full network has 11,695,440 trainable parameters.

    Args:
        include_top: As in `R3D`, like all arguments.
        weights: torchvision's file is `mc3_18-a90a0ba3.pth`.
        input_shape: `(T, H, W, C)`; `(16, 112, 112, 3)` if None.
        classes: Number of classes.
        classifier_activation: Activation of `fc`.
        include_preprocessing: Whether the network takes RGB in [0, 1].
        name: Name of the model.
        width: Factor of the channels of all convolutions.

    Returns:
        A `keras.Model`, as `R3D`.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> network = models.MC3(width=0.05, input_shape=(8, 32, 32, 3), classes=10)
        >>> network.get_layer("layer4").output.shape
        (None, 8, 2, 2, 26)

    Tran et al. 2018, https://arxiv.org/abs/1711.11248
    """
    arguments = (include_top, weights, input_shape, classes, classifier_activation)
    convolutions = (_whole, _spatial, _spatial, _spatial)
    return _network(*arguments, include_preprocessing, name, width, _whole_stem, convolutions)


def R2Plus1D(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 400,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "r2plus1d",
    *,
    width: float = 1.0,
) -> keras.Model:
    """R(2+1)D-18: each convolution is one over space, 1x3x3, and then one over time, 3x1x1.

    Between the two there are batch normalization, ReLU, and as many channels as give the pair the
    parameters of the 3x3x3 convolution they stand for. Layers are named as in torchvision's state
    dict: `stem.0` to `stem.5`; `layer1.0.conv1.0.0` (over space), `layer1.0.conv1.0.1` and `.0.2`
    (batch normalization and ReLU), `layer1.0.conv1.0.3` (over time); the rest as in `R3D`. The
    full network has 31,505,325 trainable parameters.

    Args:
        include_top: As in `R3D`, like all arguments.
        weights: torchvision's file is `r2plus1d_18-91a641e6.pth`.
        input_shape: `(T, H, W, C)`; `(16, 112, 112, 3)` if None.
        classes: Number of classes.
        classifier_activation: Activation of `fc`.
        include_preprocessing: Whether the network takes RGB in [0, 1].
        name: Name of the model.
        width: Factor of the channels of all convolutions.

    Returns:
        A `keras.Model`, as `R3D`.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> network = models.R2Plus1D(width=0.05, input_shape=(8, 32, 32, 3), classes=10)
        >>> network.get_layer("layer4.1.conv2.0.0").filters
        58

    Tran et al. 2018, https://arxiv.org/abs/1711.11248
    """
    arguments = (include_top, weights, input_shape, classes, classifier_activation)
    convolutions = (_factored,) * 4
    return _network(*arguments, include_preprocessing, name, width, _factored_stem, convolutions)


def from_pytorch(name: str) -> tuple[str, str] | None:
    """The layer, and its weight in PyTorch's terms, for a tensor of torchvision's state dict."""
    layer, _, weight = name.rpartition(".")
    return (layer, weight) if layer else None


def _network(
    include_top: bool,
    weights,
    input_shape,
    classes: int,
    classifier_activation,
    include_preprocessing: bool,
    name: str,
    width: float,
    stem: Convolve,
    convolutions: tuple[Convolve, ...],
) -> keras.Model:
    check_numbers(classes, width)
    input_shape = checked_shape(input_shape, (16, 112, 112, 3))
    if include_preprocessing:
        check_channels(input_shape, 3, ", red, green and blue")
    path = locate(weights)  # a wrong name is refused before building
    inputs = layers.Input(input_shape, name="clip")
    x = inputs
    if include_preprocessing:
        constants = (KINETICS_MEANS, KINETICS_DEVIATIONS)
        x = Standardize(*constants, name="standardize", dtype=precise())(x)
    x = layers.Identity(name="stem")(stem(x, width))
    kinds = zip(_CHANNELS, convolutions, strict=True)
    x = stages(x, ((_BLOCKS, scaled(n, width), convolve) for n, convolve in kinds), _block)
    if include_top:
        x = layers.GlobalAveragePooling3D("channels_last", name="avgpool")(x)
        x = layers.Dense(int(classes), classifier_activation, name="fc", dtype=precise())(x)
    return finished(inputs, x, name, path)


def _whole_stem(x, width: float):
    x = convolution(x, "stem.0", scaled(_CHANNELS[0], width), (3, 7, 7), (1, 2, 2))
    return layers.ReLU(name="stem.2")(normalized(x, "stem.1"))


def _factored_stem(x, width: float):
    x = convolution(x, "stem.0", scaled(_STEM_SPATIAL_CHANNELS, width), (1, 7, 7), (1, 2, 2))
    x = layers.ReLU(name="stem.2")(normalized(x, "stem.1"))
    x = convolution(x, "stem.3", scaled(_CHANNELS[0], width), (3, 1, 1))
    return layers.ReLU(name="stem.5")(normalized(x, "stem.4"))


def _block(x, name: str, channels: int, convolve: Convolve, stride: int):
    """Two convolutions and what goes past them."""
    shortcut, entering = x, x.shape[-1]
    strides = (1 if convolve is _spatial else stride, stride, stride)
    x = convolve(x, f"{name}.conv1.0", channels, entering, strides)
    x = layers.ReLU(name=f"{name}.conv1.2")(normalized(x, f"{name}.conv1.1"))
    x = convolve(x, f"{name}.conv2.0", channels, entering, (1, 1, 1))
    x = normalized(x, f"{name}.conv2.1")
    return added(x, shortcut, name, strides)


def _whole(x, name: str, channels: int, entering: int, strides: Size):
    return convolution(x, name, channels, (3, 3, 3), strides)


def _spatial(x, name: str, channels: int, entering: int, strides: Size):
    return convolution(x, name, channels, (1, 3, 3), strides)


def _factored(x, name: str, channels: int, entering: int, strides: Size):
    # The channels in between follow from the input of the block, for its second pair as well,
    # whose own input may be wider.
    between = (entering * channels * 27) // (entering * 9 + channels * 3)
    x = convolution(x, f"{name}.0", between, (1, 3, 3), (1, *strides[1:]))
    x = layers.ReLU(name=f"{name}.2")(normalized(x, f"{name}.1"))
    return convolution(x, f"{name}.3", channels, (3, 1, 1), (strides[0], 1, 1))
