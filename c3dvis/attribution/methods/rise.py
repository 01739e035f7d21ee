"""RISE: the covariance of the score with random smooth masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.convergence import error_settings, most_samples, relative_error
from c3dvis.attribution.mask_regression import POINTS, regress
from c3dvis.attribution.masks import perturbations
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

_COUNT, _MAX_SAMPLES = 1000, 2000
_CHUNK = 8  # masks held in memory at the same time
_FIRST_CHECK, _CHECK_FACTOR = 64, 1.2  # masks at the first check of the error, and their growth


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    count: int | None = None,
    cells: tuple[int, int, int] = (4, 8, 8),
    keep: float = 0.5,
    perturbation: str = "blur",
    tolerance: float | None = None,
    max_samples: int | None = None,
    seed: int = 0,
) -> Attribution:
    """Covariance of the score with the random mask at each pixel, over the mask's variance.

    A mask is a grid of cells, each 1 with probability `keep` and else 0, enlarged by linear
    interpolation in time and space and shifted by a random fraction of a cell. If the score were a
    weighted sum of the unmasked pixels, the heatmap would converge to those weights, blurred by the
    size of a cell.

    The paper takes the mean of score times mask. That adds the mean score times the mean mask to
    every pixel, a noise term that has nothing to do with the pixel and falls slowly; here both
    means are subtracted. The paper also has no masks in time.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        count: Number of masks; the noise falls with its square root. None means 1000 or, with a
            tolerance, as many as needed.
        cells: Cells of the grid along time, rows and columns, at least 1.
        keep: Probability that a cell is kept, in (0, 1).
        perturbation: What a pixel becomes at mask 0: "blur", of 20 pixels, or "fade", black.
        tolerance: Masks are added until the standard error of the heatmap is at most this,
            relative as in `convergence.relative_error`: 0.3 means noise of 9 % of the heatmap's
            variance. The heatmap is then estimated by a ridge regression on whole masks
            (`mask_regression`), which needs fewer of them; its error is that of the posterior. None
            takes a fixed number.
        max_samples: Maximum number of masks with a tolerance; None means 2000.
        seed: Seed of the masks.

    Returns:
        A heatmap in units of the score. Its settings hold the number of `samples`, the relative
        `standard_error` and, with a tolerance, whether it is met (`within_tolerance`).

    Raises:
        ValueError: A tolerance that is not above 0, or one with a number of masks; fewer than 2
            masks, cells below 1 or more than the clip has pixels, a `keep` outside (0, 1), a
            negative seed, or an unknown perturbation.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> attribute(models.build("c3d-motion"), clip, method="rise", count=16).heatmap.shape
        (16, 64, 64)

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421
    """
    most = most_samples("count", count, tolerance, max_samples, fixed=_COUNT, most=_MAX_SAMPLES)
    _check(clip.shape[:3], most, cells, keep, seed)
    hidden = perturbations.pyramid(clip, perturbation, levels=2)[0]
    rng = np.random.default_rng(seed)
    offset = float(scorer.scores(clip[None])[0])
    scored = _score_masks(scorer, clip, hidden, rng, most, cells, keep, offset)
    if tolerance is None:
        estimate = _covariance(scored, clip.shape[:3])
    else:
        estimate = _regression(tolerance, scored, most, clip.shape[:3], cells)
    settings = {
        "samples": estimate.samples,
        "cells": list(map(int, cells)),
        "keep": keep,
        "perturbation": perturbation,
        "seed": seed,
        "mean_score": offset + estimate.mean_score,
        **error_settings(estimate.error, tolerance, most),
    }
    heatmap = estimate.heatmap.astype(np.float32)
    return Attribution(clip, heatmap, offset, scorer.objective, "rise", settings)


@dataclass(frozen=True)
class _Estimate:
    heatmap: NDArray[np.float64]
    error: float
    samples: int
    mean_score: float  # relative to the clip's


@dataclass(frozen=True)
class _ScoredMasks:
    """Masks, at each pixel and at the points of the regression, with the scores of the masked clip.

    Scores are relative to the clip's own, so that sums lose no digits to a large score.
    """

    masks: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float64]


def _score_masks(
    scorer: Scorer, clip, hidden, rng, count: int, cells, keep: float, offset: float
) -> Iterator[_ScoredMasks]:
    """Random masks, eight at a time, with their scores."""
    for first in range(0, count, _CHUNK):
        grids = _random_grids(rng, min(_CHUNK, count - first), cells, keep)
        masks = _upsampled(*grids, shape=clip.shape[:3], cells=cells)
        scores = [
            scorer.scores(hidden + masks[part, ..., None] * (clip - hidden))
            for part in scorer.batches(len(masks), clip.shape)
        ]
        points = _upsampled(*grids, shape=tuple(POINTS * c for c in cells), cells=cells)
        yield _ScoredMasks(masks, points, np.concatenate(scores).astype(np.float64) - offset)


def _covariance(scored: Iterable[_ScoredMasks], shape) -> _Estimate:
    """The heatmap by the covariance of the score with each pixel of the masks."""
    sums = _Sums(shape)
    for part in scored:
        sums.add(part.masks, part.scores)
    return _Estimate(sums.slopes(), sums.error(), sums.count, sums.mean_score)


def _regression(
    tolerance: float, scored: Iterable[_ScoredMasks], most: int, shape, cells
) -> _Estimate:
    """The heatmap by ridge regression on whole masks, with as many as the tolerance needs."""
    points, scores = np.zeros((0, *(POINTS * c for c in cells)), np.float32), np.zeros(0)
    next_check = float(_FIRST_CHECK)
    for part in scored:
        points = np.concatenate([points, part.points])
        scores = np.concatenate([scores, part.scores])
        if len(scores) < min(next_check, most):
            continue
        next_check = _CHECK_FACTOR * len(scores)
        regression = regress(points, scores, shape, cells)
        if regression.error <= tolerance:
            break
    return _Estimate(regression.heatmap, regression.error, len(scores), float(scores.mean()))


class _Sums:
    """Sums over masks, and the regression of the score on the mask at each pixel."""

    def __init__(self, shape: tuple[int, ...]):
        self.count = 0
        self._scores, self._squared_scores = 0.0, 0.0
        self._masks, self._squared_masks, self._products = np.zeros((3, *shape))

    def add(self, masks: NDArray[np.float32], relative: NDArray[np.float64]) -> None:
        """Adds masks `(N, T, H, W)` and the scores of the masked clips, `(N,)`."""
        self.count += len(masks)
        self._scores += relative.sum()
        self._squared_scores += (relative**2).sum()
        self._masks += masks.sum(axis=0)
        self._squared_masks += (masks**2).sum(axis=0)
        self._products += np.tensordot(relative, masks, axes=1)

    @property
    def mean_score(self) -> float:
        return self._scores / self.count

    def slopes(self) -> NDArray[np.float64]:
        """Slope of the score over the mask, at each pixel."""
        mask = self._masks / self.count
        return (self._products / self.count - self.mean_score * mask) / self._mask_variance()

    def error(self) -> float:
        """Relative standard error of the slopes; 1 if there are too few masks to estimate it."""
        if self.count < 3:
            return 1.0
        slopes = self.slopes()
        variance = self._squared_scores / self.count - self.mean_score**2
        left = np.maximum(variance / self._mask_variance() - slopes**2, 0)
        return relative_error(np.sqrt(left / (self.count - 2)), slopes)

    def _mask_variance(self) -> NDArray[np.float64]:
        variance = self._squared_masks / self.count - (self._masks / self.count) ** 2
        return np.maximum(variance, 1e-6)


def _check(shape: tuple[int, ...], count: int, cells, keep: float, seed: int) -> None:
    if count < 2:
        raise ValueError(f"Expected 2 masks or more. Received: {count}.")
    if not all(1 <= c <= n for c, n in zip(cells, shape, strict=True)):
        raise ValueError(
            f"Expected cells (frames, rows, columns) from 1 up to {shape}. Received: {cells}."
        )
    if not 0 < keep < 1:
        raise ValueError(f"Expected a probability between 0 and 1. Received: {keep}.")
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more. Received: {seed}.")


def _random_grids(rng: np.random.Generator, count: int, cells, keep: float):
    """Random grids of cells, and the shift of each along each axis, as a share of a cell."""
    # Two more cells on each axis, so that a shifted grid still covers the clip.
    grids = (rng.random((count, *(c + 2 for c in cells))) < keep).astype(np.float32)
    return grids, rng.random((count, 3))


def _upsampled(grids, shifts, *, shape, cells) -> NDArray[np.float32]:
    """Masks, float32 `(count, T, H, W)` in [0, 1]."""
    return np.stack(
        [_upsampled_grid(g, shape, cells, s) for g, s in zip(grids, shifts, strict=True)]
    )


def _upsampled_grid(grid, shape, cells, shift) -> NDArray[np.float32]:
    for axis, (length, count, start) in enumerate(zip(shape, cells, shift, strict=True)):
        # A single cell is 0 or 1 along the whole axis: interpolated, it would be a ramp.
        where = np.arange(length) * (count / length) * (count > 1) + start * (count > 1)
        matrix = np.maximum(1 - np.abs(where[:, None] - np.arange(count + 2)), 0)
        grid = np.moveaxis(np.tensordot(matrix.astype(np.float32), grid, axes=(1, axis)), 0, axis)
    return grid
