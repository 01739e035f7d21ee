"""Max pooling with a quick and exact gradient.

TensorFlow's gradient of a 3-D max pool on a CPU takes many times as long as the convolutions
around it (of I3D's step, it was about half), and counts values twice that lie within 1e-5 of a
window's greatest. A pool over a box is one over each of its axes in turn, and a pool over an axis
is the greatest of a few slices: the gradient of that is quick, and goes to the greatest alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from keras import ops


def max_pool(x, window: Sequence[int], strides: Sequence[int], padding: str):
    """As `keras.ops.max_pool` of channels-last values, computed axis by axis.

    Args:
        x: `(N, *lengths, C)`; the lengths have to be known.
        window: Lengths of a window, one an axis.
        strides: Steps between windows, one an axis.
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
            x = _along(x, axis, length, stride, padding)
    return x


def _along(x, axis: int, window: int, stride: int, padding: str):
    length = x.shape[axis]
    if padding == "same":
        count = -(-length // stride)
        beyond = max((count - 1) * stride + window - length, 0)
        if beyond:
            pads = [(0, 0)] * len(x.shape)
            pads[axis] = (beyond // 2, beyond - beyond // 2)
            x = ops.pad(x, pads, constant_values=float("-inf"))
    else:
        count = (length - window) // stride + 1
    before = [slice(None)] * axis
    span = (count - 1) * stride + 1
    slices = (x[(*before, slice(first, first + span, stride))] for first in range(window))
    return functools.reduce(ops.maximum, slices)
