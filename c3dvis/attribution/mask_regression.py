"""The regression of a score on random masks, all of a mask at once: RISE's heatmap of fewer masks.

A pixel of RISE's heatmap is the slope of the score over the mask there, `cov(s, m) / var(m)`, and
most of its noise is what the other pixels of the masks do. Here the score is first taken for
`s = c + w . m + rest`, by ridge regression with the penalty of the greatest marginal likelihood
(Gaussian weights w and rest); the covariance of `w . m` with each pixel is then known exactly, as
that of the masks is. What is left is the uncertainty of w, whose posterior is known too
(MacKay 1992, "Bayesian Interpolation", https://doi.org/10.1162/neco.1992.4.3.415).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.convergence import relative_error

# Penalties that are tried, relative to the mean eigenvalue of the masks' products.
_PENALTIES = 2.0 ** np.arange(-10, 11)
POINTS = 2  # where a mask is read, along each axis of a cell


@dataclass(frozen=True)
class Regression:
    """What a regression on masks found.

    Attributes:
        heatmap: float64 `(T, H, W)`, in units of the score.
        error: Its relative standard error, as `convergence.relative_error` has it.
    """

    heatmap: NDArray[np.float64]
    error: float


def regress(
    masks: NDArray[np.float32], scores: NDArray[np.float64], shape: tuple[int, ...], cells
) -> Regression:
    """Regresses scores on masks.

    Args:
        masks: `(N, points of T, of H, of W)`, values of the masks at `POINTS` equally spaced
            points a cell along each axis, from the clip's first pixel on.
        scores: `(N,)`.
        shape: Frames, rows and columns of the heatmap.
        cells: Of the masks' grid, along each axis.
    """
    sides = masks.shape[1:]
    features = masks.reshape(len(masks), -1).astype(np.float64)
    features -= features.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(features @ features.T)
    # The first one is 0, as the mean has been taken off.
    eigenvalues, vectors = np.maximum(eigenvalues[1:], 0), vectors[:, 1:]
    seen = vectors.T @ (scores - scores.mean())
    penalty, variance = _most_likely(eigenvalues, seen)
    weights = features.T @ (vectors @ (seen / (eigenvalues + penalty)))
    heatmap = _along_axes(weights.reshape(sides), _spreads(shape, cells))
    # The posterior variance of the heatmap at the points: what the weights have by themselves,
    # less what the masks tell of them.
    at_points = _spreads(sides, cells)
    prior = np.prod([np.square(spread).sum(axis=1).mean() for spread in at_points])
    seen_maps = np.stack([_along_axes(f.reshape(sides), at_points).ravel() for f in features])
    told = np.square(seen_maps.T @ vectors).mean(axis=0) @ (1 / (eigenvalues + penalty))
    left = np.sqrt(variance * max(prior - told, 0))
    return Regression(heatmap, relative_error(left, heatmap))


def _most_likely(eigenvalues: NDArray, seen: NDArray) -> tuple[float, float]:
    """The penalty of the greatest marginal likelihood, and the variance of a weight with it."""
    penalties = _PENALTIES * max(float(eigenvalues.mean()), np.finfo(float).tiny)
    spreads = eigenvalues + penalties[:, None]
    variances = np.maximum(np.mean(seen**2 / spreads, axis=1), np.finfo(float).tiny)
    likelihoods = -len(seen) * np.log(variances) - np.log(spreads).sum(axis=1)
    best = int(likelihoods.argmax())
    return float(penalties[best]), float(variances[best])


def _spreads(shape: tuple[int, ...], cells) -> list[NDArray[np.float64]]:
    """For each axis, what the mask at a point tells of that at a pixel, `(pixels, points)`.

    It is the covariance over the variance: for a linearly interpolated grid of a random shift, a
    cubic B-spline of their distance in cells.
    """
    spreads = []
    for length, count in zip(shape, cells, strict=True):
        points = np.arange(POINTS * count) / POINTS
        distance = np.abs((np.arange(length) * count / length)[:, None] - points)
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = np.maximum(2 - distance, 0) ** 3 / 6
        spline = np.where(distance < 1, near, far) / (2 / 3)
        # A single cell is the same along the whole axis.
        spreads.append(spline if count > 1 else np.ones_like(spline))
    return spreads


def _along_axes(values: NDArray, matrices: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.einsum("abc,ta,hb,wc->thw", values, *matrices, optimize=True)
