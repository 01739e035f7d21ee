"""Confidence intervals of a mean."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: ArrayLike, *, level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> Interval:
    """The mean of values and its bootstrap percentile interval.

    To compare two methods on the same clips, pass the difference for each clip.

    Args:
        values: `(N,)`, two or more.
        level: Confidence level: the share of the resampled means in the interval.
        samples: Number of resamples, drawn with replacement.
        seed: Of the resamples.

    Returns:
        Mean, lower and upper end.

    Raises:
        ValueError: Fewer than two values, numbers that are not finite, or a level outside (0, 1).

    Example:
        >>> from c3dvis.intervals import bootstrap
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
    rng = np.random.default_rng(seed)
    resamples = (rng.integers(len(array), size=len(array)) for _ in range(samples))
    means = [array[indices].mean() for indices in resamples]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high))
