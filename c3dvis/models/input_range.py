"""Whether a network's first layers show that it takes values from 0 to 255, not from 0 to 1."""

from __future__ import annotations

import weakref
from typing import Any

import keras
import numpy as np

from c3dvis import graph
from c3dvis.folding import Fold, Unfold
from c3dvis.held import Constant

_HIGHEST = 255
# Values that become 0, and how far from it they become 1, of networks that take 0 to 255. Networks
# for [0, 1] subtract less and divide by less: the smallest usual deviation is 0.2, of ImageNet.
_LEAST_DIVISOR, _LEAST_MEAN = 10, 30
_TENSOR = object()  # in the place of a call's tensor among its constants

_MOVES = (
    *(keras.layers.Reshape, keras.layers.Permute, keras.layers.Identity, Fold, Unfold),
    *(keras.layers.Dropout, keras.layers.GaussianNoise, keras.layers.GaussianDropout),
    *(keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D),
    *(keras.layers.Resizing, keras.layers.CenterCrop, keras.layers.RandomFlip),
    *(keras.layers.RandomTranslation, keras.layers.RandomRotation, keras.layers.RandomZoom),
    *(keras.layers.RandomCrop, keras.layers.Cropping2D, keras.layers.Cropping3D),
)
"""Layers that keep a value, or move it."""

_MOVING_OPERATIONS = (
    *("Cast", "Concatenate", "ExpandDims", "Flip", "GetItem", "Moveaxis", "Reshape", "Stack"),
    "Transpose",
)

# By network, by the `id` of an input.
_cache: weakref.WeakKeyDictionary[keras.Model, dict[int, bool]] = weakref.WeakKeyDictionary()

# A clip's value x has become `factor * x + offset`; both are numbers, or arrays by channel.
_Scaled = tuple[Any, Any]


def takes_bytes(network: keras.Model, input: keras.KerasTensor) -> bool:
    """Whether an input of a network takes 0 to 255, by its type or what the first layers do.

    These are `Rescaling`, `Normalization`, and arithmetic with constants, as in `preprocess_input`
    of `keras.applications`; inside models and wrappers too. Every path from the input has to begin
    with them.

    Args:
        network: Functional or Sequential model.
        input: One of `network.inputs`.

    Example:
        >>> clip = keras.Input((4, 8, 8, 3))
        >>> x = keras.layers.Rescaling(1 / 127.5, offset=-1)(clip)
        >>> takes_bytes(keras.Model(clip, keras.layers.Conv3D(2, 3)(x)), clip)
        True
    """
    if not keras.backend.is_float_dtype(input.dtype):
        return True
    if network not in _cache:
        flat = graph.flattened(network)
        ends = [_ends(flat, key) for key in flat.inputs]
        _cache[network] = {
            id(tensor): bool(scaled) and all(_suits_bytes(*one) for one in scaled)
            for tensor, scaled in zip(network.inputs, ends, strict=True)
        }
    return _cache[network][id(input)]


def _suits_bytes(factor: Any, offset: Any) -> bool:
    factor, offset = np.broadcast_arrays(factor, offset)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all() and (factor > 0).all()):
        return False
    divisor, mean = float(np.mean(1 / factor)), float(np.mean(-offset / factor))
    if not 0 <= mean <= _HIGHEST or divisor > _HIGHEST + 1:
        return False
    return divisor >= _LEAST_DIVISOR or mean >= _LEAST_MEAN


def _ends(flat: graph.Graph, key: int) -> list[_Scaled]:
    """How an input's values have been scaled where the first other operations read them."""
    scaled: dict[int, _Scaled] = {key: (1.0, 0.0)}
    ends = []
    for step in flat.steps:
        # The second input of `Unfold` says how many frames there are.
        inputs = step.inputs[:1] if isinstance(step.layer, Unfold) else step.inputs
        read = [scaled[own] for own in inputs if own in scaled]
        if not read or isinstance(step.layer, Constant):
            continue
        is_same = len(read) == len(inputs) and all(_is_equal(read[0], one) for one in read[1:])
        after = _after(step, read[0]) if is_same else None
        if after is None:
            ends += read
        else:
            scaled.update((output, after) for output in step.outputs)
    return ends


def _is_equal(one: _Scaled, other: _Scaled) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _after(step: graph.Step, before: _Scaled) -> _Scaled | None:
    """The scaling after a step; None if it does more than scale, shift or move values."""
    factor, offset = before
    layer = step.layer
    while isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    if isinstance(layer, _MOVES) or type(layer).__name__ in _MOVING_OPERATIONS:
        return before
    if isinstance(layer, keras.layers.Rescaling):
        scale, shift = np.asarray(layer.scale), np.asarray(layer.offset)
        return factor * scale, offset * scale + shift
    if isinstance(layer, keras.layers.Normalization):
        if layer.invert or layer.mean is None or layer.variance is None:
            return None
        mean, variance = (_by_channel(value) for value in (layer.mean, layer.variance))
        deviation = np.sqrt(np.maximum(variance, keras.config.epsilon() ** 2))
        return factor / deviation, (offset - mean) / deviation
    if len(step.inputs) > 1:
        return None
    return _calculated(type(layer).__name__, step.call, before)


def _calculated(operation: str, call: graph.Call, before: _Scaled) -> _Scaled | None:
    """The scaling after arithmetic with one constant."""
    factor, offset = before
    (arguments, options) = call.arguments([_TENSOR])
    operands = [*arguments, *options.values()]
    if len(operands) != 2 or not any(one is _TENSOR for one in operands):
        return None
    is_first = operands[0] is _TENSOR
    constant = _by_channel(operands[1 if is_first else 0])
    if constant is None:
        return None
    if operation == "Multiply":
        return factor * constant, offset * constant
    if operation in ("Divide", "TrueDivide") and is_first:
        return factor / constant, offset / constant
    if operation == "Add":
        return factor, offset + constant
    if operation == "Subtract":
        return (factor, offset - constant) if is_first else (-factor, constant - offset)
    return None


def _by_channel(value: Any) -> Any:
    """A constant as a number, or an array with one for each channel; None if it is neither."""
    try:
        array = np.asarray(keras.ops.convert_to_numpy(value), np.float64)
    except (TypeError, ValueError):
        return None
    return array.reshape(-1) if array.size == (array.shape or (1,))[-1] else None
