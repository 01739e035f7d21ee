"""Which frames decided: those with half of the heat, and numbers of frames in words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
from numpy.typing import NDArray


def half_of_the_heat(heatmap: NDArray[np.float32]) -> list[int]:
    """The fewest frames that together hold half of a heatmap's absolute values, in order.

    Example:
        >>> half_of_the_heat(np.array([1, 3, -4, 1], np.float32).reshape(4, 1, 1))
        [1, 2]
    """
    heat = np.abs(heatmap).sum(axis=(1, 2), dtype=np.float64)
    if not heat.any():
        return []
    order = np.argsort(-heat, kind="stable")
    count = int(np.searchsorted(np.cumsum(heat[order]), heat.sum() / 2)) + 1
    return sorted(order[:count].tolist())


def in_words(frames: Iterable[int]) -> str:
    """Numbers of frames in words.

    Example:
        >>> in_words([7]), in_words([3, 4, 5, 9])
        ('frame 7', 'frames 3 to 5, 9')
        >>> in_words([])
        'no frame'
    """
    frames = list(frames)
    runs = [
        [frame for _, frame in run]
        for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])
    ]
    texts = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    if not frames:
        return "no frame"
    return f"frame{'' if len(frames) == 1 else 's'} {', '.join(texts)}"
