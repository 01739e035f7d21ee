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
    """A transform that is a product with one matrix an axis.

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
            clips = transform(resample(clips, pending), own)
            pending.clear()
            continue
        shape = [pending[a].shape[1] if a in pending else n for a, n in enumerate(clips.shape)]
        for axis, matrix in transform.matrices(shape, own).items():
            pending[axis] = ops.matmul(matrix, pending[axis]) if axis in pending else matrix
    return resample(clips, pending)


def resample(clips, matrices: Mapping[int, Any]):
    """Products with one matrix `(N, output, input)` or `(output, input)` an axis, time last."""
    for axis, matrix in sorted(matrices.items(), key=lambda item: -item[0]):
        shape = list(clips.shape)
        rest = shape[1:axis] + shape[axis + 1 :]
        order = [0, axis, *(a for a in range(1, len(shape)) if a != axis)]
        flat = ops.reshape(ops.transpose(clips, order), (shape[0], shape[axis], -1))
        product = ops.reshape(ops.matmul(matrix, flat), (shape[0], matrix.shape[-2], *rest))
        back = [order.index(a) for a in range(len(shape))]
        clips = ops.transpose(product, back)
    return clips


def interpolation(positions, length: int):
    """Matrices `(N, P, length)` that read at positions `(N, P)`, linearly between neighbours.

    Outside, the first or last row is repeated.
    """
    inside = ops.clip(positions, 0, length - 1)[..., None]
    return ops.maximum(1 - ops.abs(inside - ops.arange(length, dtype="float32")), 0)


def whole(value: int, name: str) -> int:
    """Refuses what is not a whole number from 0."""
    if value < 0 or value != int(value):
        raise ValueError(f"Expected {name} to be a whole number from 0. Received: {value}.")
    return int(value)
