"""Names of layers and settings in Keras 1, and its order of recurrent weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    # Not of Keras 1, but of TensorFlow 1.
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
}
_KEYS = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample": "strides",
    "subsample_length": "strides",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "bias": "use_bias",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "p": "rate",
    "pool_length": "pool_size",
    "stride": "strides",
}
_ORDERINGS = {"tf": "channels_last", "th": "channels_first"}
_SIZES = (("kernel_dim1", "kernel_dim2", "kernel_dim3"), ("nb_row", "nb_col"))
_UNITS = ("Dense", "LSTM", "GRU", "SimpleRNN")  # Embedding has an output_dim still
_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
}
# What only training needs, or how the same is computed.
_TRAINING = (
    *("init", "inner_init", "forget_bias_init", "beta_init", "gamma_init", "consume_less"),
    *("input_dim", "input_length"),
)
# The place of each gate in the order of a file, in today's order: input, forget, cell, output of
# LSTM; update, reset, state of GRU. Each has a kernel, a recurrent kernel and a bias there.
_GATES = {12: (0, 2, 1, 3), 9: (0, 1, 2)}


def current_class_name(name: str, config: dict) -> str:
    """The name of a class of layers in Keras 3."""
    if name == "Merge":
        return _MERGES.get(config.get("mode", "sum"), name)
    return _CLASSES.get(name, name)


def current_settings(kind: str, config: dict) -> dict[str, Any]:
    """The settings of a layer under their names in Keras 3; unknown ones stay.

    Args:
        kind: The layer's class in Keras 3.
        config: Its configuration in the file.
    """
    config = {key: value for key, value in config.items() if key not in _TRAINING}
    for names in _SIZES:
        if names[0] in config:
            config["kernel_size"] = [config.pop(name) for name in names]
    renamed = dict(_KEYS)
    if kind in _UNITS:
        renamed["output_dim"] = "units"
    if kind.startswith("ConvLSTM"):
        renamed["stride"] = "stride"
    if kind == "Concatenate":
        renamed["concat_axis"] = "axis"
    today = {renamed.get(key, key): value for key, value in config.items()}
    if today.get("data_format") in _ORDERINGS:
        today["data_format"] = _ORDERINGS[today["data_format"]]
    if kind == "BatchNormalization" and today.get("mode") == 0:
        del today["mode"]  # 1 and 2 are others than today's
    if kind in _MERGES.values():
        for key in ("mode", "mode_type", "dot_axes", "concat_axis", "output_shape_type"):
            today.pop(key, None)
    return today


def current_weights(kind: str, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays of a layer in Keras 3: those of a recurrent layer join all gates.

    Args:
        kind: The layer's class.
        values: The file's arrays, in its order.
    """
    order = _GATES.get(len(values))
    if order is None or kind not in ("LSTM", "GRU", "ConvLSTM2D"):
        return list(values)
    return [np.concatenate([values[3 * gate + n] for gate in order], axis=-1) for n in range(3)]
