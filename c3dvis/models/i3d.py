"""I3D: Inception-v1 with its kernels inflated in time, the two-stream network of Kinetics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral

import keras
from keras import layers

from c3dvis.checkpoints.i3d_names import (
    CLASSIFIER,
    from_flax,
    from_keras_port,
    from_pytorch,
    keras_name,
    published_name,
    unit_name,
)
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

__all__ = [
    "CLASSIFIER",
    "FlowInput",
    "I3D",
    "from_flax",
    "from_keras_port",
    "from_pytorch",
    "keras_name",
    "published_name",
]

# Channels of the units of each block, in the order of `_BRANCHES`.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# (unit as the ports abbreviate it, its kernel) of each branch; the last begins with a max pool.
_BRANCHES = (
    (("0a", 1),),
    (("1a", 1), ("1b", 3)),
    (("2a", 1), ("2b", 3)),
    (("3b", 1),),
)
_CHANNELS = {"rgb": 3, "flow": 2}
_EPSILON = 1e-3  # of every batch normalization
_HEAD_FRAMES = 2  # time steps in a window of the head's average pool


@keras.saving.register_keras_serializable(package="c3dvis")
class FlowInput(Preprocessing):
    """Optical flow in pixels per frame to what I3D reads: clipped, then scaled to [-1, 1].

    Args:
        bound: Longest step kept, in pixels per frame.

    Example:
        >>> flow = keras.ops.convert_to_tensor([0.0, 10.0, 50.0])
        >>> keras.ops.convert_to_numpy(FlowInput(bound=20)(flow)).tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self, bound: float = 20.0, **kwargs):
        super().__init__(**kwargs)
        self.bound = float(bound)

    def call(self, flow):
        return keras.ops.clip(flow, -self.bound, self.bound) / self.bound

    def get_config(self):
        return {**super().get_config(), "bound": self.bound}


def I3D(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 400,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "i3d",
    *,
    modality: str = "rgb",
    width: float = 1.0,
    temporal_strides: tuple[int, int, int] = (2, 2, 2),
    dropout: float = 0.5,
    gamma: bool = False,
) -> keras.Model:
    """I3D: nine Inception blocks of four branches, all convolutions and pools in three dimensions.

    Layers are named as published, with dots where the published names have slashes (`keras_name`
    and `published_name` translate). The endpoints are layers: `Conv3d_1a_7x7`, `MaxPool3d_2a_3x3`,
    ..., `Mixed_5c`, `Logits`, `Predictions`. A unit such as `Mixed_3b.Branch_0.Conv3d_0a_1x1` is a
    ReLU, before it come its `.conv_3d` and its `.batch_norm`. The RGB network for 400 classes has
    12,704,544 parameters, including running means and variances.

    Args:
        include_top: Whether to add the head; without it the output is Mixed_5c.
        weights: None for random initial weights, the name of weights that come with the package,
            or a path to a weight file of any format that `c3dvis.models.load_weights` reads, such
            as the `model.ckpt` of a published checkpoint.
        input_shape: `(T, H, W, C)`; 64 frames of 224 x 224 if None. T may be None: any number of
            frames that leaves two time steps before the head, at the published strides 9 or more.
            Without the top, H and W may be None too.
        classes: Number of classes; 400 or 600, for the Kinetics of that name.
        classifier_activation: Activation of Predictions; None for logits, the output of Logits.
        include_preprocessing: Whether the network takes RGB in [0, 1], or flow in pixels per frame,
            and scales it to [-1, 1]. If False, it takes input in [-1, 1], with any C.
        name: Name of the model.
        modality: "rgb" for three channels, "flow" for two: horizontal, vertical.
        width: Factor of the channels of all convolutions but the last.
        temporal_strides: Strides in time of Conv3d_1a_7x7, MaxPool3d_4a_3x3 and MaxPool3d_5a_2x2.
            `(1, 1, 1)` keeps all time steps, as the comparison with ConvLSTM did.
        dropout: Rate in the head, after the pool.
        gamma: Whether batch normalization scales, too, as in the PyTorch port; the published
            network's only shifts. With it and 174 classes, 12,465,614 parameters are trainable.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)` to class scores `(N, classes)`, or to
        `(N, t, h, w, channels)` without the top.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> network = models.I3D(width=0.1, input_shape=(16, 32, 32, 3), classes=10)
        >>> network.get_layer("Mixed_3b.Branch_0.Conv3d_0a_1x1").output.shape
        (None, 8, 4, 4, 6)

    Carreira and Zisserman 2017, "Quo Vadis, Action Recognition? A New Model and the Kinetics
    Dataset", https://arxiv.org/abs/1705.07750

    The published head averages 2 time steps and 7 x 7 positions, all there are at 224 x 224, and
    so fits that size only. Here it averages all positions whatever the size, and 2 time steps, or
    one where there is one.
    """
    check_numbers(classes, width, dropout)
    _check_options(modality, temporal_strides)
    input_shape = checked_shape(input_shape, (64, 224, 224, _CHANNELS[modality]))
    if include_top:
        check_fixed(input_shape, slice(1, 3), "the head averages over them")
    if include_preprocessing:
        check_channels(input_shape, _CHANNELS[modality], f" for modality={modality!r}")
    path = locate(weights)  # a wrong name is refused before building
    inputs = layers.Input(input_shape, name="clip")
    x = inputs
    if include_preprocessing and modality == "rgb":
        x = layers.Rescaling(2.0, offset=-1.0, name="rgb_input", dtype=precise())(x)
    elif include_preprocessing:
        x = FlowInput(name="flow_input", dtype=precise())(x)
    x = _trunk(x, width, temporal_strides, gamma)
    if include_top:
        x = _head(x, classes, dropout)
        if classifier_activation is not None:
            x = layers.Activation(classifier_activation, name="Predictions", dtype=precise())(x)
    return finished(inputs, x, name, path)


