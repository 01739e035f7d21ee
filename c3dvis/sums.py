"""Sums of tensors of different shapes, the same for a clip in any batch.

On TensorFlow, Keras takes a second summand with one axis longer than 1 for a bias: if it is as
long as the first summand's second or last axis, it is squeezed and added along that one, whichever
its own is. With Keras 3.15.1 and TensorFlow 2.21.0,

    keras.ops.add(np.zeros((2, 2)), np.array([[1], [2]]))

is `[[1, 2], [1, 2]]` and not `[[1, 1], [2, 2]]`; `keras.layers.Add`, `keras.layers.Average` and
`x + y` in a functional model are computed by it. So of a network that adds a number per clip
`(N, 1, 1, 1, 1)`, Keras itself gives wrong values where there happen to be as many clips in a batch
as frames or channels, and right ones otherwise. A difference has no such case.
"""

import functools
from collections.abc import Callable

import keras
from keras import ops

_LAYERS = (keras.layers.Add, keras.layers.Average)


def add(x, y):
    """The sum of two tensors, broadcast as NumPy does; to the last bit Keras's where that does."""
    # Not of whole numbers, which may have no sign.
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(y.dtype))
    if tuple(x.shape) == tuple(y.shape) or not is_float:
        return ops.add(x, y)
    return ops.subtract(x, ops.negative(y))


def is_sum(layer) -> bool:
    """Whether `summed` computes a layer of a network, or an operation `x + y` in it."""
    # The class of the operation has no public name.
    is_operation = not isinstance(layer, keras.layers.Layer) and type(layer).__name__ == "Add"
    return is_operation or type(layer) in _LAYERS


def summed(layer) -> Callable:
    """The `call` of a layer or operation for which `is_sum` is true."""
    if not isinstance(layer, keras.layers.Layer):
        # Weights and numbers are the same for all clips, and stay as Keras adds them.
        return lambda x, y: add(x, y) if _are_tensors(x, y) else layer.call(x, y)

    def call(inputs):
        if len({tuple(x.shape) for x in inputs}) == 1:
            return layer.call(inputs)
        # With axes of one behind the first, as Keras has it.
        rank = max(len(x.shape) for x in inputs)
        axes = [tuple(range(1, 1 + rank - len(x.shape))) for x in inputs]
        total = functools.reduce(add, map(ops.expand_dims, inputs, axes))
        return total / len(inputs) if isinstance(layer, keras.layers.Average) else total

    return call


def _are_tensors(*values) -> bool:
    return all(keras.ops.is_tensor(v) and not isinstance(v, keras.Variable) for v in values)
