"""Draws a network's input, or its heatmap, in place in the uncropped frames of the film.

The input is the part of each frame that `clips.resize` crops. Frames of the input's size are
returned unchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.clips.geometry import Crop, stretch

_FADE = np.float32(0.6)  # share of white outside the crop
_LINE = np.float32(0.15)  # grey level of the line around the crop
_PIXELS_PER_LINE = 240  # of the longer side, for each pixel of the line's width

Size = tuple[int, int]


def place(values: NDArray[np.float32], whole: Size) -> NDArray[np.float32]:
    """Values of the input's pixels at their place in the frames; 0 elsewhere.

    Args:
        values: `(T, h, w)` or `(T, h, w, C)`; resized by linear interpolation.
        whole: Height and width of the frames.

    Returns:
        float32 `(T, *whole)` or `(T, *whole, C)`.

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
    """A clip `(T, h, w, C)` of the input's size, pasted into frames `(T, H, W, C)`."""
    inside = crop_mask(_size(clip), _size(frames))[..., None]
    return np.where(inside, place(clip, _size(frames)), frames)


def fade_outside(frames: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Frames `(T, H, W, C)`, faded outside the crop, with a line around it.

    Args:
        frames: In [0, 1].
        size: Height and width of the network's input.
    """
    inside = crop_mask(size, _size(frames))
    if inside.all():
        return frames
    faded = frames + _FADE * (1 - frames)
    drawn = np.where(inside[..., None], frames, faded)
    line = max(1, round(max(inside.shape) / _PIXELS_PER_LINE))
    rows, columns = (
        slice(max(0, crop.start - line), crop.stop + line)
        for crop in Crop.of(_size(frames), size).pixels
    )
    on_line = np.zeros_like(inside)
    on_line[rows, columns] = ~inside[rows, columns]
    return np.where(on_line[..., None], _LINE, drawn).astype(np.float32)


def crop_mask(size: Size, whole: Size) -> NDArray[np.bool_]:
    """Which pixels of frames of size `whole` an input of `size` is cropped from, bool `(H, W)`."""
    inside = np.zeros(whole, bool)
    inside[Crop.of(whole, size).pixels] = True
    return inside


def _size(frames: NDArray[np.float32]) -> Size:
    return frames.shape[1], frames.shape[2]
