"""Argmax and top-k where values may be tied: ties count by their share.

A constant heatmap must not score by the order in which `argmax` visits its pixels. Ties are broken
at random, and count by the expected value: chance level for a constant heatmap.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def finite(values: ArrayLike, dimensions: int, name: str) -> NDArray[np.float64]:
    """An array of finite numbers of 1 or 3 axes; ValueError for another."""
    axes = {1: "(T,)", 3: "(T, H, W)"}[dimensions]
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"Expected a {name} of numbers {axes}. Received: {type(values).__name__}."
        ) from None
    if array.ndim != dimensions or not array.size:
        raise ValueError(f"Expected a {name} of shape {axes}. Received: shape {array.shape}.")
    wrong = np.count_nonzero(~np.isfinite(array))
    if wrong:
        raise ValueError(f"Expected a finite {name}. Received: {wrong} NaN or infinite values.")
    return array


def argmax_in(values: NDArray, inside: NDArray[np.bool_]) -> float:
    """Probability that the argmax is inside, ties broken at random."""
    return float(inside[values == values.max()].mean())


def top_k_mask(values: NDArray, k: int) -> NDArray[np.float64]:
    """Mask of the `k` highest elements in [0, 1]; ties share it evenly, and its sum is `k`.

    >>> top_k_mask(np.array([3.0, 1.0, 2.0, 1.0]), 3)
    array([1. , 0.5, 1. , 0.5])
    """
    if not 0 < k <= values.size:
        raise ValueError(f"Expected k from 1 to {values.size}. Received: {k}.")
    last = np.partition(values, -k, axis=None)[-k]
    above, tied = values > last, values == last
    return above + tied * ((k - above.sum()) / tied.sum())
