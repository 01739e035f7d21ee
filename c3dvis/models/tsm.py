"""TSM: a residual network of 2-D convolutions that sees motion by shifting channels in time."""

from __future__ import annotations

import os

import keras
from keras import layers, ops

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
    Standardize,
    added,
    convolution,
    normalized,
    padded,
    stages,
)

# Of ImageNet, on which the network was trained before: red, green, blue in [0, 1].
IMAGENET_MEANS = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)
# The layer that a network without its top does not have.
CLASSIFIER = "new_fc"

# ResNet50: (blocks, channels inside them) of its four stages; blocks widen their output fourfold.
_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
_STEM_CHANNELS = 64
_EXPANSION = 4
_SHIFT_PARTS = 8


@keras.saving.register_keras_serializable(package="c3dvis")
class TemporalShift(layers.Layer):
    """Moves some channels of `(N, T, H, W, C)` by one frame, and so mixes neighbouring frames.

    The first of `parts` equal parts of the channels takes the next frame's values, the second the
    previous frame's, the others stay. Beyond the first and the last frame there are zeros.

    Args:
        parts: Into how many parts the channels are divided, at least 2.
    """

    def __init__(self, parts: int = _SHIFT_PARTS, **kwargs):
        super().__init__(**kwargs)
        if parts < 2:
            raise ValueError(f"Expected at least 2 parts. Received: parts={parts}.")
        self.parts = parts

    def build(self, input_shape):
        if input_shape[-1] < self.parts:
            raise ValueError(
                f"Expected at least {self.parts} channels, as the first and second of {self.parts} "
                f"parts are shifted. Received: {input_shape[-1]} channels."
            )
        super().build(input_shape)

    def call(self, x):
        part = x.shape[-1] // self.parts
        none = ops.zeros_like(x[:, :1, ..., :part])
        from_next = ops.concatenate([x[:, 1:, ..., :part], none], axis=1)
        from_previous = ops.concatenate([none, x[:, :-1, ..., part : 2 * part]], axis=1)
        return ops.concatenate([from_next, from_previous, x[..., 2 * part :]], axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "parts": self.parts}


@keras.saving.register_keras_serializable(package="c3dvis")
class FramePooling(layers.Layer):
    """Mean over the places of each frame: `(N, T, H, W, C)` to `(N, T, C)`."""

    def call(self, x):
        return ops.mean(x, axis=(2, 3))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], input_shape[-1])


def TSM(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 400,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "tsm",
    *,
    width: float = 1.0,
    dropout: float = 0.5,
) -> keras.Model:
    """TSM-ResNet50: ResNet50 on each frame; every block shifts channels between frames first.

    Activations are `(N, T, H, W, C)` throughout: the 2-D convolutions are 3-D ones of a single
    frame. Layers have the names of torchvision's ResNet50: `conv1`, `bn1`, `relu`, `maxpool`,
    `layer1.0.conv1`, ..., and before each `conv1` of a block its `shift`. A block's output is its
    last ReLU, `layer1.0` to `layer4.2`; `layer1` to `layer4` are the outputs of whole stages:
    layers that hand on their last block unchanged. Then come `avgpool`, `dropout`, `new_fc` (the
    logits of each frame), `consensus` (their mean) and `predictions`.

    Args:
        include_top: Whether to end in class scores; without the top the output is `layer4`.
        weights: None for random initial weights, the name of weights that come with the package,
            or a path to a weight file of any format that `c3dvis.models.load_weights` reads, such
            as a checkpoint of the authors' code for "shift8, blockres".
        input_shape: `(T, H, W, C)`; `(8, 224, 224, 3)` if None. T, H and W may be any, or None.
        classes: Number of classes; Kinetics has 400.
        classifier_activation: Activation of the mean logits; None for logits.
        include_preprocessing: Whether the network takes RGB in [0, 1] and standardizes it
            (`Standardize`). If False, it takes standardized clips, with any C.
        name: Name of the model.
        width: Factor of the channels of all convolutions; each keeps at least 8, as one part of
            eight is shifted each way.
        dropout: Rate before the logits.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)` to class scores `(N, classes)`, or to
        `(N, T, h, w, channels)` without the top.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> network = models.TSM(width=0.125, input_shape=(8, 32, 32, 3), classes=10)
        >>> network.get_layer("new_fc").output.shape
        (None, 8, 10)

    Lin et al. 2019, "TSM: Temporal Shift Module for Efficient Video Understanding",
    https://arxiv.org/abs/1811.08383
    """
    check_numbers(classes, width, dropout)
    input_shape = checked_shape(input_shape, (8, 224, 224, 3))
    if include_preprocessing:
        check_channels(input_shape, 3, ", red, green and blue")
    path = locate(weights)  # a wrong name is refused before building
    inputs = layers.Input(input_shape, name="clip")
    x = inputs
    if include_preprocessing:
        constants = (IMAGENET_MEANS, IMAGENET_DEVIATIONS)
        x = Standardize(*constants, name="standardize", dtype=precise())(x)
    x = _stem(x, scaled(_STEM_CHANNELS, width, minimum=_SHIFT_PARTS))
    of_stages = [(count, scaled(n, width, minimum=_SHIFT_PARTS)) for count, n in _STAGES]
    x = stages(x, of_stages, _bottleneck)
    if include_top:
        x = layers.Dropout(dropout, name="dropout")(FramePooling(name="avgpool")(x))
        x = layers.Dense(int(classes), name="new_fc", dtype=precise())(x)
        x = layers.GlobalAveragePooling1D("channels_last", name="consensus", dtype=precise())(x)
        x = layers.Activation(classifier_activation, name="predictions", dtype=precise())(x)
    return finished(inputs, x, name, path)


def from_pytorch(name: str) -> tuple[str, str] | None:
    """The layer, and its weight in PyTorch's terms, for a tensor of the authors' checkpoints.

    There ResNet50 is `base_model`, and a shifted convolution is the `net` of its shift. The names
    of ResNet50 itself are known, too.
    """
    layer, _, weight = name.removeprefix("base_model.").rpartition(".")
    layer = layer.removesuffix(".net")
    return (CLASSIFIER if layer == "fc" else layer, weight) if layer else None


def _stem(x, channels: int):
    x = convolution(x, "conv1", channels, (1, 7, 7), (1, 2, 2))
    x = layers.ReLU(name="relu")(normalized(x, "bn1"))
    # PyTorch pads pools with minus infinity. After a ReLU zeros do the same: never above another.
    x = padded(x, "maxpool", (1, 3, 3))
    return layers.MaxPooling3D((1, 3, 3), (1, 2, 2), data_format="channels_last", name="maxpool")(x)


def _bottleneck(x, name: str, channels: int, stride: int):
    """1x1, 3x3 and 1x1 convolutions on shifted channels, and what goes past them."""
    shortcut, strides = x, (1, stride, stride)
    x = TemporalShift(name=f"{name}.shift")(x)
    x = normalized(convolution(x, f"{name}.conv1", channels, (1, 1, 1)), f"{name}.bn1")
    x = layers.ReLU(name=f"{name}.relu1")(x)
    x = normalized(convolution(x, f"{name}.conv2", channels, (1, 3, 3), strides), f"{name}.bn2")
    x = layers.ReLU(name=f"{name}.relu2")(x)
    x = normalized(convolution(x, f"{name}.conv3", _EXPANSION * channels, (1, 1, 1)), f"{name}.bn3")
    return added(x, shortcut, name, strides)
