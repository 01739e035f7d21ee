"""Rules of layer-wise relevance propagation for a transformer's layers, as custom gradients.

A rule keeps the value of a layer and replaces its gradient, so that the relevance of an activation
is the activation times its gradient. Linear layers and sums keep their own gradient (their biases
absorb relevance).

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

_TINY = 1e-6  # smallest absolute divisor
_MASKED = -1e9  # score of masked attention
_PRODUCTS = ("Einsum", "Matmul", "Multiply")
_FUNCTIONS = (
    *("Celu", "Elu", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu", "LeakyReLU", "Relu", "ReLU"),
    *("Relu6", "Selu", "Sigmoid", "Silu", "Softsign", "Tanh"),
)
_NORMALIZATIONS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization)


def layer_with_rule(layer, arguments: tuple, options: dict, tensors: Sequence) -> tuple[Any, Any]:
    """A layer's output with the gradient of its rule.

    Args:
        layer: A layer other than attention, or an operation of `keras.ops`.
        arguments: Positional arguments of the call.
        options: Named arguments of the call.
        tensors: The arguments that the network computes.

    Returns:
        The output, and its nonlinearity: 0 for a layer with a rule or an affine one.
    """
    own = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    kind = type(own).__name__
    if kind in _PRODUCTS and len(tensors) > 1:
        # Each factor has an equal share of the relevance.
        parts = len(tensors)
        product = _with_tensors(layer, arguments, options, tensors, lambda x: _share(x, parts))
        return product, 0.0
    if kind in _FUNCTIONS or isinstance(own, ACTIVATIONS):
        return _as_factor(layer, arguments[0], **options), 0.0
    if isinstance(own, _NORMALIZATIONS) and own is layer:
        return _normalization(layer, arguments[0]), 0.0
    activation = getattr(own, "activation", None)
    if own.__class__.__module__.startswith("keras.") and callable(activation):
        linear = rewire.variant(own, activation=_factor_of(activation))
        called = linear if own is layer else rewire.variant(layer, layer=linear)
        return called(*arguments, **options), 0.0
    output = layer(*arguments, **options)
    return output, _nonlinearity(layer, arguments, options, tensors, output)


def attention_with_rule(layer, arguments: tuple, options: dict, softmax_scale) -> tuple[Any, Any]:
    """Attention's output; relevance is split evenly between the two factors of each product.

    Args:
        layer: A `keras.layers.MultiHeadAttention`.
        arguments: Positional arguments of the call.
        options: Named arguments of the call.
        softmax_scale: Two factors, 1, of the scores before the softmax and of the weights after it:
            the gradients with respect to them are the sums of relevance there.

    Returns:
        The output, and the weights.
    """
    query, key, value = attention.inputs_of(layer, arguments, options)
    _, weights = layer(*arguments, **{**options, "return_attention_scores": True})
    own_query, own_key = _share(layer.query_dense(query)), _share(layer.key_dense(key))
    scores = ops.einsum("bqhd,bkhd->bhqk", own_query, own_key) * layer.key_dim**-0.5
    before, behind = softmax_scale
    scores = scores * ops.cast(before, scores.dtype)
    scores = ops.where(weights > 0, scores, ops.cast(_MASKED, scores.dtype))
    weights = ops.softmax(scores, axis=-1)
    weights = weights * ops.cast(behind, weights.dtype)
    mixed = ops.einsum("bhqk,bkhd->bqhd", _share(weights), _share(layer.value_dense(value)))
    return layer.output_dense(mixed), weights


def _share(x, parts: int = 2):
    """The same values, with one of so many equal parts of the gradient."""
    return x / parts + ops.stop_gradient(x - x / parts)


def _as_factor(function: Callable, x, **options):
    """An activation function as a factor of its input, which gets all relevance."""
    value = ops.stop_gradient(function(x, **options))
    safe = ops.where(ops.abs(x) < _TINY, ops.cast(_TINY, x.dtype), x)
    linear = x * ops.stop_gradient(value / safe)
    return linear + ops.stop_gradient(value - linear)


def _factor_of(function: Callable) -> Callable:
    return function if function is keras.activations.linear else lambda x: _as_factor(function, x)


def _normalization(layer, x):
    """A normalization whose scale is treated as a constant."""
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


def _nonlinearity(layer, arguments, options, tensors, output):
    """Largest difference of `f(2x) - f(0)` and `2 (f(x) - f(0))`, relative to the largest value."""
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
