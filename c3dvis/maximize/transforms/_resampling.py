"""Transforms as matrices: each output row, column or frame is read from a weighted few inputs."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

# What lies outside a clip, and the value that parametrizations start around.
GREY = 0.5


class Transform(keras.layers.Layer):
    """A layer that changes clips by uniform random numbers that it is given.

    Attributes:
        uniforms: How many of these numbers, in [0, 1), it takes for a clip and step.
    """

    uniforms = 0

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, clips, uniforms):
        """Clips `(N, T, H, W, C)` and `(N, self.uniforms)` to clips."""
        raise NotImplementedError


class Resampling(Transform):
    """A transform that is a product with one matrix per axis, of what differs from grey.

    So it has an exact gradient, runs at the speed of matrix products and, where several follow
    each other, they are one product.
    """

    def matrices(self, shape, uniforms) -> dict:
        """Axis of the clips to matrices `(N, output length, input length)`."""
        raise NotImplementedError

    def call(self, clips, uniforms):
        return apply([self], clips, uniforms)


def apply(transforms, clips, uniforms):
    """All transforms, one after the other; resamplings that follow each other are one.

    Args:
        transforms: The layers.
        clips: `(N, T, H, W, C)`.
        uniforms: `(N, D)` uniform in [0, 1), D the sum of the layers' `uniforms`.

    Returns:
        The clips, `(N, T, H, W, C)`, of the size that the transforms leave.

    Example:
        >>> from c3dvis.maximize import transforms
        >>> both = [transforms.Pad(2), transforms.Jitter(4)]
        >>> tuple(transforms.apply(both, ops.zeros((1, 4, 8, 8, 3)), ops.zeros((1, 2))).shape)
        (1, 4, 8, 8, 3)
    """
    used, pending = 0, dict[int, Any]()
    for transform in transforms:
        own = uniforms[:, used : used + transform.uniforms]
        used += transform.uniforms
        if not isinstance(transform, Resampling):
            clips = transform(resample(clips, pending, about=GREY), own)
            pending.clear()
            continue
        shape = [pending[a].shape[-2] if a in pending else n for a, n in enumerate(clips.shape)]
        for axis, matrix in transform.matrices(shape, own).items():
            pending[axis] = ops.matmul(matrix, pending[axis]) if axis in pending else matrix
    return resample(clips, pending, about=GREY)


def resample(clips, matrices: Mapping[int, Any], *, about: float = 0.0):
    """Products with one matrix `(N, output, input)` or `(output, input)` an axis, time last.

    Args:
        clips: `(N, T, H, W, C)`.
        matrices: By axis of the clips, 1 to 3.
        about: What differs from this value is resampled: a row of zeros reads it.
    """
    if not matrices:
        return clips
    # With the channels in front, each axis is a product of the whole as it lies in memory. Where
    # what comes before ends with the way back from there, TensorFlow leaves out both ways.
    planes = ops.transpose(clips, (0, 4, 1, 2, 3)) - about
    for axis, matrix in sorted(matrices.items(), reverse=True):
        count, channels, frames, height, width = planes.shape
        left = matrix if len(matrix.shape) == 2 else matrix[:, None]
        if axis == 3:
            rows = ops.reshape(planes, (count, channels, -1, width))
            planes = ops.matmul(rows, ops.swapaxes(left, -2, -1))
            width = matrix.shape[-2]
        elif axis == 2:
            planes = ops.reshape(planes, (count, channels * frames, height, width))
            planes, height = ops.matmul(left, planes), matrix.shape[-2]
        else:
            planes = ops.reshape(planes, (count, channels, frames, height * width))
            planes, frames = ops.matmul(left, planes), matrix.shape[-2]
        planes = ops.reshape(planes, (count, channels, frames, height, width))
    return ops.transpose(planes + about, (0, 2, 3, 4, 1))


def interpolation(positions, length: int):
    """Matrices `(N, P, length)` that read at positions `(N, P)`, linearly between neighbours.

    Outside, the first or last row is repeated.
    """
    inside = ops.clip(positions, 0, length - 1)[..., None]
    return ops.maximum(1 - ops.abs(inside - ops.arange(length, dtype="float32")), 0)
