"""Whether a heatmap moves little when the clip does, and whether it foretells what removal does."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution import baselines
from c3dvis.attribution.metrics import ties
from c3dvis.attribution.metrics.chance import Beside
from c3dvis.attribution.scorer import Scorer

_RANDOM_MAPS = 20


def sensitivity(
    explain: Callable[[NDArray[np.float32]], ArrayLike],
    clip: NDArray[np.float32],
    *,
    radius: float = 0.02,
    samples: int = 8,
    seed: int = 0,
) -> float:
    """The largest relative change of a heatmap under small noise in the clip; small is good.

    `max |E(x + d) - E(x)| / |E(x)|` over random `d` with values in [-radius, radius].

    Args:
        explain: Gives the heatmap of a clip, such as
            `lambda clip: attribute(network, clip, objective).heatmap`.
        clip: float32 `(T, H, W, C)` in [0, 1]; with noise, it is clipped to that range.
        radius: Of the noise, in units of brightness.
        samples: Number of noisy clips.
        seed: Of the noise.

    Returns:
        From 0; infinite where a map of zeros becomes another.

    Raises:
        ValueError: No samples, or a radius that is not above 0.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.metrics import sensitivity
        >>> sensitivity(lambda clip: np.ones(clip.shape[:3]), np.zeros((2, 4, 4, 3), np.float32))
        0.0

    Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations",
    https://arxiv.org/abs/1901.09392
    """
    if samples < 1 or not radius > 0:
        raise ValueError(
            f"Expected 1 sample or more and a radius above 0. Received: {samples}, {radius}."
        )
    draw = np.random.default_rng(seed)
    own = ties.finite(explain(clip), 3, "heatmap")
    changes = []
    for _ in range(samples):
        noise = draw.uniform(-radius, radius, clip.shape).astype(np.float32)
        moved = ties.finite(explain(np.clip(clip + noise, 0, 1)), 3, "heatmap")
        changes.append(np.linalg.norm(moved - own))
    largest, size = max(changes), np.linalg.norm(own)
    if not size:
        return float("inf") if largest else 0.0
    return float(largest / size)


def mu_fidelity(
    scorer: Scorer,
    clip: NDArray[np.float32],
    heatmap: ArrayLike,
    *,
    blocks: tuple[int, int, int] = (4, 4, 4),
    share: float = 0.2,
    subsets: int = 64,
    baseline: str | NDArray[np.float32] = "black",
    seed: int = 0,
) -> Beside:
    """Correlation between the heat of a random set of blocks and what the score loses without it.

    Args:
        scorer: About an objective of any kind.
        clip: float32 `(T, H, W, C)` in [0, 1].
        heatmap: `(T, H, W)`, signed.
        blocks: Number of blocks along time, height and width.
        share: Of the blocks that a set holds.
        subsets: Number of sets, at least 3; so many forward passes.
        baseline: What stands in a block that is removed: "black", "blur", "noise",
            "first_frame", or a clip.
        seed: Of the sets and the random maps.

    Returns:
        `value` and `random`: Pearson correlation of the heatmap, and its mean over random
        heatmaps, both in [-1, 1]. A map whose sets all have the same heat has 0: it foretells
        nothing.

    Raises:
        ValueError: A heatmap of another shape, or options out of range.

    Example:
        >>> import numpy as np
        >>> from c3dvis import models, objectives
        >>> from c3dvis.attribution.scorer import Scorer
        >>> scorer = Scorer(models.build("c3d-motion"), objectives.logit("moving left"))
        >>> clip, heatmap = np.zeros((16, 64, 64, 3), np.float32), np.zeros((16, 64, 64))
        >>> mu_fidelity(scorer, clip, heatmap, subsets=3).value
        0.0

    Bhatt et al. 2020, "Evaluating and Aggregating Feature-based Model Explanations",
    https://arxiv.org/abs/2005.00631
    """
    heat = ties.finite(heatmap, 3, "heatmap")
    if heat.shape != clip.shape[:3]:
        raise ValueError(f"Expected a heatmap of {clip.shape[:3]}. Received: {heat.shape}.")
    if not all(1 <= n <= length for n, length in zip(blocks, heat.shape, strict=True)):
        raise ValueError(f"Expected from 1 block to one a pixel an axis. Received: {blocks}.")
    count = round(share * np.prod(blocks))
    if not 0 < count < np.prod(blocks) or subsets < 3:
        raise ValueError(
            "Expected a share that leaves some blocks and takes some, and 3 subsets or more. "
            f"Received: {share}, {subsets}."
        )
    draw = np.random.default_rng(seed)
    owner = _owners(heat.shape, blocks)
    chosen = [draw.permutation(int(np.prod(blocks)))[:count] for _ in range(subsets)]
    drops = _drops(scorer, clip, baselines.baseline(baseline, clip), owner, chosen)
    by_chance = [
        _foretold(draw.random(heat.shape), owner, chosen, drops) for _ in range(_RANDOM_MAPS)
    ]
    return Beside(_foretold(heat, owner, chosen, drops), float(np.mean(by_chance)))


def _owners(shape, blocks) -> NDArray[np.int64]:
    """Which block each pixel belongs to, `(T, H, W)`."""
    along = [np.arange(length) * n // length for length, n in zip(shape, blocks, strict=True)]
    return np.asarray(np.ravel_multi_index(np.meshgrid(*along, indexing="ij"), blocks))


def _drops(scorer, clip, absent, owner, chosen) -> NDArray[np.float64]:
    """How much the score falls when each set of blocks is removed."""
    size = scorer.rows(clip.shape)
    scores: list[float] = []
    for first in range(0, len(chosen), size):
        removed = [np.isin(owner, blocks)[..., None] for blocks in chosen[first : first + size]]
        scores += list(scorer.scores(np.stack([np.where(r, absent, clip) for r in removed])))
    return float(scorer.scores(clip[None])[0]) - np.array(scores, np.float64)


def _foretold(heat, owner, chosen, drops: NDArray[np.float64]) -> float:
    a_block = np.bincount(owner.ravel(), heat.ravel())
    sums = np.array([a_block[blocks].sum() for blocks in chosen])
    # Sums of equal blocks still differ in their last digits.
    if np.ptp(sums) <= 1e-9 * np.abs(sums).max() or not np.ptp(drops):
        return 0.0
    return float(np.corrcoef(sums, drops)[0, 1])
