"""Transforms of a clip's frames. None of them wraps around from the last frame to the first."""

import math

from keras import ops

from c3dvis.checks import are_numbers, whole
from c3dvis.maximize.transforms._resampling import Resampling, interpolation


class TemporalJitter(Resampling):
    """Plays the clip a few frames earlier or later; the first or last frame is held.

    Args:
        frames: Largest shift either way.

    Example:
        >>> clip = ops.reshape(ops.arange(4, dtype="float32"), (1, 4, 1, 1, 1))
        >>> later = TemporalJitter(1)(clip, ops.zeros((1, 1)))
        >>> ops.convert_to_numpy(later).ravel().tolist()
        [0.0, 0.0, 1.0, 2.0]
    """

    uniforms = 1

    def __init__(self, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.frames = whole(frames, "frames")

    def matrices(self, shape, uniforms):
        shifts = ops.floor(uniforms * (2 * self.frames + 1)) - self.frames
        return {1: interpolation(ops.arange(shape[1], dtype="float32") + shifts, shape[1])}


class Speed(Resampling):
    """Plays the clip slower or faster about its middle; played faster, its ends are held.

    As often slower by some factor as faster by it: the logarithm of the factor is uniform.

    Args:
        slowest: Minimum factor; 0.5 is half as fast.
        fastest: Maximum factor.

    Example:
        >>> clip = ops.reshape(ops.arange(5, dtype="float32"), (1, 5, 1, 1, 1))
        >>> faster = Speed(2, 2)(clip, ops.zeros((1, 1)))
        >>> ops.convert_to_numpy(faster).ravel().tolist()
        [0.0, 0.0, 2.0, 4.0, 4.0]
    """

    uniforms = 1

    def __init__(self, slowest: float = 0.8, fastest: float = 1.25, **kwargs):
        super().__init__(**kwargs)
        if not (are_numbers(slowest, fastest) and 0 < slowest <= fastest):
            raise ValueError(
                f"Expected 0 < slowest <= fastest. Received: {slowest!r}, {fastest!r}."
            )
        self.slowest, self.fastest = slowest, fastest

    def matrices(self, shape, uniforms):
        span = math.log(self.fastest / self.slowest)
        factors = self.slowest * ops.exp(span * uniforms)
        middle = (shape[1] - 1) / 2
        away = ops.arange(shape[1], dtype="float32") - middle
        return {1: interpolation(middle + away * factors, shape[1])}


class Freeze(Resampling):
    """Holds the picture for a random stretch of the clip, like a film that hangs.

    All frames of the stretch are its first; after it, the clip continues as before.

    Args:
        frames: Longest stretch; the shortest, of 0 or 1 frames, changes nothing.

    Example:
        >>> clip = ops.reshape(ops.arange(4, dtype="float32"), (1, 4, 1, 1, 1))
        >>> held = Freeze(2)(clip, ops.convert_to_tensor([[0.9, 0.5]]))
        >>> ops.convert_to_numpy(held).ravel().tolist()
        [0.0, 1.0, 1.0, 3.0]
    """

    uniforms = 2

    def __init__(self, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.frames = whole(frames, "frames")

    def matrices(self, shape, uniforms):
        longest = min(self.frames, shape[1])
        lengths = ops.floor(uniforms[:, :1] * (longest + 1))
        first = ops.floor(uniforms[:, 1:] * (shape[1] - lengths + 1))
        times = ops.arange(shape[1], dtype="float32")
        held = ops.logical_and(times >= first, times < first + lengths)
        return {1: interpolation(ops.where(held, first, times), shape[1])}
