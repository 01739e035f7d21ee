"""What a metric is worth: the same for a random map, and how far it may be off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Beside:
    """What a metric gives a heatmap, and what it gives a random one.

    Attributes:
        value: Of the heatmap.
        random: Of random heatmaps of the same shape.
    """

    value: Any
    random: Any


class Interval(NamedTuple):
    """A mean, and the interval in which it lies."""

    mean: float
    low: float
    high: float


def beside_random(
    metric: Callable[..., float],
    heatmap: ArrayLike,
    *arguments: Any,
    maps: int = 20,
    seed: int = 0,
    **options: Any,
) -> Beside:
    """A metric of a heatmap, beside its mean over random heatmaps.

    Args:
        metric: Such as `pointing_game`; it takes a heatmap first.
        heatmap: Of any shape.
        *arguments: What the metric takes behind the heatmap.
        maps: Number of random heatmaps, uniform in [0, 1) at every pixel.
        seed: Of them.
        **options: Of the metric.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.metrics import beside_random, pointing_game
        >>> mask = np.arange(100).reshape(1, 10, 10) < 50
        >>> scores = beside_random(pointing_game, mask.astype(float), mask, maps=1000)
        >>> scores.value, round(scores.random, 1)
        (1.0, 0.5)
    """
    if maps < 1:
        raise ValueError(f"Expected 1 random map or more. Received: {maps}.")
    draw = np.random.default_rng(seed)
    shape = np.shape(heatmap)
    by_chance = [metric(draw.random(shape), *arguments, **options) for _ in range(maps)]
    return Beside(metric(heatmap, *arguments, **options), float(np.mean(by_chance)))


def bootstrap(
    values: ArrayLike, *, level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> Interval:
    """The mean of some values, and the percentile interval in which it lies.

    To compare two methods on the same clips, give the differences clip by clip.

    Args:
        values: `(N,)`, two or more.
        level: Share of the resampled means that lie in the interval.
        samples: Number of times that the values are drawn anew, with repetition.
        seed: Of the draws.

    Returns:
        Mean, lower and upper end.

    Raises:
        ValueError: Fewer than two values, numbers that are not finite, or a level outside (0, 1).

    Example:
        >>> from c3dvis.attribution.metrics import bootstrap
        >>> bootstrap([1, 1, 1])
        Interval(mean=1.0, low=1.0, high=1.0)

    Efron 1979, "Bootstrap Methods: Another Look at the Jackknife",
    https://doi.org/10.1214/aos/1176344552
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(f"Expected two finite values or more. Received: {values!r}.")
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1. Received: {level}.")
    if samples < 1:
        raise ValueError(f"Expected 1 sample or more. Received: {samples}.")
    draw = np.random.default_rng(seed)
    chosen = (draw.integers(len(array), size=len(array)) for _ in range(samples))
    means = [array[indices].mean() for indices in chosen]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high))
