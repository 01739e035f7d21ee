"""What belongs to a network's input, drawn at its place in the whole frames of the film.

A network sees of each frame what `clips.resize` cuts out of it. Where frames are as large as the
input, all of this leaves them as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.clips.geometry import Crop, stretch

# How much paler than the rest is what was cut away, and the grey of the line around what was not.
_PALER = np.float32(0.6)
_LINE = np.float32(0.15)
# The line is one pixel for so many of the longer side.
_LINE_SHARE = 240

Size = tuple[int, int]


def place(values: NDArray[np.float32], whole: Size) -> NDArray[np.float32]:
    """Values of the input's pixels `(T, h, w)` or `(T, h, w, C)`, at their place; 0 elsewhere.

    Args:
        values: Of any range; they are scaled linearly.
        whole: Height and width of the frames.

    Returns:
        float32 `(T, *whole)`, or with C behind it.

    Example:
        >>> place(np.ones((1, 2, 2), np.float32), (2, 4))[0, 0].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    size = _size(values)
    if size == whole:
        return values
    rows, columns = Crop.of(whole, size).pixels
    deep = values.reshape(*values.shape[:3], -1)
    placed = np.zeros((len(values), *whole, deep.shape[-1]), np.float32)
    inner = (rows.stop - rows.start, columns.stop - columns.start)
    placed[:, rows, columns] = stretch(deep.astype(np.float32), inner)
    return placed.reshape(*placed.shape[:3], *values.shape[3:])


def paste(clip: NDArray[np.float32], frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """The input `(T, h, w, C)`, or what became of it, in its place in frames `(T, H, W, C)`."""
    inside = seen(_size(clip), _size(frames))[..., None]
    return np.where(inside, place(clip, _size(frames)), frames)


def pale(frames: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Frames `(T, H, W, C)`, paler where they were cut away, with a line around the rest.

    Args:
        frames: In [0, 1].
        size: Height and width of the input that was cut out of them.
    """
    inside = seen(size, _size(frames))
    if inside.all():
        return frames
    line = max(1, round(max(inside.shape) / _LINE_SHARE))
    paler = frames + _PALER * (1 - frames)
    drawn = np.where(inside[..., None], frames, paler)
    return np.where((_grown(inside, line) & ~inside)[..., None], _LINE, drawn).astype(np.float32)


def seen(size: Size, whole: Size) -> NDArray[np.bool_]:
    """Which pixels `(H, W)` of whole frames are in an input of a size."""
    inside = np.zeros(whole, bool)
    inside[Crop.of(whole, size).pixels] = True
    return inside


def _grown(inside: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """A rectangle with `by` more pixels on each side."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    grown = np.zeros_like(inside)
    grown[
        max(0, rows[0] - by) : rows[-1] + 1 + by, max(0, columns[0] - by) : columns[-1] + 1 + by
    ] = True
    return grown


def _size(frames: NDArray[np.float32]) -> Size:
    return frames.shape[1], frames.shape[2]
