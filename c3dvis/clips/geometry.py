"""The size and the length of a clip: resize, sample in time, contact sheet."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from c3dvis.checks import whole
from c3dvis.clips.values import check, to_rgb
from c3dvis.text import counted, unknown

SHORT = ("loop", "hold")
"""Ways to extend a clip with too few frames."""


class TooFewFrames(ValueError):
    """A clip has too few frames, and `short` is not given."""


def resize(clip: ArrayLike, size: int | tuple[int, int]) -> NDArray[np.float32]:
    """Resizes every frame, keeping the picture's proportions.

    The largest centred part with the wanted proportions is cut out and then scaled, as
    `keras.preprocessing.image.smart_resize` does: nothing is stretched, but the longer side may
    lose its ends. Scaling is linear with antialiasing, so no value leaves the range of the clip.

    Args:
        clip: `(T, H, W, C)` in [0, 1], any number of channels.
        size: height and width in pixels, or one number for a square.

    Returns:
        float32 array `(T, *size, C)` in [0, 1]; always a new array.

    Raises:
        ValueError: for what `check` refuses, and for a size that is not two positive integers.

    >>> resize(np.zeros((2, 30, 40, 3)), (15, 15)).shape
    (2, 15, 15, 3)
    """
    clip, size = check(clip), check_size(size)
    return np.stack([resize_frame(frame, size) for frame in clip])


def enlarge(clip: NDArray[np.float32], *, side: int = 112) -> NDArray[np.float32]:
    """Repeats pixels until the shorter side has at least `side` pixels.

    Args:
        clip: `(T, H, W, C)`.
        side: in pixels.

    Returns:
        `(T, n H, n W, C)`.

    >>> enlarge(np.zeros((1, 50, 60, 3), np.float32)).shape
    (1, 150, 180, 3)
    """
    times = -(-side // min(clip.shape[1:3]))
    return clip.repeat(times, axis=1).repeat(times, axis=2)


def check_size(size: Any) -> tuple[int, int]:
    """Returns `size`, `(height, width)` or one number for both, as two positive integers."""
    try:
        height, width = (operator.index(side) for side in (size if np.ndim(size) else (size, size)))
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1 or isinstance(size, bool):
        raise ValueError(
            "Expected size=(height, width), two positive integers, or one for a square. "
            f"Received: size={size!r}."
        )
    return height, width


@dataclass(frozen=True)
class Crop:
    """The centred crop of a frame that `resize` scales: its largest part of given proportions.

    Attributes:
        top: Top edge in pixels of the frame, like the other edges; can be fractional.
        left: The first column.
        bottom: Behind the last row.
        right: Behind the last column.

    >>> Crop.of((240, 320), (112, 112))
    Crop(top=0.0, left=40.0, bottom=240.0, right=280.0)
    """

    top: float
    left: float
    bottom: float
    right: float

    @classmethod
    def of(cls, whole: tuple[int, int], size: tuple[int, int]) -> "Crop":
        """The crop of frames of height and width `whole` that are resized to `size`."""
        height, width = whole
        scale = min(height / size[0], width / size[1])
        top, left = (height - scale * size[0]) / 2, (width - scale * size[1]) / 2
        return cls(
            max(top, 0.0), max(left, 0.0), min(height - top, height), min(width - left, width)
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in whole pixels."""
        return round(self.bottom - self.top), round(self.right - self.left)

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns of a frame, in whole pixels; at least one of each."""
        top, left = round(self.top), round(self.left)
        bottom, right = round(self.bottom), round(self.right)
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def resize_frame(frame: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Crops the centre of `frame` `(H, W, C)` to the proportions of `size` and scales it."""
    crop = Crop.of(frame.shape[:2], size)
    box = (crop.left, crop.top, crop.right, crop.bottom)
    # The weights of a pixel sum to 1 up to float32 rounding.
    return np.clip(_scaled(frame, size, box), 0, 1)