def _trunk(x, width: float, temporal_strides: tuple[int, int, int], gamma: bool):
    first, fourth, fifth = temporal_strides
    x = _unit(x, "Conv3d_1a_7x7", scaled(64, width), 7, (first, 2, 2), gamma)
    x = _pool(x, "MaxPool3d_2a_3x3", (1, 3, 3), (1, 2, 2))
    x = _unit(x, "Conv3d_2b_1x1", scaled(64, width), 1, 1, gamma)
    x = _unit(x, "Conv3d_2c_3x3", scaled(192, width), 3, 1, gamma)
    x = _pool(x, "MaxPool3d_3a_3x3", (1, 3, 3), (1, 2, 2))
    for block, channels in _MIXED.items():
        if block == "Mixed_4b":
            x = _pool(x, "MaxPool3d_4a_3x3", (3, 3, 3), (fourth, 2, 2))
        elif block == "Mixed_5b":
            x = _pool(x, "MaxPool3d_5a_2x2", (2, 2, 2), (fifth, 2, 2))
        x = _mixed(x, block, [scaled(count, width) for count in channels], gamma)
    return x


def _mixed(x, block: str, channels: list[int], gamma: bool):
    counts, ends = iter(channels), []
    for branch in _BRANCHES:
        end = x
        if branch is _BRANCHES[-1]:
            end = _pool(end, f"{block}.Branch_3.MaxPool3d_0a_3x3", (3, 3, 3), 1)
        for unit, kernel in branch:
            end = _unit(end, unit_name(block, unit), next(counts), kernel, 1, gamma)
        ends.append(end)
    return layers.Concatenate(axis=-1, name=block)(ends)


def _unit(x, name: str, channels: int, kernel: int, strides, gamma: bool):
    convolution = layers.Conv3D(
        channels,
        kernel,
        strides,
        padding="same",
        data_format="channels_last",
        use_bias=False,
        name=f"{name}.conv_3d",
    )
    normalization = layers.BatchNormalization(
        epsilon=_EPSILON, scale=gamma, name=f"{name}.batch_norm"
    )
    return layers.ReLU(name=name)(normalization(convolution(x)))


def _pool(x, name: str, window: tuple[int, int, int], strides):
    pool = layers.MaxPooling3D(
        window, strides, padding="same", data_format="channels_last", name=name
    )
    return pool(x)


def _head(x, classes: int, dropout: float):
    steps, rows, columns = x.shape[1:4]
    window = (min(steps or _HEAD_FRAMES, _HEAD_FRAMES), rows, columns)
    options = {"data_format": "channels_last", "dtype": precise()}
    x = layers.AveragePooling3D(window, strides=1, name="Logits.AvgPool3D", **options)(x)
    x = layers.Dropout(dropout, name="Logits.Dropout", dtype=precise())(x)
    x = layers.Conv3D(int(classes), 1, name=CLASSIFIER, **options)(x)
    return layers.GlobalAveragePooling3D(name="Logits", **options)(x)


def _check_options(modality, temporal_strides) -> None:
    if modality not in _CHANNELS:
        raise ValueError(
            f"Expected modality to be {' or '.join(map(repr, _CHANNELS))}. "
            f"Received: modality={modality!r}."
        )
    are_strides = isinstance(temporal_strides, Sequence) and len(temporal_strides) == 3
    if not are_strides or not all(isinstance(n, Integral) and int(n) > 0 for n in temporal_strides):
        raise ValueError(
            "Expected three strides in time, each 1 or more. "
            f"Received: temporal_strides={temporal_strides!r}."
        )
