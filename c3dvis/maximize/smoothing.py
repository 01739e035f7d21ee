"""Matrices of the kernel 1, 4, 6, 4, 1, which smooth, halve or double a clip along an axis.

Along each of several axes it is the kernel of 5x5 or 5x5x5 that is their outer product. At the
ends, where it reaches past the clip, what remains of it is scaled to sum 1, so that what is
constant stays constant (Burt and Adelson 1983, https://doi.org/10.1109/TCOM.1983.1095851).
"""

import numpy as np

_KERNEL = np.array([1, 4, 6, 4, 1]) / 16


def smoothing(length: int) -> np.ndarray:
    """float32 `(length, length)`: each row a mean of its neighbourhood."""
    return _to_sum_1(_weights(np.arange(length), length))


def halving(length: int) -> np.ndarray:
    """float32 `(ceil(length / 2), length)`: every second row of `smoothing`."""
    return smoothing(length)[::2]


def doubling(length: int) -> np.ndarray:
    """float32 `(length, ceil(length / 2))`: the way back from `halving`, by the same kernel."""
    return _to_sum_1(_weights(np.arange(0, length, 2), length).T)


def _weights(centres: np.ndarray, length: int) -> np.ndarray:
    """The kernel at each centre, cut off at the ends: `(len(centres), length)`."""
    away = np.arange(length) - centres[:, None]
    return np.where(np.abs(away) <= 2, _KERNEL[np.clip(away, -2, 2) + 2], 0)


def _to_sum_1(matrix: np.ndarray) -> np.ndarray:
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
