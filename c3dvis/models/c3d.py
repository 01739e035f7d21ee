"""C3D, the first 3-D convolutional network that became a common feature extractor for video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral

import keras
import numpy as np
from keras import layers

from c3dvis.models.builder_parts import (
    Preprocessing,
    check_channels,
    check_fixed,
    check_numbers,
    checked_shape,
    finished,
    precise,
    scaled,
)
from c3dvis.models.loading import locate

# Means over the centre crop of the mean cube of Sports-1M, in grey levels of 0 to 255, as blue,
# green, red: the order in which Caffe's networks read colour.
SPORTS1M_MEANS = (95.13, 102.86, 107.75)

# (convolutions and their channels, pool, its window): five stages, Table 1 of the paper.
_STAGES = (
    ((("conv1", 64),), "pool1", (1, 2, 2)),
    ((("conv2", 128),), "pool2", (2, 2, 2)),
    ((("conv3a", 256), ("conv3b", 256)), "pool3", (2, 2, 2)),
    ((("conv4a", 512), ("conv4b", 512)), "pool4", (2, 2, 2)),
    ((("conv5a", 512), ("conv5b", 512)), "pool5", (2, 2, 2)),
)
_FC_UNITS = 4096
# Rows and columns of zeros (before, after) that pool5 sees. Caffe rounds the number of windows up
# and starts them at row 0; a widespread Keras copy pads both sides, which moves each by a pixel.
_POOL5_PADDING = {"caffe": (0, 1), "symmetric": (1, 1)}
# Each pool halves: four in time, and four in space before pool5, which pads.
_SMALLEST = 16


@keras.saving.register_keras_serializable(package="c3dvis")
class CaffeInput(Preprocessing):
    """RGB in [0, 1] to what a Caffe network reads: 0 to 255, blue first, minus channel means.

    Args:
        means: Means of blue, green and red, in grey levels of 0 to 255.
    """

    def __init__(self, means: Sequence[float] = SPORTS1M_MEANS, **kwargs):
        super().__init__(**kwargs)
        self.means = tuple(float(mean) for mean in means)

    def call(self, clips):
        grey_levels = keras.ops.flip(clips, axis=-1) * 255.0
        return grey_levels - keras.ops.convert_to_tensor(self.means, dtype=grey_levels.dtype)

    def get_config(self):
        return {**super().get_config(), "means": list(self.means)}


def C3D(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 487,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "c3d",
    *,
    width: float = 1.0,
    pool5: str = "caffe",
    dropout: float = 0.5,
    fc: int | None = None,
    batch_normalization: bool = False,
) -> keras.Model:
    """C3D: eight 3x3x3 convolutions, five max pools, two hidden fully connected layers.

    Layers are named as published: conv1, pool1, conv2, ..., conv5b, zeropad5, pool5, flatten,
    fc6, dropout6, fc7, dropout7, fc8. The full network has 79,991,015 parameters.

    Args:
        include_top: Whether to add fc6, fc7 and fc8; without them the output is pool5.
        weights: None for random initial weights, the name of weights that come with the package,
            or a path to a weight file of any format that `c3dvis.models.load_weights` reads.
        input_shape: `(T, H, W, C)`, each of T, H and W at least 16; `(16, 112, 112, 3)` if None.
            Without the top, T, H and W may be None.
        classes: Number of classes; Sports-1M has 487.
        classifier_activation: Activation of fc8; None for logits.
        include_preprocessing: Whether the network takes RGB in [0, 1] and converts it to Caffe's
            input (`CaffeInput`). If False, it takes Caffe's input, with any C.
        name: Name of the model.
        width: Factor of the channels of all convolutions and of the units of fc6 and fc7.
        pool5: "caffe", as the network was trained, or "symmetric", as in a widespread Keras copy
            that pads both sides; their windows lie one pixel apart.
        dropout: Rate after fc6 and fc7.
        fc: Units of fc6 and fc7; 4096 times `width` if None.
        batch_normalization: Whether batch normalization and then ReLU follow each convolution, fc6
            and fc7, for training; `fold_batch_normalization` makes it a plain C3D again.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)` to class scores `(N, classes)`, or to
        `(N, t, h, w, channels)` without the top.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> network = models.C3D(width=0.125, input_shape=(16, 32, 32, 3), classes=10)
        >>> network.output_shape
        (None, 10)

    Tran et al. 2015, "Learning Spatiotemporal Features with 3D Convolutional Networks",
    https://arxiv.org/abs/1412.0767
    """
    check_numbers(classes, width, dropout)
    reason = ", as C3D halves them four times"
    input_shape = checked_shape(input_shape, (16, 112, 112, 3), smallest=_SMALLEST, reason=reason)
    _check(input_shape, include_top, include_preprocessing, pool5, fc)
    path = locate(weights)  # a wrong name is refused before building
    inputs = layers.Input(input_shape, name="clip")
    x = inputs
    if include_preprocessing:
        x = CaffeInput(name="caffe_input", dtype=precise())(x)
    for convolutions, pool, window in _STAGES:
        for layer_name, channels in convolutions:
            x = _convolution(x, layer_name, scaled(channels, width), batch_normalization)
        if pool == "pool5":
            edge = _POOL5_PADDING[pool5]
            padding = ((0, 0), edge, edge)
            x = layers.ZeroPadding3D(padding, "channels_last", name="zeropad5")(x)
        x = layers.MaxPooling3D(window, data_format="channels_last", name=pool)(x)
    if include_top:
        units = scaled(_FC_UNITS, width) if fc is None else int(fc)
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
        for number in (6, 7):
            dense = layers.Dense(
                units,
                activation=None if batch_normalization else "relu",
                use_bias=not batch_normalization,
                name=f"fc{number}",
            )
            x = _normalized(dense(x), f"fc{number}") if batch_normalization else dense(x)
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
        x = layers.Dense(int(classes), classifier_activation, name="fc8", dtype=precise())(x)
    return finished(inputs, x, name, path)


def _convolution(x, name: str, channels: int, batch_normalization: bool):
    convolution = layers.Conv3D(
        channels,
        3,
        padding="same",
        data_format="channels_last",
        activation=None if batch_normalization else "relu",
        use_bias=not batch_normalization,
        name=name,
    )
    return _normalized(convolution(x), name) if batch_normalization else convolution(x)


def _normalized(x, name: str):
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _check(input_shape, include_top, include_preprocessing, pool5, fc) -> None:
    if include_top:
        check_fixed(input_shape, slice(0, 3), "fc6 needs them")
    if include_preprocessing:
        check_channels(input_shape, 3, ", red, green and blue")
    if pool5 not in _POOL5_PADDING:
        raise ValueError(
            f"Expected pool5 to be {' or '.join(map(repr, _POOL5_PADDING))}. "
            f"Received: pool5={pool5!r}."
        )
    if fc is not None and (not isinstance(fc, Integral) or fc < 1):
        raise ValueError(f"Expected at least 1 unit in fc6 and fc7. Received: fc={fc!r}.")


def fold_batch_normalization(trained: keras.Model, plain: keras.Model) -> None:
    """Writes a network trained with batch normalization into the same network without it.

    What batch normalization does at inference is linear in each channel, so it is a factor of the
    kernel before it and an addition to the bias:
    `kernel * gamma / sqrt(variance + epsilon)` and `beta + (bias - mean) * gamma / sqrt(...)`.

    Args:
        trained: A network whose layer `NAME` is followed by a `NAME_bn`, such as
            `C3D(batch_normalization=True)`.
        plain: The same network, built with the same arguments but for `batch_normalization`; its
            weights are overwritten.

    Raises:
        ValueError: If the two networks do not belong together; then nothing is written.

    Example:
        >>> from c3dvis import models
        >>> small = {"width": 0.02, "input_shape": (16, 16, 16, 3), "classes": 2}
        >>> plain = models.C3D(**small)
        >>> models.fold_batch_normalization(models.C3D(batch_normalization=True, **small), plain)

    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3.1 on inference.
    """
    sources = {layer.name: layer for layer in trained.layers}
    if not any(isinstance(layer, layers.BatchNormalization) for layer in trained.layers):
        raise ValueError(
            "Expected a network trained with batch normalization. "
            f"Received: {trained.name!r}, which has none."
        )
    folded = []
    for layer in plain.layers:
        if not layer.weights:
            continue
        if layer.name not in sources:
            raise ValueError(
                f"Expected a layer {layer.name!r} in the trained network. "
                f"Received: layers {', '.join(sources)}."
            )
        values = _folded(sources[layer.name], sources.get(f"{layer.name}_bn"))
        wanted = [tuple(weight.shape) for weight in layer.weights]
        if [value.shape for value in values] != wanted:
            raise ValueError(
                f"Expected weights of shapes {wanted} for layer {layer.name!r}. "
                f"Received: {[value.shape for value in values]}."
            )
        folded.append((layer, values))
    for layer, values in folded:
        layer.set_weights(values)


def _folded(layer, normalization) -> list[np.ndarray]:
    """Weights of a layer with its batch normalization in them, worked out in float64."""
    if normalization is None:
        return layer.get_weights()
    kernel, *rest = (np.asarray(value, np.float64) for value in layer.get_weights())
    bias = rest[0] if rest else 0.0
    mean = normalization.moving_mean.numpy().astype(np.float64)
    variance = normalization.moving_variance.numpy().astype(np.float64)
    factor = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        factor = factor * normalization.gamma.numpy()
    shift = normalization.beta.numpy() if normalization.center else 0.0
    return [kernel * factor, shift + (bias - mean) * factor]
