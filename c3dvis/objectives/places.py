"""Subsets of a layer's positions: one frame, a region, a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from c3dvis.objectives.terms import Values, whole

_EXPECTED = (
    "Expected where= a frame such as 3, slices such as np.s_[2:5] or np.s_[:, 8:16, 8:16], or a "
    "mask of the places"
)


@dataclass(frozen=True)
class Places:
    """Some of the places `(t, y, x)` of a layer.

    Attributes:
        index: For each of the first axes `(start, stop)`, as slices have them.
        mask: A weight of 0 or more for each place, in their place.
    """

    index: tuple[tuple[int | None, int | None], ...] = ()
    mask: Values | None = None

    def __str__(self) -> str:
        if self.mask is not None:
            return f"{np.count_nonzero(self.mask.array)} places"
        first, *rest = self.index
        if not rest and first[0] is not None and first[1] == first[0] + 1:
            return f"frame {first[0]}"
        parts = [":".join("" if n is None else str(n) for n in pair) for pair in self.index]
        return f"[{', '.join(parts)}]"

    def mean(self, activation):
        """The mean over the places, `(N, C)`, of an activation `(N, ..., C)`."""
        from keras import ops

        if self.mask is None:
            chosen = activation[(slice(None), *(slice(*pair) for pair in self.index))]
            return ops.mean(chosen, axis=tuple(range(1, len(activation.shape) - 1)))
        weights = self.mask.array / self.mask.array.sum()
        axes = tuple(range(1, weights.ndim + 1))
        weighted = activation * ops.cast(weights[None, ..., None], activation.dtype)
        return ops.sum(weighted, axis=axes)

    def check(self, extent: tuple[int | None, ...]) -> None:
        """ValueError unless a layer of this extent has the places."""
        if self.mask is not None:
            shape = self.mask.array.shape
            if len(shape) != len(extent) or any(
                n not in (None, m) for n, m in zip(extent, shape, strict=True)
            ):
                raise ValueError(f"{_EXPECTED} {extent}. Received: a mask of shape {shape}.")
            return
        if len(self.index) > len(extent):
            raise ValueError(
                f"{_EXPECTED}, of a layer of {extent} places. Received: {len(self.index)} axes."
            )
        for (start, stop), length in zip(self.index, extent, strict=False):
            if length is not None and not range(*slice(start, stop).indices(length)):
                raise ValueError(
                    f"{_EXPECTED}, inside {extent}. Received: {self}, where there is nothing."
                )


def mean(activation, where: Places | None):
    """The mean `(N, C)` over some places, or all, of an activation `(N, ..., C)`."""
    from keras import ops

    if where is not None:
        return where.mean(activation)
    axes = tuple(range(1, len(activation.shape) - 1))
    return ops.mean(activation, axis=axes) if axes else activation


def places(where: Any) -> Places | None:
    """What a user's `where` means; None means all places.

    Raises:
        ValueError: What is neither an index, nor slices, nor a mask with something in it.

    Example:
        >>> print(places(3), places(np.s_[2:5, :, 8:16]), places(np.eye(4)))
        frame 3 [2:5, :, 8:16] 4 places
    """
    if where is None:
        return None
    parts = where if isinstance(where, tuple) else (where,)
    if parts and all(isinstance(part, slice) or _is_whole(part) for part in parts):
        return Places(tuple(map(_interval, parts)))
    if isinstance(where, (np.ndarray, Sequence)) and not isinstance(where, str):
        return Places(mask=_mask(np.asarray(where)))
    raise ValueError(f"{_EXPECTED}. Received: {where!r}.")


def _is_whole(part: Any) -> bool:
    return isinstance(part, (int, np.integer)) and not isinstance(part, bool)


def _interval(part: Any) -> tuple[int | None, int | None]:
    if isinstance(part, slice):
        if part.step not in (None, 1):
            raise ValueError(f"{_EXPECTED}. Received: slices with a step of {part.step}.")
        ends = (part.start, part.stop)
        start, stop = (None if end is None else whole(end) for end in ends)
        return start, stop
    if part < 0:
        raise ValueError(f"{_EXPECTED}, counted from 0. Received: {part}.")
    return int(part), int(part) + 1


def _mask(given: np.ndarray) -> Values:
    if given.dtype.kind not in "biuf" or not given.ndim:
        raise ValueError(f"{_EXPECTED}. Received: {given.dtype} of shape {given.shape}.")
    mask = Values(given)
    if not np.isfinite(mask.array).all() or (mask.array < 0).any() or not mask.array.any():
        raise ValueError(f"{_EXPECTED}, of weights of 0 or more, not all 0. Received: others.")
    return mask
