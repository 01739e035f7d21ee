"""Max pooling with a quick and exact gradient.

TensorFlow's gradient of a 3-D max pool on a CPU takes many times as long as the convolutions around
it (of I3D's step, it was about half), and counts values twice that lie within 1e-5 of a window's
maximum. A pool over a box is one over each of its axes in turn, and a pool over an axis is the
maximum of a few slices. The gradient goes to the first slice with the maximum, and is assembled
from copies instead of being scattered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

_LOWEST = {"float16": float(np.finfo(np.float16).min), "bfloat16": -(2.0**127) * (2 - 2**-7)}


def lowest(dtype) -> float:
    """The lowest finite number of a type, up to float32's: what a max pool is padded with.

    TensorFlow's check of numerics would stop at -Inf.
    """
    return _LOWEST.get(keras.backend.standardize_dtype(dtype), float(np.finfo(np.float32).min))


def max_pool(x, window: Sequence[int], strides: Sequence[int], padding: str):
    """Like `keras.ops.max_pool` of channels-last values, but computed axis by axis.

    Args:
        x: `(N, *lengths, C)`; the lengths have to be known.
        window: Lengths of a window, one per axis.
        strides: Steps between windows, one per axis.
        padding: "same" or "valid", as in Keras.

    Returns:
        `(N, *lengths, C)`, of the lengths that Keras gives.

    Example:
        >>> clip = ops.reshape(ops.arange(4, dtype="float32"), (1, 4, 1, 1, 1))
        >>> ops.convert_to_numpy(max_pool(clip, (2, 1, 1), (2, 1, 1), "valid")).ravel().tolist()
        [1.0, 3.0]
    """
    for axis, (length, stride) in enumerate(zip(window, strides, strict=True), 1):
        if length > 1 or stride > 1:
            x = _along(x, _Windows(axis, x.shape[axis], length, stride, padding == "same"))
    return x


@dataclass(frozen=True)
class _Windows:
    """The windows along one axis, on a grid of cells that are a stride long.

    Attributes:
        axis: Axis of the values.
        length: Length of that axis.
        window: Length of the window.
        stride: From one window to the next.
        same: Whether windows may reach past the ends.
    """

    axis: int
    length: int
    window: int
    stride: int
    same: bool

    @property
    def count(self) -> int:
        if self.same:
            return -(-self.length // self.stride)
        return (self.length - self.window) // self.stride + 1

    @property
    def before(self) -> int:
        """Positions of the first window that lie before the values."""
        return max((self.count - 1) * self.stride + self.window - self.length, 0) // 2 * self.same

    @property
    def cells(self) -> int:
        return self.count + (self.window - 1) // self.stride

    def cut(self, x, first: int, end: int):
        """A part along the axis."""
        if (first, end) == (0, x.shape[self.axis]):
            return x
        return x[(*[slice(None)] * self.axis, slice(first, end))]

    def slices(self, x) -> list:
        """Of each place of a window, what all windows have there."""
        whole = self.cells * self.stride
        x = self.cut(x, 0, min(self.length, whole - self.before))
        pads = [(0, 0)] * len(x.shape)
        pads[self.axis] = (self.before, whole - self.before - x.shape[self.axis])
        x = ops.pad(x, pads, constant_values=lowest(x.dtype)) if any(pads[self.axis]) else x
        first, rest = x.shape[1 : self.axis], x.shape[self.axis + 1 :]
        x = ops.reshape(x, (-1, *first, self.cells, self.stride, *rest))
        of_cells = ops.unstack(x, self.stride, axis=self.axis + 1)
        places = (divmod(place, self.stride) for place in range(self.window))
        return [self.cut(of_cells[at], cell, cell + self.count) for cell, at in places]

    def joined(self, slices: Sequence):
        """The sum of what `slices` cuts out, in the places of the values."""
        at_place: list = [0] * self.stride
        for place, part in enumerate(slices):
            cell, at = divmod(place, self.stride)
            at_place[at] = at_place[at] + self.surrounded(part, cell, self.cells)
        zero = ops.zeros_like(at_place[0])
        x = ops.stack(
            [zero if isinstance(part, int) else part for part in at_place], axis=self.axis + 1
        )
        first, rest = x.shape[1 : self.axis], x.shape[self.axis + 2 :]
        x = ops.reshape(x, (-1, *first, self.cells * self.stride, *rest))
        x = self.cut(x, self.before, min(self.before + self.length, x.shape[self.axis]))
        return self.surrounded(x, 0, self.length)

    def surrounded(self, x, before: int, length: int):
        """Zeros around it, to some length: by joining, as padding takes several times as long."""
        around = (before, length - before - x.shape[self.axis])
        shape = list(ops.shape(x))
        parts = [x]
        for end, zeros in enumerate(around):
            shape[self.axis] = zeros
            if zeros:
                parts.insert(end * len(parts), ops.zeros(shape, x.dtype))
        return ops.concatenate(parts, axis=self.axis) if len(parts) > 1 else x


def _along(x, windows: _Windows):
    @ops.custom_gradient
    def pooled(x):
        slices = windows.slices(x)
        greatest = functools.reduce(ops.maximum, slices)

        def gradient(*arguments, upstream=None):
            # One backend gives it by name, the others by place.
            left = arguments[0] if upstream is None else upstream
            parts = []
            for part in slices[:-1]:
                parts.append(ops.where(part == greatest, left, ops.zeros_like(left)))
                left = left - parts[-1]
            return windows.joined([*parts, left])

        return greatest, gradient

    return pooled(x)
