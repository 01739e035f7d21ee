"""What stands highest in an array, where values may be equal: ties count by their share.

A constant heatmap says nothing, and must not score by where `argmax` begins to look. Whatever is
tied is taken as a choice among equals at random, and counts by its expected value: chance.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def finite(values: ArrayLike, dimensions: int, name: str) -> NDArray[np.float64]:
    """An array of finite numbers with so many axes, or what is wrong with it."""
    array = np.asarray(values, np.float64)
    if array.ndim != dimensions or not array.size:
        axes = {1: "(T,)", 3: "(T, H, W)"}[dimensions]
        raise ValueError(f"Expected a {name} of shape {axes}. Received: shape {array.shape}.")
    wrong = np.count_nonzero(~np.isfinite(array))
    if wrong:
        raise ValueError(f"Expected a {name} of finite numbers. Received: {wrong} that are not.")
    return array


def hit(values: NDArray, inside: NDArray[np.bool_]) -> float:
    """Chance that a highest value, picked at random among equals, lies inside."""
    return float(inside[values == values.max()].mean())


def highest(values: NDArray, count: int) -> NDArray[np.float64]:
    """How far each element belongs to the `count` highest, in [0, 1]; the sum is `count`.

    >>> highest(np.array([3.0, 1.0, 2.0, 1.0]), 3)
    array([1. , 0.5, 1. , 0.5])
    """
    if not 0 < count <= values.size:
        raise ValueError(f"Expected a count from 1 to {values.size}. Received: {count}.")
    last = np.partition(values, -count, axis=None)[-count]
    above, tied = values > last, values == last
    return above + tied * ((count - above.sum()) / tied.sum())
