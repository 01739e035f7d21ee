"""Small random changes of a clip at every step, so that what is found does not hang on a pixel.

Each is a Keras layer. It gets its random numbers with the clips, so many in [0, 1) a clip, and
uses them for all frames of the clip alike: a transform moves the camera, it does not shake it.
"""

from typing import Any

import keras
from keras import ops

__all__ = ["Jitter", "Pad", "Scale", "TemporalJitter", "apply", "default"]

# What lies outside a clip, and the value that parametrizations start around.
_GREY = 0.5


class Pad(keras.layers.Layer):
    """A grey border, so that later transforms move no pixel of the clip out of sight.

    Args:
        pixels: Width of the border on each side.
    """

    draws = 0

    def __init__(self, pixels: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.pixels = _at_least_zero(pixels, "pixels")

    def call(self, clips, draws):
        border = (self.pixels, self.pixels)
        return ops.pad(clips, [(0, 0), (0, 0), border, border, (0, 0)], constant_values=_GREY)


class Resampling(keras.layers.Layer):
    """A transform that reads each output row, column or frame from a weighted few of the input.

    It is a product with one matrix an axis, so it has an exact gradient, runs at the speed of
    matrix products and, where several follow each other, they are one product.
    """

    draws = 0

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def matrices(self, shape, draws) -> dict:
        """Axis of the clips to matrices `(N, output length, input length)`."""
        raise NotImplementedError

    def call(self, clips, draws):
        return apply([self], clips, draws)


class Jitter(Resampling):
    """Cuts a window at a random whole-pixel offset.

    Args:
        pixels: Largest offset; height and width shrink by it.
    """

    draws = 2

    def __init__(self, pixels: int, **kwargs):
        super().__init__(**kwargs)
        self.pixels = _at_least_zero(pixels, "pixels")

    def matrices(self, shape, draws):
        offsets = ops.floor(draws * (self.pixels + 1))
        return {
            axis: _interpolation(
                ops.arange(shape[axis] - self.pixels, dtype="float32") + offsets[:, i, None],
                shape[axis],
            )
            for i, axis in enumerate((2, 3))
        }


class Scale(Resampling):
    """Magnifies around the centre by a random factor; edges are repeated where it shrinks.

    Args:
        smallest: Least factor.
        largest: Greatest factor.
    """

    draws = 1

    def __init__(self, smallest: float = 0.9, largest: float = 1.1, **kwargs):
        super().__init__(**kwargs)
        if not 0 < smallest <= largest:
            raise ValueError(f"Expected 0 < smallest <= largest. Received: {smallest}, {largest}.")
        self.smallest, self.largest = smallest, largest

    def matrices(self, shape, draws):
        factors = self.smallest + (self.largest - self.smallest) * draws
        made = {}
        for axis in (2, 3):
            centre = (shape[axis] - 1) / 2
            away = ops.arange(shape[axis], dtype="float32") - centre
            made[axis] = _interpolation(centre + away / factors, shape[axis])
        return made


class TemporalJitter(Resampling):
    """Plays the clip a few frames earlier or later; the first or last frame is held.

    Args:
        frames: Largest shift either way.
    """

    draws = 1

    def __init__(self, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.frames = _at_least_zero(frames, "frames")

    def matrices(self, shape, draws):
        shifts = ops.floor(draws * (2 * self.frames + 1)) - self.frames
        return {1: _interpolation(ops.arange(shape[1], dtype="float32") + shifts, shape[1])}


def default(frames: int, height: int, width: int) -> list[keras.layers.Layer]:
    """Pad, jitter, scale and temporal jitter in proportion to the clip's size."""
    pixels = round(min(height, width) / 16)
    return [Pad(pixels), Jitter(2 * pixels), Scale(), TemporalJitter(round(frames / 16))]


def apply(transforms, clips, draws):
    """All transforms, one after the other; resamplings that follow each other are one.

    Args:
        transforms: The layers.
        clips: `(N, T, H, W, C)`.
        draws: `(N, D)` uniform in [0, 1), D the sum of the layers' `draws`.
    """
    used, pending = 0, dict[int, Any]()
    for transform in transforms:
        own = draws[:, used : used + transform.draws]
        used += transform.draws
        if not isinstance(transform, Resampling):
            clips = transform(_resample(clips, pending), own)
            pending.clear()
            continue
        shape = [pending[a].shape[1] if a in pending else n for a, n in enumerate(clips.shape)]
        for axis, matrix in transform.matrices(shape, own).items():
            pending[axis] = ops.matmul(matrix, pending[axis]) if axis in pending else matrix
    return _resample(clips, pending)


def _resample(clips, matrices: dict):
    """Products with one matrix `(N, output, input)` an axis, the smallest results first."""
    for axis, matrix in sorted(matrices.items(), key=lambda item: -item[0]):
        shape = list(clips.shape)
        rest = shape[1:axis] + shape[axis + 1 :]
        order = [0, axis, *(a for a in range(1, len(shape)) if a != axis)]
        flat = ops.reshape(ops.transpose(clips, order), (shape[0], shape[axis], -1))
        made = ops.reshape(ops.matmul(matrix, flat), (shape[0], matrix.shape[1], *rest))
        back = [order.index(a) for a in range(len(shape))]
        clips = ops.transpose(made, back)
    return clips


def _interpolation(positions, length: int):
    """Matrices `(N, P, length)` that read at positions `(N, P)`, linearly between neighbours."""
    inside = ops.clip(positions, 0, length - 1)[..., None]
    return ops.maximum(1 - ops.abs(inside - ops.arange(length, dtype="float32")), 0)


def _at_least_zero(value: int, name: str) -> int:
    if value < 0 or value != int(value):
        raise ValueError(f"Expected {name} to be a whole number from 0. Received: {value}.")
    return int(value)
