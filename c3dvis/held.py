"""Layers with the same output for every clip: the values of held inputs, and constants."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike


class Held(keras.layers.Layer):
    """The same value for each clip of a batch.

    Args:
        value: Value without the batch axis, broadcast to `shape`.
        shape: Shape without the batch axis; None for an axis as long as that of the clip.

    Example:
        >>> Held(0.5, (None, 2), dtype="float32")(keras.ops.zeros((3, 4, 8, 8, 1))).shape
        TensorShape([3, 4, 2])
    """

    def __init__(self, value: ArrayLike, shape: tuple[int | None, ...], **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.value, self.shape = np.asarray(value), tuple(shape)

    def call(self, clips):
        lengths = [
            ops.shape(clips)[axis] if n is None else n for axis, n in enumerate(self.shape, 1)
        ]
        value = ops.convert_to_tensor(self.value, dtype=self.dtype)
        return ops.broadcast_to(value, (ops.shape(clips)[0], *lengths))

    def compute_output_spec(self, clips):
        known = [clips.shape[axis] if n is None else n for axis, n in enumerate(self.shape, 1)]
        return keras.KerasTensor((clips.shape[0], *known), self.dtype)

    def get_config(self):
        return {**super().get_config(), "value": self.value.tolist(), "shape": list(self.shape)}


class Constant(keras.layers.Layer):
    """A weight or an array of a user's layer, as a symbolic tensor, so that its use can be traced.

    It is called with any symbolic tensor, whose value it does not read.

    Args:
        value: `keras.Variable` or array. It has no batch axis.

    Example:
        >>> Constant(np.arange(3))(keras.Input((4, 8, 8, 1))).shape
        (3,)
    """

    def __init__(self, value: Any, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def call(self, clips):
        value = self.value.value if isinstance(self.value, keras.Variable) else self.value
        return ops.convert_to_tensor(value, dtype=self.result_type())

    def compute_output_spec(self, clips):
        return Symbol(self.value.shape, self.result_type())

    def result_type(self) -> str:
        """The dtype of its output: that in which its layer computes with the weight."""
        dtype = keras.backend.standardize_dtype(self.value.dtype)
        rounds = self.autocast and keras.backend.is_float_dtype(dtype)
        return self.compute_dtype if rounds else dtype


class Symbol(keras.KerasTensor):
    """The output of `Constant`. It can be sliced along its first axis, which isn't a batch axis."""

    def __getitem__(self, key):
        return super().__getitem__(key if isinstance(key, (tuple, list, int)) else (key,))
