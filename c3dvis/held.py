"""A layer that gives the same for every clip: what an input that is held fixed has."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike


class Held(keras.layers.Layer):
    """The same value for each clip of a batch.

    Args:
        value: Without the batch axis, of a shape that spreads to `shape`.
        shape: Without the batch axis; None where it is as long as that axis of the clip.

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
