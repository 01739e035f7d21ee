"""Rules by which relevance passes through a transformer's layers: values stay, gradients change.

Each rule is written as a layer's own value with another gradient, so that what an activation has to
do with the score, its relevance, is the activation times that gradient. Linear layers and sums keep
their own (their biases keep a share to themselves).

Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers",
https://arxiv.org/abs/2402.05602
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from c3dvis import rewire
from c3dvis.attribution import attention
from c3dvis.models.activations import ACTIVATIONS

# Below it, an activation function is taken for its value over this number.
_TINY = 1e-6
# Of scores that attention hides by a mask.
_HIDDEN = -1e9
_PRODUCTS = ("Einsum", "Matmul", "Multiply")
_FUNCTIONS = (
    *("Celu", "Elu", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu", "LeakyReLU", "Relu", "ReLU"),
    *("Relu6", "Selu", "Sigmoid", "Silu", "Softsign", "Tanh"),
)
_NORMALIZATIONS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization)


def passed(layer, arguments: tuple, options: dict, tensors: Sequence) -> tuple[Any, Any]:
    """What a layer makes, with the gradient that its rule says.

    Args:
        layer: A layer other than attention, or an operation of `keras.ops`.
        arguments: Of the call.
        options: Of the call.
        tensors: Those of the arguments that the network computes.

    Returns:
        The layer's output, and how far it is from one that halves and doubles with what it reads,
        but for a constant: 0 for a layer with a rule.
    """
    own = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    kind = type(own).__name__
    if kind in _PRODUCTS and len(tensors) > 1:
        return _product(layer, arguments, options, tensors), 0.0
    if kind in _FUNCTIONS or isinstance(own, ACTIVATIONS):
        return _like_a_factor(layer, arguments[0], **options), 0.0
    if isinstance(own, _NORMALIZATIONS) and own is layer:
        return _normalized(layer, arguments[0]), 0.0
    activation = getattr(own, "activation", None)
    if own.__class__.__module__.startswith("keras.") and callable(activation):
        linear = rewire.variant(own, activation=_factor_of(activation))
        called = linear if own is layer else rewire.variant(layer, layer=linear)
        return called(*arguments, **options), 0.0
    output = layer(*arguments, **options)
    return output, _departure(layer, arguments, options, tensors, output)


def attended(layer, arguments: tuple, options: dict, softmax_scale) -> tuple[Any, Any]:
    """What attention makes: relevance is halved between the two sides of each of its two products.

    Args:
        layer: A `keras.layers.MultiHeadAttention`.
        arguments: Of the call.
        options: Of the call.
        softmax_scale: Two numbers near 1 that multiply the scores before the softmax, and the
            weights behind it: the gradients with respect to them are the sums of relevance there.

    Returns:
        The output, and the weights.
    """
    query, key, value = attention.inputs_of(layer, arguments, options)
    _, weights = layer(*arguments, **{**options, "return_attention_scores": True})
    own_query, own_key = _half(layer.query_dense(query)), _half(layer.key_dense(key))
    scores = ops.einsum("bqhd,bkhd->bhqk", own_query, own_key) * layer.key_dim**-0.5
    before, behind = softmax_scale
    scores = scores * ops.cast(before, scores.dtype)
    scores = ops.where(weights > 0, scores, ops.cast(_HIDDEN, scores.dtype))
    weights = ops.softmax(scores, axis=-1)
    weights = weights * ops.cast(behind, weights.dtype)
    mixed = ops.einsum("bhqk,bkhd->bqhd", _half(weights), _half(layer.value_dense(value)))
    return layer.output_dense(mixed), weights


def _half(x, parts: int = 2):
    """The same values, with a part of the gradient."""
    return x / parts + ops.stop_gradient(x - x / parts)


def _product(layer, arguments: tuple, options: dict, tensors: Sequence):
    """A product of several tensors, each with an equal part of the relevance."""
    parts = len(tensors)
    return _with_tensors(layer, arguments, options, tensors, lambda x: _half(x, parts))


def _like_a_factor(function: Callable, x, **options):
    """An activation function whose relevance all goes to what it reads."""
    value = ops.stop_gradient(function(x, **options))
    safe = ops.where(ops.abs(x) < _TINY, ops.cast(_TINY, x.dtype), x)
    linear = x * ops.stop_gradient(value / safe)
    return linear + ops.stop_gradient(value - linear)


def _factor_of(function: Callable) -> Callable:
    return (
        function if function is keras.activations.linear else lambda x: _like_a_factor(function, x)
    )


def _normalized(layer, x):
    """A normalization whose scale is taken for a constant."""
    value = ops.stop_gradient(layer(x))
    last = tuple(layer.axis) if isinstance(layer.axis, (list, tuple)) else (layer.axis,)
    axes = tuple(axis % len(x.shape) for axis in last)
    wide = ops.cast(x, "float32")
    is_centred = not isinstance(layer, keras.layers.RMSNormalization)
    centred = wide - ops.mean(wide, axes, keepdims=True) if is_centred else wide
    spread = ops.sqrt(ops.mean(centred**2, axes, keepdims=True) + layer.epsilon)
    linear = centred / ops.stop_gradient(spread)
    gamma = getattr(layer, "gamma", None)
    gamma = getattr(layer, "scale", None) if not is_centred else gamma
    if gamma is not None and not isinstance(gamma, bool):
        shape = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
        linear = linear * ops.cast(ops.reshape(gamma, shape), "float32")
    linear = ops.cast(linear, value.dtype)
    return linear + ops.stop_gradient(value - linear)


def _departure(layer, arguments, options, tensors, output):
    """How far `f(2x) - f(0)` is from twice `f(x) - f(0)`, of the largest value."""
    if not tensors or not all("float" in str(tensor.dtype) for tensor in tensors):
        return 0.0
    several = [
        keras.tree.flatten(_with_tensors(layer, arguments, options, tensors, lambda x, n=n: n * x))
        for n in (0, 2)
    ]
    pairs = zip(*several, keras.tree.flatten(output), strict=True)
    worst = [
        ops.max(ops.abs(twice - 2 * once + none)) / (ops.max(ops.abs(twice)) + _TINY)
        for none, twice, once in pairs
    ]
    return ops.cast(ops.max(ops.stack(worst)), "float32")


def _with_tensors(layer, arguments, options, tensors, change: Callable):
    """The call with some of its tensors changed."""
    changed = {id(tensor): change(tensor) for tensor in tensors}
    arguments, options = keras.tree.map_structure(
        lambda value: changed.get(id(value), value), (arguments, options)
    )
    return layer(*arguments, **options)