def stretch(clip: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A clip `(T, H, W, C)` of any values, with each whole frame scaled to a height and width."""
    return np.stack([_scaled(frame, size) for frame in clip])


def _scaled(frame, size, box=None) -> NDArray[np.float32]:
    planes = [
        Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR, box=box)
        for plane in np.ascontiguousarray(np.moveaxis(frame, -1, 0))
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def sample(clip: ArrayLike, frames: int, *, short: str | None = None) -> NDArray[np.float32]:
    """Takes `frames` frames, spread evenly over the clip.

    The clip is divided into `frames` equal parts and the middle frame of each is taken, as
    temporal segment networks do when tested. `frames == T` gives the clip itself.

    Args:
        clip: `(T, H, W, C)` in [0, 1].
        frames: how many frames to return.
        short: what to do when T is smaller than `frames`: None refuses, "loop" starts again from
            the first frame, "hold" repeats the last.

    Returns:
        float32 array `(frames, H, W, C)`.

    Raises:
        ValueError: for what `check` refuses, and for too few frames unless `short` is given.

    Wang et al. 2016, "Temporal Segment Networks", https://arxiv.org/abs/1608.00859

    >>> ramp = np.linspace(0, 1, 6).reshape(6, 1, 1, 1)
    >>> sample(ramp, 3).ravel().round(1).tolist()
    [0.2, 0.6, 1.0]
    """
    clip = check(clip)
    return clip[choose(len(clip), frames, short=short)]


def choose(
    count: int,
    frames: int | None,
    *,
    start: int = 0,
    step: int | None = None,
    short: str | None = None,
) -> list[int]:
    """Selects which of `count` frames to take; `c3dvis.clips.read` describes the arguments."""
    _check_times(count, frames, start, step, short)
    if frames is None:
        return list(range(start, count, step or 1))
    spare = count - start
    if step is None and frames <= spare:
        return [start + (2 * part + 1) * spare // (2 * frames) for part in range(frames)]
    there = range(start, count, step or 1)[:frames]
    if len(there) == frames:
        return list(there)
    if short is None:
        where = f" (start={start}, step={step or 1})" if start or step else ""
        raise TooFewFrames(
            f'Expected at least {frames} frames; short="loop" or "hold" accepts fewer. '
            f"Received: {counted(len(there), 'frame')}{where}."
        )
    if short == "loop":
        return [there[index % len(there)] for index in range(frames)]
    return [there[min(index, len(there) - 1)] for index in range(frames)]


def choose_windows(
    count: int,
    frames: int | None,
    windows: int,
    *,
    start: int = 0,
    step: int | None = None,
    short: str | None = None,
) -> list[list[int]]:
    """Selects, from `count` frames, those of several clips of `frames` frames each.

    Without a step, each has frames spread evenly over one of as many equal parts; with one, frames
    `step` apart, the first clip from `start` on and the last up to the end. One clip is that of
    `choose`, of all frames where `frames` is None.

    >>> choose_windows(12, 3, 2)
    [[1, 3, 5], [7, 9, 11]]
    >>> choose_windows(12, 3, 4, step=1)
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    """
    if frames is None or windows == 1:
        return [choose(count, frames, start=start, step=step, short=short)]
    if step is None:
        every = choose(count, frames * windows, start=start, short=short)
        return [every[first : first + frames] for first in range(0, len(every), frames)]
    _check_times(count, frames, start, step, short)
    last = max(start, count - 1 - (frames - 1) * step)
    firsts = [start + i * (last - start) // (windows - 1) for i in range(windows)]
    return [choose(count, frames, start=first, step=step, short=short) for first in firsts]


def _check_times(
    count: int, frames: int | None, start: int, step: int | None, short: str | None
) -> None:
    numbers: list[tuple[str, Any, int]] = [
        ("frames", frames, 1),
        ("start", start, 0),
        ("step", step, 1),
    ]
    for name, value, minimum in numbers:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if (value is not None or name == "start") and not (whole and value >= minimum):
            raise ValueError(
                f"Expected {name} to be an integer of at least {minimum}. Received: {value!r}."
            )
    if start >= count:
        raise ValueError(f"Expected start below {count}, the number of frames. Received: {start}.")
    if short is not None and short not in SHORT:
        raise unknown("short None, or the name of a way", short, SHORT)


def sheet(
    clips: ArrayLike | Sequence[ArrayLike],
    *,
    columns: int | None = None,
    frames: int | None = None,
    pad: int = 2,
) -> NDArray[np.float32]:
    """Lays out clips on one picture: a row for each clip, its frames from left to right.

    Args:
        clips: one clip `(T, H, W, C)`, or a sequence of clips of the same height and width. They
            may differ in length and in channels; `to_rgb` says how each is shown.
        columns: frames in a row; a longer clip continues on the next row. Default: the longest
            clip fits one row.
        frames: how many frames of each clip to show, spread evenly. Default: all.
        pad: white pixels around each frame.

    Returns:
        float32 array `(height, width, 3)` in [0, 1].

    Raises:
        ValueError: for no clip, clips of different sizes, and for what `check` refuses.

    >>> sheet([np.zeros((4, 8, 8, 3)), np.zeros((6, 8, 8, 1))], pad=1).shape
    (19, 55, 3)
    """
    # An array of clips iterates over clips, but NumPy's types do not say so.
    if not isinstance(clips, Iterable):
        check(clips)  # says what is expected
    clips = list(cast(Sequence[ArrayLike], clips))
    if not clips:
        raise ValueError("Expected at least one clip. Received: none.")
    rows = [np.stack(clips)] if np.ndim(clips[0]) == 3 else clips
    shown = [to_rgb(clip) for clip in rows]
    if frames is not None:
        most = whole(frames, "frames", 1)
        shown = [sample(clip, min(most, len(clip))) for clip in shown]
    sizes = {clip.shape[1:3] for clip in shown}
    if len(sizes) != 1:
        raise ValueError(f"Expected clips of one height and width. Received: {sorted(sizes)}.")
    pad = whole(pad, "pad")
    height, width = (side + pad for side in sizes.pop())
    longest = max(len(clip) for clip in shown)
    across = longest if columns is None else whole(columns, "columns", 1)
    lines = [
        clip[first : first + across] for clip in shown for first in range(0, len(clip), across)
    ]
    page = np.ones((len(lines) * height + pad, across * width + pad, 3), np.float32)
    for row, line in enumerate(lines):
        for column, frame in enumerate(line):
            top, left = row * height + pad, column * width + pad
            page[top : top + height - pad, left : left + width - pad] = frame
    return page
