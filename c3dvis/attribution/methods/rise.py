"""RISE: the covariance of the score with random smooth masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.masks import perturbations
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    count: int = 1000,
    cells: tuple[int, int, int] = (4, 8, 8),
    keep: float = 0.5,
    perturbation: str = "blur",
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
        count: Number of masks; the noise falls with its square root.
        cells: Of the grid, along time, rows and columns, at least 1.
        keep: Probability that a cell is kept, in (0, 1).
        perturbation: What a pixel becomes at mask 0: "blur", of 20 pixels, or "fade", black.
        seed: Of the masks.

    Returns:
        A heatmap in units of the score.

    Raises:
        ValueError: Fewer than 2 masks, cells below 1 or more than the clip has pixels, a `keep`
            outside (0, 1), a negative seed, or an unknown perturbation.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> attribute(models.build("c3d-motion"), clip, method="rise", count=16).heatmap.shape
        (16, 64, 64)

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421
    """
    _check(clip.shape, count, cells, keep, seed)
    hidden = perturbations.pyramid(clip, perturbation, levels=2)[0]
    rng = np.random.default_rng(seed)
    rows = scorer.rows(clip.shape)
    scores = np.empty(count)
    sums = np.zeros((4, *clip.shape[:3]))  # of mask, mask squared, score, score times mask
    offset = float(scorer.scores(clip[None])[0])
    for first in range(0, count, rows):
        masks = _masks(rng, min(rows, count - first), clip.shape[:3], cells, keep)
        part = scorer.scores(hidden + masks[..., None] * (clip - hidden))
        scores[first : first + rows] = part
        # Relative to the clip's own score, so that the sums lose no digits to a large score.
        relative = (part - offset).astype(np.float64)
        weighted = np.tensordot(relative, masks, axes=1)
        sums[0] += masks.sum(axis=0)
        sums[1] += (masks**2).sum(axis=0)
        sums[2] += relative.sum()
        sums[3] += weighted
    mask, squared, score, weighted = sums / count
    heatmap = (weighted - score * mask) / np.maximum(squared - mask**2, 1e-6)
    settings = {
        "count": count,
        "cells": list(cells),
        "keep": keep,
        "perturbation": perturbation,
        "seed": seed,
        "mean_score": float(scores.mean()),
    }
    return Attribution(clip, heatmap.astype(np.float32), offset, scorer.objective, "rise", settings)


def _check(shape: tuple[int, ...], count: int, cells, keep: float, seed: int) -> None:
    if count < 2:
        raise ValueError(f"Expected 2 masks or more. Received: {count}.")
    if len(cells) != 3 or not all(1 <= c <= n for c, n in zip(cells, shape, strict=False)):
        raise ValueError(
            f"Expected cells (frames, rows, columns) from 1 up to {shape[:3]}. Received: {cells}."
        )
    if not 0 < keep < 1:
        raise ValueError(f"Expected a probability between 0 and 1. Received: {keep}.")
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more. Received: {seed}.")


def _masks(rng: np.random.Generator, count: int, shape, cells, keep: float):
    """Random masks, float32 `(count, T, H, W)` in [0, 1]."""
    # Two more cells on each axis, so that a shifted grid still covers the clip.
    grids = (rng.random((count, *(c + 2 for c in cells))) < keep).astype(np.float32)
    shifts = rng.random((count, 3))
    return np.stack([_enlarged(g, shape, cells, s) for g, s in zip(grids, shifts, strict=True)])


def _enlarged(grid, shape, cells, shift) -> NDArray[np.float32]:
    for axis, (length, count, start) in enumerate(zip(shape, cells, shift, strict=True)):
        # A single cell is 0 or 1 along the whole axis: interpolated, it would be a ramp.
        where = np.arange(length) * (count / length) * (count > 1) + start * (count > 1)
        matrix = np.maximum(1 - np.abs(where[:, None] - np.arange(count + 2)), 0)
        grid = np.moveaxis(np.tensordot(matrix.astype(np.float32), grid, axes=(1, axis)), 0, axis)
    return grid
