"""The values of a clip: their range, their type, and what colour they are shown in."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis.checks import are_numbers
from c3dvis.text import counted

ROUNDING = 1e-4
"""Tolerance for values outside [0, 1], for rounding errors."""

_HIGHEST = 255  # of whole numbers
_BLACK = 16  # of films, in whole numbers: below it floats are something else, such as normalised
_AXES = ("frame", "height", "width", "channel")


def check(clip: ArrayLike, shape: Sequence[int | None] | None = None) -> NDArray[np.float32]:
    """Returns `clip` as a float32 array, or raises an error that says what is wrong.

    A clip has four axes, at least one element on each, and finite floats in [0, 1]. Values that
    leave this range by less than `ROUNDING` are clipped; anything further is refused, since a
    network fed 0-255 answers without complaint and wrongly.

    Args:
        clip: array-like `(T, H, W, C)` of floats in [0, 1].
        shape: expected `(T, H, W, C)`; None for an axis that may have any length.

    Returns:
        float32 array `(T, H, W, C)`. It shares memory with `clip` where nothing had to change.

    Raises:
        ValueError: for another rank, axis length, type or range, and for NaN or Inf.

    >>> check(np.zeros((8, 4, 4, 3)), shape=(16, None, None, 3))
    Traceback (most recent call last):
    ValueError: Expected a clip of 16 frames. Received: 8 frames (shape (8, 4, 4, 3)); ...
    """
    try:
        array = np.asarray(clip)
    except ValueError:  # a list of different lengths
        raise _no_array(clip) from None
    if array.dtype.kind in "OUS":
        raise _no_array(clip)
    _check_shape(array, shape)
    if not array.dtype.name.startswith(("float", "bfloat")):
        raise ValueError(
            f"Expected a clip of floats in [0, 1]. Received: {array.dtype} values"
            + (f" from {array.min()} to {array.max()}" if array.dtype.kind in "iu" else "")
            + ("; divide by 255." if array.dtype == np.uint8 else ".")
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf, counted below
        array = array.astype(np.float32, copy=False)
    _check_finite(array)
    low, high = float(array.min()), float(array.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        hint = "; divide by 255" if low >= 0 and _BLACK <= high <= 255 else ""
        hint = "; (clip + 1) / 2 maps [-1, 1] to [0, 1]" if -1 <= low < 0 and high <= 1 else hint
        raise ValueError(
            f"Expected clip values in [0, 1]. Received: values from {low:.6g} to {high:.6g}{hint}."
        )
    return np.clip(array, 0, 1) if low < 0 or high > 1 else array


def stored(array: NDArray) -> NDArray[np.float32]:
    """A stored clip, checked and converted: whole numbers are divided by 255.

    Raises:
        ValueError: For whole numbers below 0 or above 255, and for what `check` refuses.
    """
    if array.dtype.kind in "iu":
        if array.size and (array.min() < 0 or array.max() > _HIGHEST):
            raise ValueError(
                f"Expected whole numbers from 0 to {_HIGHEST}. "
                f"Received: from {array.min()} to {array.max()}."
            )
        array = array.astype(np.float32) / np.float32(_HIGHEST)
    return check(array)


def _no_array(given: object) -> ValueError:
    """The error for a value that is not an array of numbers, with a conversion if there is one."""
    way = ""
    if isinstance(given, (str, bytes, os.PathLike)):
        way = "; clips.read(path, frames=..., size=...) gives the clip of a file or folder"
    elif callable(getattr(given, "animation", None)):
        way = "; its animation() is a clip"
    return ValueError(
        "Expected a clip, an array (frames, height, width, channels) of floats in [0, 1]. "
        f"Received: {given!r:.100}{way}."
    )


def _check_shape(array: NDArray, shape: Sequence[int | None] | None) -> None:
    if array.ndim != 4:
        hint = {5: "; pass one clip of the batch", 3: "; clip[None] is a clip of one frame"}
        raise ValueError(
            "Expected a clip with axes (frames, height, width, channels). "
            f"Received: shape {array.shape}{hint.get(array.ndim, '')}."
        )
    if 0 in array.shape:
        raise ValueError(f"Expected a clip with no empty axis. Received: shape {array.shape}.")
    if shape is None:
        return
    if len(shape) != 4:
        raise ValueError(
            "Expected shape=(frames, height, width, channels), None where any length will do. "
            f"Received: shape={tuple(shape)}."
        )
    wrong = [
        (name, want, have)
        for name, want, have in zip(_AXES, shape, array.shape, strict=True)
        if want is not None and want != have
    ]
    if wrong:
        expected = ", ".join(_length(name, want) for name, want, _ in wrong)
        received = ", ".join(_length(name, have) for name, _, have in wrong)
        raise ValueError(
            f"Expected a clip of {expected}. Received: {received} (shape {array.shape})"
            f"{_way_to_fit(shape, array)}."
        )


def _length(axis: str, length: int | None) -> str:
    """An axis and its length: "height 64", "1 frame", "3 channels"."""
    if axis in ("height", "width"):
        return f"{axis} {length}"
    return counted(length or 0, axis)


def _way_to_fit(shape: Sequence[int | None], array: NDArray) -> str:
    """The calls that convert a clip to the expected frames and size, if there are any."""
    frames, height, width, channels = shape
    if channels not in (None, array.shape[3]):
        return _way_to_channels(shape, array)
    calls = []
    if frames is not None and frames != len(array):
        short = ', short="loop"' if frames > len(array) else ""
        calls.append(f"clips.sample(clip, {frames}{short})")
    if (height, width) != array.shape[1:3] and None not in (height, width):
        calls.append(f"clips.resize(clip, ({height}, {width}))")
    return f"; {' and '.join(calls)} would fit it" if calls else ""


def _way_to_channels(shape: Sequence[int | None], array: NDArray) -> str:
    """The call that moves the channels last, or converts between grey and RGB."""
    for axis, before in ((1, "T, C, H, W"), (0, "C, T, H, W")):
        moved = np.moveaxis(array, axis, -1).shape
        if all(want in (None, have) for want, have in zip(shape, moved, strict=True)):
            return f"; of a clip ({before}), np.moveaxis(clip, {axis}, -1) would fit it"
    if any(want not in (None, n) for want, n in zip(shape[:3], array.shape, strict=False)):
        return ""
    calls = {(1, 3): "np.repeat(clip, 3, axis=-1)", (3, 1): "clip.mean(axis=-1, keepdims=True)"}
    call = calls.get((array.shape[3], shape[3] or 0))
    return "" if call is None else f"; {call} would fit it"


def _check_finite(array: NDArray) -> None:
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        nan = int(np.isnan(array).sum())
        raise ValueError(
            "Expected finite clip values. "
            f"Received: {nan} NaN and {bad - nan} Inf among {array.size} values."
        )


def to_uint8(clip: ArrayLike) -> NDArray[np.uint8]:
    """Turns floats in [0, 1] into whole numbers from 0 to 255.

    Values are rounded to the nearest step and clipped to the range first: a plain cast would cut
    decimals off and wrap 1.01 round to 1.

    Args:
        clip: array-like of floats of any shape; [0, 1] is mapped to 0-255.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: for integers (their range cannot be known) and for NaN.

    >>> to_uint8([-0.5, 0.0, 0.5, 1.0, 1.01])
    array([  0,   0, 128, 255, 255], dtype=uint8)
    """
    array = np.asarray(clip)
    if not array.dtype.name.startswith(("float", "bfloat")):
        raise ValueError(f"Expected floats in [0, 1]. Received: {array.dtype} values.")
    array = array.astype(np.float64)
    if np.isnan(array).any():
        raise ValueError(f"Expected numbers. Received: {int(np.isnan(array).sum())} NaN.")
    # floor(x + 0.5) and not rint, which would send 0.5 to the even neighbour.
    return np.floor(np.clip(array, 0, 1) * 255 + 0.5).astype(np.uint8)


def to_rgb(clip: ArrayLike, *, background: float = 1.0) -> NDArray[np.float32]:
    """Shows a clip of 1 to 4 channels in red, green and blue.

    Grey is repeated. Flow, in which 0.5 means no motion, is drawn with the usual colour wheel: the
    hue is the direction (red right, then yellow, green, cyan and blue as it turns from right
    through down, left and up) and the saturation is the speed, so that a resting pixel is white.
    RGBA is laid over a grey background.

    Args:
        clip: `(T, H, W, C)` in [0, 1]; C is 1 (grey), 2 (flow to the right and down), 3 or 4.
        background: grey level in [0, 1] behind RGBA.

    Returns:
        float32 array `(T, H, W, 3)` in [0, 1].

    Raises:
        ValueError: for what `check` refuses, more than 4 channels, and another `background`.

    Colour wheel: Baker et al. 2011, "A Database and Evaluation Methodology for Optical Flow",
    https://doi.org/10.1007/s11263-010-0390-2 (here with evenly spaced hues).

    >>> to_rgb(np.full((1, 1, 1, 2), 0.5)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    clip = check(clip)
    if not (are_numbers(background) and 0 <= background <= 1):
        raise ValueError(f"Expected background from 0 to 1. Received: {background!r}.")
    channels = clip.shape[-1]
    if channels == 1:
        return np.repeat(clip, 3, axis=-1)
    if channels == 2:
        return _color_wheel(clip)
    if channels == 3:
        return clip
    if channels == 4:
        color, alpha = clip[..., :3], clip[..., 3:]
        return (color * alpha + np.float32(background) * (1 - alpha)).astype(np.float32)
    raise ValueError(f"Expected a clip of 1 to 4 channels. Received: {channels} channels.")


def _color_wheel(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    right, down = np.moveaxis(2 * flow - 1, -1, 0)
    hue = np.arctan2(down, right) / (2 * np.pi) % 1
    saturation = np.minimum(np.hypot(right, down), 1)
    # HSV to RGB at full value: each colour falls linearly between its two neighbours' hues.
    sector = (np.array([5, 3, 1], np.float32) + hue[..., None] * 6) % 6
    fall = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return (1 - saturation[..., None] * fall).astype(np.float32)
