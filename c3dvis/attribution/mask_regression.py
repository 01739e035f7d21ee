"""Ridge regression of the score on whole masks: RISE's heatmap from fewer masks.

A pixel of RISE's heatmap is the slope of the score over the mask there, `cov(s, m) / var(m)`; most
of its noise comes from the other pixels of the masks. Here the score is modelled as
`s = c + w . m + noise` by ridge regression, with the penalty of the greatest marginal likelihood
(Gaussian weights w and noise). The covariance of `w . m` with each pixel then follows from the
known covariance of the masks, and the error from the posterior of w (MacKay 1992, "Bayesian
Interpolation", https://doi.org/10.1162/neco.1992.4.3.415).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.convergence import relative_error

# Candidates, relative to the mean eigenvalue of the masks' Gram matrix.
_PENALTIES = 2.0 ** np.arange(-10, 11)
POINTS = 2  # features of a mask for each cell, along each axis


@dataclass(frozen=True)
class Regression:
    """The result of a regression on masks.

    Attributes:
        heatmap: float64 `(T, H, W)`, in units of the score.
        error: Its standard error, relative as in `convergence.relative_error`.
    """

    heatmap: NDArray[np.float64]
    error: float


def regress(
    masks: NDArray[np.float32], scores: NDArray[np.float64], shape: tuple[int, ...], cells
) -> Regression:
    """Regresses scores on masks.

    Args:
        masks: `(N, points of T, of H, of W)`, values of the masks at `POINTS` equally spaced points
            per cell along each axis, from the clip's first pixel on.
        scores: `(N,)`.
        shape: Frames, rows and columns of the heatmap.
        cells: Cells of the masks' grid, along each axis.
    """
    sides = masks.shape[1:]
    features = masks.reshape(len(masks), -1).astype(np.float64)
    features -= features.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(features @ features.T)
    # The first eigenvalue is 0, as the mean has been subtracted.
    eigenvalues, vectors = np.maximum(eigenvalues[1:], 0), vectors[:, 1:]
    projected = vectors.T @ (scores - scores.mean())
    penalty, variance = _most_likely(eigenvalues, projected)
    weights = features.T @ (vectors @ (projected / (eigenvalues + penalty)))
    heatmap = _along_axes(weights.reshape(sides), _covariances(shape, cells))
    # Posterior variance of the heatmap at the points: the prior less the part explained by masks.
    at_points = _covariances(sides, cells)
    prior = np.prod([np.square(matrix).sum(axis=1).mean() for matrix in at_points])
    maps = np.stack([_along_axes(f.reshape(sides), at_points).ravel() for f in features])
    explained = np.square(maps.T @ vectors).mean(axis=0) @ (1 / (eigenvalues + penalty))
    standard_error = np.sqrt(variance * max(prior - explained, 0))
    return Regression(heatmap, relative_error(standard_error, heatmap))


def _most_likely(eigenvalues: NDArray, projected: NDArray) -> tuple[float, float]:
    """The penalty of the greatest marginal likelihood, and the variance of a weight with it."""
    penalties = _PENALTIES * max(float(eigenvalues.mean()), np.finfo(float).tiny)
    spreads = eigenvalues + penalties[:, None]
    variances = np.maximum(np.mean(projected**2 / spreads, axis=1), np.finfo(float).tiny)
    likelihoods = -len(projected) * np.log(variances) - np.log(spreads).sum(axis=1)
    best = int(likelihoods.argmax())
    return float(penalties[best]), float(variances[best])


def _covariances(shape: tuple[int, ...], cells) -> list[NDArray[np.float64]]:
    """For each axis, the covariance of the mask at pixels and points over its variance.

    For a linearly interpolated grid with a random shift, it is a cubic B-spline of their distance
    in cells.

    Returns:
        A matrix `(pixels, points)` for each axis.
    """
    matrices = []
    for length, count in zip(shape, cells, strict=True):
        points = np.arange(POINTS * count) / POINTS
        distance = np.abs((np.arange(length) * count / length)[:, None] - points)
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = np.maximum(2 - distance, 0) ** 3 / 6
        spline = np.where(distance < 1, near, far) / (2 / 3)
        # A single cell is the same along the whole axis.
        matrices.append(spline if count > 1 else np.ones_like(spline))
    return matrices


def _along_axes(values: NDArray, matrices: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.einsum("abc,ta,hb,wc->thw", values, *matrices, optimize=True)
