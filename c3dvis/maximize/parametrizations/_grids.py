"""Coarse grids of values over time and space, stretched to the frames and pixels of a clip."""

import numpy as np

from c3dvis.maximize.transforms._resampling import resample


def linear(length: int, points: int) -> np.ndarray:
    """Weights `(length, points)` that read a grid linearly between its points.

    Grid and frames or pixels cover the same stretch; beyond the outermost points it is level.

    >>> linear(4, 2)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    positions = np.clip(_positions(length, points), 0, points - 1)
    return np.maximum(1 - np.abs(positions - np.arange(points)), 0).astype(np.float32)


def smooth(length: int, points: int) -> np.ndarray:
    """Weights `(length, points)` that blend a grid's points by cubic B-splines: no edges, no kinks.

    >>> smooth(3, 1)
    array([[1.],
           [1.],
           [1.]], dtype=float32)
    """
    away = np.abs(_positions(length, points) - np.arange(points))
    weights = np.where(away < 1, 4 - 6 * away**2 + 3 * away**3, np.maximum(2 - away, 0) ** 3)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def stretch(grid, matrices):
    """A grid `(N, t, h, w, K)` to `(N, T, H, W, K)`, by matrices `(T, t)`, `(H, h)`, `(W, w)`."""
    return resample(grid, dict(enumerate(matrices, start=1)))


def _positions(length: int, points: int) -> np.ndarray:
    """Where the middles of frames or pixels lie among the grid's points, `(length, 1)`."""
    return ((np.arange(length) + 0.5) * points / length - 0.5)[:, None]
