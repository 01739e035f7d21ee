"""Sensitivity to noise in the clip, and faithfulness (μFidelity)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution import baselines
from c3dvis.attribution.metrics import ties
from c3dvis.attribution.metrics.chance import WithChance
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
    """Max-sensitivity: the largest relative change of a heatmap under noise; smaller is better.

    `max |E(x + d) - E(x)| / |E(x)|` over random `d` with values in [-radius, radius].

    Args:
        explain: Function from a clip to its heatmap, such as
            `lambda clip: attribute(network, clip, objective).heatmap`.
        clip: float32 `(T, H, W, C)` in [0, 1]; noisy clips are clipped to that range.
        radius: Largest absolute value of the noise.
        samples: Number of noisy clips.
        seed: Seed of the noise.

    Returns:
        From 0; infinite if a heatmap of zeros changes.

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
    rng = np.random.default_rng(seed)
    original = ties.finite(explain(clip), 3, "heatmap")
    changes = []
    for _ in range(samples):
        noise = rng.uniform(-radius, radius, clip.shape).astype(np.float32)
        noisy = ties.finite(explain(np.clip(clip + noise, 0, 1)), 3, "heatmap")
        changes.append(np.linalg.norm(noisy - original))
    largest, size = max(changes), np.linalg.norm(original)
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
) -> WithChance:
    """μFidelity: correlation of the heat of random sets of blocks and the drop without them.

    Args:
        scorer: A scorer of any objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        heatmap: `(T, H, W)`, signed.
        blocks: Number of blocks along time, height and width.
        share: Share of the blocks in a set.
        subsets: Number of sets, at least 3, with a forward pass for each.
        baseline: What replaces removed blocks: "black", "blur", "noise", "first_frame", or a clip.
        seed: Seed of the sets and the random heatmaps.

    Returns:
        `value` and `random`: Pearson correlation of the heatmap, and its mean over random
        heatmaps, both in [-1, 1]; 0 if all sets have the same heat.

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
    if np.shape(blocks) != (3,) or not all(
        1 <= n <= length for n, length in zip(blocks, heat.shape, strict=True)
    ):
        raise ValueError(
            f"Expected blocks from 1 up to {heat.shape} on each axis. Received: {blocks}."
        )
    count = round(share * np.prod(blocks))
    if not 0 < count < np.prod(blocks) or subsets < 3:
        raise ValueError(
            "Expected a share that removes some blocks and not all, and 3 subsets or more. "
            f"Received: {share}, {subsets}."
        )
    rng = np.random.default_rng(seed)
    labels = _block_labels(heat.shape, blocks)
    sets = [rng.permutation(int(np.prod(blocks)))[:count] for _ in range(subsets)]
    drops = _drops(scorer, clip, baselines.baseline(baseline, clip), labels, sets)
    random = [
        _correlation(rng.random(heat.shape), labels, sets, drops) for _ in range(_RANDOM_MAPS)
    ]
    return WithChance(_correlation(heat, labels, sets, drops), float(np.mean(random)))


def _block_labels(shape, blocks) -> NDArray[np.int64]:
    """The index of each pixel's block, `(T, H, W)`."""
    along = [np.arange(length) * n // length for length, n in zip(shape, blocks, strict=True)]
    return np.asarray(np.ravel_multi_index(np.meshgrid(*along, indexing="ij"), blocks))


def _drops(scorer, clip, absent, labels, sets) -> NDArray[np.float64]:
    """Drop of the score when each set of blocks is removed."""
    scores: list[float] = []
    for part in scorer.batches(len(sets), clip.shape):
        removed = [np.isin(labels, blocks)[..., None] for blocks in sets[part]]
        scores += list(scorer.scores(np.stack([np.where(r, absent, clip) for r in removed])))
    return float(scorer.scores(clip[None])[0]) - np.array(scores, np.float64)


def _correlation(heat, labels, sets, drops: NDArray[np.float64]) -> float:
    block_heat = np.bincount(labels.ravel(), heat.ravel())
    sums = np.array([block_heat[blocks].sum() for blocks in sets])
    # Sums of equal blocks still differ in their last digits.
    if np.ptp(sums) <= 1e-9 * np.abs(sums).max() or not np.ptp(drops):
        return 0.0
    return float(np.corrcoef(sums, drops)[0, 1])
