"""Confidence intervals of a mean, and of a ratio of means."""

from collections.abc import Hashable, Sequence
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
        seed: Seed of the resamples.

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


def bootstrap_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    groups: Sequence[Hashable],
    *,
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The ratio of two sums over the same clips, with its interval over groups of clips.

    Whole groups are drawn, as clips of one film are alike (a cluster bootstrap). With ones as
    denominators the ratio is the mean.

    Args:
        numerators: `(N,)`.
        denominators: `(N,)`, whose sum is above 0.
        groups: `(N,)`, what the clips of one group have in common.
        level: Confidence level: the share of the resampled ratios in the interval.
        samples: Number of resamples, drawn with replacement.
        seed: Seed of the resamples.

    Returns:
        Ratio, lower and upper end. Of one group alone the interval is without bounds.

    Raises:
        ValueError: Values of several lengths, none, not finite, or denominators that add up to 0
            or less.

    Example:
        >>> from c3dvis.intervals import bootstrap_ratio
        >>> bootstrap_ratio([1, 1, 2, 2], [2, 2, 4, 4], ["a", "a", "b", "b"])
        Interval(mean=0.5, low=0.5, high=0.5)
    """
    pairs = np.stack([np.asarray(one, np.float64) for one in (numerators, denominators)], axis=-1)
    if pairs.ndim != 2 or not len(pairs) or len(pairs) != len(groups):
        raise ValueError(
            f"Expected a numerator, denominator and group of each clip. Received: {len(pairs)} "
            f"and {len(groups)}."
        )
    total = pairs.sum(axis=0)
    if not np.isfinite(pairs).all() or not total[1] > 0:
        raise ValueError(
            f"Expected finite values, and denominators of a sum above 0. Received: {total[1]}."
        )
    ratio = float(total[0] / total[1])
    names = {group: row for row, group in enumerate(dict.fromkeys(groups))}
    count = len(names)
    if count < 2:
        return Interval(ratio, -np.inf, np.inf)
    sums = np.zeros((count, 2))
    np.add.at(sums, [names[group] for group in groups], pairs)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=samples)
    resampled = drawn @ sums
    known = resampled[resampled[:, 1] > 0]
    low, high = np.quantile(known[:, 0] / known[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return Interval(ratio, float(low), float(high))
