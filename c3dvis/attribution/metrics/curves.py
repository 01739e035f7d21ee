"""Insertion and deletion: the probability of a class as the hottest pixels are shown or hidden."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution import baselines
from c3dvis.attribution.metrics import ties
from c3dvis.attribution.metrics.chance import WithChance
from c3dvis.attribution.scorer import Scorer

_BASELINES = MappingProxyType({"blur": "blur", "fade": "black", "freeze": "first_frame"})


@dataclass(frozen=True)
class Curve:
    """Probability of a class against the share of the pixels that have been changed.

    Attributes:
        shares: float64 `(S,)`, from 0 to 1.
        probabilities: float32 `(S,)`.
    """

    shares: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    @property
    def area(self) -> float:
        """Area under the curve, in [0, 1], by trapezoids."""
        return float(np.trapezoid(self.probabilities, self.shares))


def insertion(
    scorer: Scorer,
    clip: NDArray[np.float32],
    heatmap: ArrayLike,
    *,
    baseline: str = "blur",
    steps: int = 16,
    seed: int = 0,
) -> WithChance:
    """Insertion: shows the clip pixel by pixel, the hottest first; a larger area is better.

    Pixels of all frames are in one order; equal ones are in random order, so that a constant map
    is at chance level.

    Args:
        scorer: A scorer of one logit.
        clip: float32 `(T, H, W, C)` in [0, 1].
        heatmap: `(T, H, W)`, signed.
        baseline: The clip before insertion: "blur"; "fade", black; "freeze", the first frame
            throughout, so that what is inserted is motion.
        steps: Number of equal parts in which pixels are inserted.
        seed: Seed of the random map and of the order of tied pixels.

    Returns:
        `value` and `random`, both a `Curve`: of the heatmap and of a random one. Compare with the
        random curve: with "fade", it can even be the best at deletion, as noise that is cut out of
        a clip disturbs a network more than a missing object.

    Raises:
        ValueError: An unknown baseline, a heatmap of another shape, or an objective that is not
            one logit.

    Example:
        >>> import numpy as np
        >>> from c3dvis import models, objectives
        >>> from c3dvis.attribution.scorer import Scorer
        >>> scorer = Scorer(models.build("c3d-motion"), objectives.logit("moving left"))
        >>> clip, heatmap = np.zeros((16, 64, 64, 3), np.float32), np.zeros((16, 64, 64))
        >>> insertion(scorer, clip, heatmap, steps=4).value.shares.tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]

    Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
    https://arxiv.org/abs/1806.07421
    """
    absent = _baseline(baseline, clip)
    return _curves(scorer, absent, clip, heatmap, steps, seed)


def deletion(
    scorer: Scorer,
    clip: NDArray[np.float32],
    heatmap: ArrayLike,
    *,
    baseline: str = "blur",
    steps: int = 16,
    seed: int = 0,
) -> WithChance:
    """Deletion: hides the clip pixel by pixel, the hottest first; a smaller area is better.

    Args:
        scorer: A scorer of one logit.
        clip: float32 `(T, H, W, C)` in [0, 1].
        heatmap: `(T, H, W)`, signed.
        baseline: The clip after deletion: "blur"; "fade", black; "freeze", the first frame
            throughout.
        steps: Number of equal parts in which pixels are deleted.
        seed: Seed of the random map and of the order of tied pixels.

    Returns:
        `value` and `random`, both a `Curve`, as for `insertion`, which is the more reliable metric.

    Raises:
        ValueError: See `insertion`.

    Example:
        >>> import numpy as np
        >>> from c3dvis import models, objectives
        >>> from c3dvis.attribution.scorer import Scorer
        >>> scorer = Scorer(models.build("c3d-motion"), objectives.logit("moving left"))
        >>> clip, heatmap = np.zeros((16, 64, 64, 3), np.float32), np.zeros((16, 64, 64))
        >>> deletion(scorer, clip, heatmap, steps=2).value.shares.tolist()
        [0.0, 0.5, 1.0]

    Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
    https://arxiv.org/abs/1806.07421
    """
    absent = _baseline(baseline, clip)
    return _curves(scorer, clip, absent, heatmap, steps, seed)


def _baseline(name: str, clip: NDArray[np.float32]) -> NDArray[np.float32]:
    if name not in _BASELINES:
        names = ", ".join(map(repr, _BASELINES))
        raise ValueError(f"Expected a baseline, one of {names}. Received: {name!r}.")
    return baselines.baseline(_BASELINES[name], clip)


def _curves(scorer, before, after, heatmap: ArrayLike, steps: int, seed: int) -> WithChance:
    if steps < 1:
        raise ValueError(f"Expected 1 step or more. Received: {steps}.")
    heat = ties.finite(heatmap, 3, "heatmap")
    if heat.shape != before.shape[:3]:
        raise ValueError(f"Expected a heatmap of {before.shape[:3]}. Received: {heat.shape}.")
    random = np.random.default_rng(seed).random(heat.shape)
    return WithChance(
        _curve(scorer, before, after, heat, random, steps),
        _curve(scorer, before, after, random, random, steps),
    )


def _curve(scorer, before, after, heat, tie_break: NDArray[np.float64], steps: int) -> Curve:
    """Turns one clip into another by descending heat; `tie_break` orders equal pixels."""
    order = np.lexsort((-tie_break.ravel(), -heat.ravel()))
    rank = np.empty(heat.size, np.int64)
    rank[order] = np.arange(heat.size)
    rank = rank.reshape(*heat.shape, 1)
    counts = np.linspace(0, heat.size, steps + 1).round().astype(np.int64)
    probabilities = [
        scorer.probabilities(
            np.stack([np.where(rank < count, after, before) for count in counts[part]])
        )
        for part in scorer.batches(len(counts), before.shape)
    ]
    return Curve(counts / heat.size, np.concatenate(probabilities))
