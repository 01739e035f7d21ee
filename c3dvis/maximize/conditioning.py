"""Gradient conditioning: identity layers that change the gradient on its way back.

They are transforms that take no random numbers. Those that come first in a `Maximizer`'s list see
the gradient with respect to the clip itself, of the score less the penalties of its regularizers;
further down the list, that of the score with respect to the clip as transformed so far.
"""

from collections.abc import Sequence

import keras
from keras import ops

from c3dvis.checks import whole
from c3dvis.maximize.smoothing import doubling, halving
from c3dvis.maximize.transforms import Transform
from c3dvis.maximize.transforms._resampling import resample

__all__ = ["LaplacianGradient", "UnitGradient", "split"]

# A band below this share of the largest gradient is rounding of float32.
_ROUNDING = 1e-5


class Conditioning(Transform):
    """Identity whose gradient is `condition(gradient)`."""

    def condition(self, gradient):
        """Gradient `(N, T, H, W, C)` to one of the same shape, clip by clip."""
        raise NotImplementedError

    def call(self, clips, uniforms=None):
        @ops.custom_gradient
        def identity(clips):
            def gradient(*arguments, upstream=None):
                # Some backends pass it by name, others by position.
                return self.condition(arguments[0] if upstream is None else upstream)

            return clips, gradient

        return identity(clips)


class UnitGradient(Conditioning):
    """Each clip's gradient divided by its standard deviation.

    Steps are then of one size for all units and from the first to the last, which plain gradient
    descent (`optimizer="sgd"`) needs; Adam does so for each weight by itself. The deviation is
    taken about 0, not about the mean, so a gradient that is the same everywhere stays finite. A
    gradient of 0 stays 0.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import maximize
        >>> from c3dvis.maximize.conditioning import UnitGradient
        >>> network = models.build("c3d-motion")
        >>> clips = maximize(
        ...     network, objectives.channel("conv1", 0), steps=2, transforms=[UnitGradient()]
        ... )
    """

    def condition(self, gradient):
        return _unit(_to_largest_1(gradient), floor=0.0)


class LaplacianGradient(Conditioning):
    """Each clip's gradient split into frequency bands, each divided by its standard deviation.

    This scales down the fine noise of a network's gradient: the Laplacian pyramid of lucid
    (https://github.com/tensorflow/lucid) in space and time, as in c3d-vis, with the kernel 1, 4, 6,
    4, 1 along each axis. Unlike theirs, each clip has its own deviations, and the kernel does not
    read zeros past the clip's ends.

    Args:
        levels: How often the gradient is halved; there is a band for each, and one of what is left.

    Example:
        >>> from c3dvis.maximize.conditioning import LaplacianGradient
        >>> tuple(LaplacianGradient(levels=2).condition(ops.ones((1, 8, 16, 16, 3))).shape)
        (1, 8, 16, 16, 3)
    """

    def __init__(self, levels: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.levels = whole(levels, "levels", 1)

    def condition(self, gradient):
        bands = []
        rest = _to_largest_1(gradient)
        for _ in range(self.levels):
            axes = (1, 2, 3)
            half = resample(rest, {axis: halving(rest.shape[axis]) for axis in axes})
            up = {axis: doubling(rest.shape[axis]) for axis in axes}
            bands.append((rest - resample(half, up), up))
            rest = half
        total = _unit(rest, _ROUNDING)
        for band, up in reversed(bands):
            total = resample(total, up) + _unit(band, _ROUNDING)
        return total


def split(transforms: Sequence[keras.layers.Layer]) -> tuple[list, list]:
    """Splits transforms into the gradient conditioning that they begin with, and the rest.

    Args:
        transforms: Layers of this module and of `c3dvis.maximize.transforms`, in their order.

    Returns:
        Two lists: those that condition the gradient, and the others.

    Example:
        >>> from c3dvis.maximize.conditioning import UnitGradient, split
        >>> from c3dvis.maximize.transforms import Jitter
        >>> [len(part) for part in split([UnitGradient(), Jitter(2), Jitter(1)])]
        [1, 2]
    """
    first = 0
    while first < len(transforms) and isinstance(transforms[first], Conditioning):
        first += 1
    return list(transforms[:first]), list(transforms[first:])


def _to_largest_1(gradient):
    """Scaled so that no square in float32 is too small or too large to be one."""
    largest = ops.max(ops.abs(gradient), axis=(1, 2, 3, 4), keepdims=True)
    return gradient / ops.where(largest > 0, largest, 1.0)


def _unit(band, floor: float):
    deviation = ops.sqrt(ops.mean(band**2, axis=(1, 2, 3, 4), keepdims=True))
    return band / ops.where(deviation > floor, deviation, 1.0)
