"""Penalties that make clips smoother: functions of clips that return one number per clip.

All are in units of activation and per pixel: a weight means the same for clips of any size.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from c3dvis.checks import are_numbers
from c3dvis.maximize.smoothing import smoothing
from c3dvis.maximize.transforms._resampling import GREY, resample

__all__ = ["Blur", "Norm", "Regularizer", "TemporalSmoothness", "TotalVariation", "names"]

_ALL = (1, 2, 3, 4)


class Regularizer:
    """A penalty on clips; a subclass is a frozen dataclass whose fields are its weights.

    Weights must be numbers of 0 or more.
    """

    def __post_init__(self):
        weights = vars(self)
        if not (are_numbers(*weights.values()) and min(weights.values()) >= 0):
            received = ", ".join(f"{name}={weight!r}" for name, weight in weights.items())
            raise ValueError(f"Expected weights of 0 or more. Received: {received}.")

    def __call__(self, clips):
        """Clips `(N, T, H, W, C)` to penalties `(N,)`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, float]:
        """The constructor's arguments, as for Keras objects."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, float]) -> "Regularizer":
        """One with the arguments of another; see `get_config`."""
        return cls(**config)


def names() -> list[str]:
    """Names of the regularizers.

    Example:
        >>> names()
        ['Blur', 'Norm', 'TemporalSmoothness', 'TotalVariation']
    """
    return sorted(kind.__name__ for kind in Regularizer.__subclasses__())


@dataclass(frozen=True, kw_only=True)
class TotalVariation(Regularizer):
    """Mean absolute difference between neighbours in space and in time, weighted apart.

    With `spatial=1`, a checkerboard of black and white costs as much as 2 units of activation earn
    (Mahendran and Vedaldi 2015, https://arxiv.org/abs/1412.0035; separate weights as in
    Feichtenhofer et al. 2018, https://arxiv.org/abs/1801.01415).

    Args:
        spatial: Weight of differences down and to the right.
        temporal: Weight of differences to the next frame; larger shows slower motion.

    Example:
        >>> import numpy as np
        >>> clips = np.zeros((1, 4, 8, 8, 3), "float32")
        >>> clips[:, 2:] = 1  # one of three differences in time
        >>> float(TotalVariation(temporal=3)(clips)[0])
        1.0
    """

    spatial: float = 0.0
    temporal: float = 0.0

    def __call__(self, clips):
        total = ops.zeros(clips.shape[:1], "float32")
        for weight, axis in ((self.temporal, 1), (self.spatial, 2), (self.spatial, 3)):
            if weight:
                total = total + weight * _mean_difference(clips, axis, ops.abs)
        return total


@dataclass(frozen=True, kw_only=True)
class TemporalSmoothness(Regularizer):
    """Mean squared first and second differences between frames: change, and change of change.

    The first makes a clip slow. The second allows steady change: even motion or brightening costs
    nothing, flicker and jerks do. Squares penalize fast change more than `TotalVariation` does and
    leave slow change nearly free.

    Args:
        first: Weight of the squared difference of neighbouring frames. Frames that alternate
            between black and white cost this.
        second: Weight of the squared difference of neighbouring differences. Frames that alternate
            between black and white cost 4 times this.

    Example:
        >>> import numpy as np
        >>> ramp = np.linspace(0, 1, 6, dtype="float32").reshape(1, 6, 1, 1, 1)  # 0.2 per frame
        >>> change, jerk = TemporalSmoothness(first=1), TemporalSmoothness(second=1)
        >>> float(change(ramp)[0]), float(jerk(ramp)[0])
        (0.04, 0.0)
    """

    first: float = 0.0
    second: float = 0.0

    def __call__(self, clips):
        total = ops.zeros(clips.shape[:1], "float32")
        for weight in (self.first, self.second):
            if weight:
                total = total + weight * _mean_difference(clips, 1, ops.square)
            clips = _difference(clips, 1)
        return total


@dataclass(frozen=True, kw_only=True)
class Norm(Regularizer):
    """Mean distance from grey, to a power: the L-p norm before its root.

    The distance is 0 at grey and 1 at black and at white. With a power of 2 all contrast costs;
    with one of 6 hardly anything but values near black and white does (Mahendran and Vedaldi 2015,
    https://arxiv.org/abs/1412.0035).

    Args:
        weight: What a clip of black and white alone costs.
        power: p, 1 or more.

    Example:
        >>> import numpy as np
        >>> float(Norm(weight=8, power=2)(np.full((1, 4, 8, 8, 3), 0.75, "float32"))[0])
        2.0
    """

    weight: float = 0.0
    power: float = 6.0

    def __post_init__(self):
        super().__post_init__()
        if self.power < 1:
            raise ValueError(f"Expected a power of 1 or more. Received: {self.power}.")

    def __call__(self, clips):
        return self.weight * ops.mean((2 * ops.abs(clips - GREY)) ** self.power, _ALL)


@dataclass(frozen=True, kw_only=True)
class Blur(Regularizer):
    """Mean squared difference from a blurred copy, in space and in time, weighted apart.

    The copy is blurred by the kernel 1, 4, 6, 4, 1. So detail finer than a few pixels costs, and so
    do steep edges, but anything coarser is free (in the spirit of Yosinski et al. 2015,
    https://arxiv.org/abs/1506.06579, who blur the picture itself at every few steps).

    Args:
        spatial: Weight of the difference from a copy blurred in height and width.
        temporal: Weight of the difference from a copy blurred in time.

    Example:
        >>> import numpy as np
        >>> float(Blur(spatial=1, temporal=1)(np.ones((1, 4, 8, 8, 3), "float32"))[0])
        0.0
    """

    spatial: float = 0.0
    temporal: float = 0.0

    def __call__(self, clips):
        total = ops.zeros(clips.shape[:1], "float32")
        for weight, axes in ((self.spatial, (2, 3)), (self.temporal, (1,))):
            if weight:
                blurred = resample(clips, {axis: smoothing(clips.shape[axis]) for axis in axes})
                total = total + weight * ops.mean(ops.square(clips - blurred), _ALL)
        return total


def _mean_difference(clips, axis: int, size: Callable):
    """Mean of the neighbours' differences after `size`; 0 where there is only one."""
    if clips.shape[axis] < 2:
        return ops.zeros(clips.shape[:1], "float32")
    return ops.mean(size(_difference(clips, axis)), _ALL)


def _difference(clips, axis: int):
    length = clips.shape[axis]
    before = [slice(None)] * axis
    return clips[(*before, slice(1, length))] - clips[(*before, slice(0, length - 1))]
