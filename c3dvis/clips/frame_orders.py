"""Frames of a clip in another order: frozen, shuffled or reversed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.text import unknown

CHANGES = ("freeze", "shuffle", "reverse")


def frame_orders(
    change: str, frames: int, *, draws: int = 4, seed: int = 0
) -> list[NDArray[np.intp]]:
    """Orders of frames that take motion, or its direction, from a clip: `clip[order]`.

    Args:
        change: "freeze", one frame throughout, for several frames spread evenly; "shuffle", random
            orders; "reverse", from the last to the first.
        frames: Frames of the clip, two or more.
        draws: Number of frozen frames or random orders; "reverse" has one.
        seed: Seed of the random orders.

    Returns:
        Of each draw, indices `(frames,)`.

    Raises:
        ValueError: An unknown change, fewer than two frames or no draw.

    >>> [order.tolist() for order in frame_orders("freeze", 4, draws=2)]
    [[1, 1, 1, 1], [3, 3, 3, 3]]
    """
    if frames < 2 or draws < 1:
        raise ValueError(
            "Expected clips of two frames or more, and 1 draw or more. "
            f"Received: {frames} frames, draws={draws}."
        )
    match change:
        case "freeze":
            still = [(2 * draw + 1) * frames // (2 * draws) for draw in range(draws)]
            return [np.full(frames, frame) for frame in still]
        case "shuffle":
            rng = np.random.default_rng(seed)
            return [_shuffled(frames, rng) for _ in range(draws)]
        case "reverse":
            return [np.arange(frames)[::-1]]
    raise unknown("a change of the frames' order", change, CHANGES)


def _shuffled(frames: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A random order that is not the original one."""
    while True:
        order = rng.permutation(frames)
        if (order != np.arange(frames)).any():
            return order
