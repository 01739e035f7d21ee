"""The chance level of a metric."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class WithChance:
    """A metric of a heatmap, and its chance level.

    Attributes:
        value: The metric of the heatmap.
        random: The mean of the metric over random heatmaps of the same shape.
    """

    value: Any
    random: Any


def compare_to_chance(
    metric: Callable[..., float],
    heatmap: ArrayLike,
    *arguments: Any,
    maps: int = 20,
    seed: int = 0,
    **options: Any,
) -> WithChance:
    """A metric of a heatmap, and its mean over random heatmaps.

    Args:
        metric: Function whose first argument is a heatmap, such as `pointing_game`.
        heatmap: Heatmap of any shape.
        *arguments: Further arguments of the metric.
        maps: Number of random heatmaps, uniform in [0, 1) at every pixel.
        seed: Seed of the random heatmaps.
        **options: Options of the metric.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.metrics import compare_to_chance, pointing_game
        >>> mask = np.arange(100).reshape(1, 10, 10) < 50
        >>> scores = compare_to_chance(pointing_game, mask.astype(float), mask, maps=1000)
        >>> scores.value, round(scores.random, 1)
        (1.0, 0.5)
    """
    if maps < 1:
        raise ValueError(f"Expected 1 random map or more. Received: {maps}.")
    rng = np.random.default_rng(seed)
    shape = np.shape(heatmap)
    random = [metric(rng.random(shape), *arguments, **options) for _ in range(maps)]
    return WithChance(metric(heatmap, *arguments, **options), float(np.mean(random)))
