"""Read a clip from a video file, an animated picture, a folder of frames or a NumPy file."""

from __future__ import annotations

import math
import os
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import files
from c3dvis.clips import arrays
from c3dvis.clips.geometry import Crop, check_size, choose_windows, resize_frame
from c3dvis.clips.pictures import Folder, Picture
from c3dvis.clips.sources import MAXIMUM_BYTES, FewerFrames, Source, unreadable
from c3dvis.clips.video import Video
from c3dvis.text import counted

CLIP_SUFFIXES = (
    *arrays.SUFFIXES,
    *(".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".webp", ".apng"),
    *(".ogv", ".wmv", ".flv", ".3gp", ".ts"),
)
"""Names of files that count as clips of a folder; so does a folder that holds pictures."""

_LISTED = 4
"""Maximum number of frame indices listed in a sentence; of more, the first two and the last."""

_PICTURES = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Excerpt:
    """A clip that was read from a file.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1]; three channels, but those of a NumPy file.
        frames: Their numbers in the file, counted from 0.
        source: The file; it decodes them again.
    """

    clip: NDArray[np.float32]
    frames: tuple[int, ...]
    source: Source = field(repr=False)

    @property
    def crop(self) -> Crop:
        """The part of each frame of the file that the clip shows."""
        return Crop.of(self.source.size, (self.clip.shape[1], self.clip.shape[2]))

    @property
    def is_cropped(self) -> bool:
        """Whether at least one row or column of pixels was cropped."""
        return self.crop.size != self.source.size

    def whole_frames(self, *, side: int = 480) -> NDArray[np.float32]:
        """The same frames as the file holds them, uncropped; they are decoded once more.

        Args:
            side: Maximum length of the longer side in pixels; smaller frames are not enlarged.

        Returns:
            float32 `(T, H, W, C)` in [0, 1].
        """
        scale = min(1.0, side / max(self.source.size))
        height, width = (max(1, round(scale * length)) for length in self.source.size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first reading has warned already
            return _load(self.source, list(self.frames), (height, width))

    def with_channels(self, channels: int) -> Excerpt:
        """The same with as many channels as a network takes: RGB becomes grey, grey RGB.

        Raises:
            ValueError: If the file holds another number, which can't become that.
        """
        own = self.clip.shape[-1]
        if own == channels:
            return self
        if (own, channels) == (3, 1):
            return replace(self, clip=self.clip.mean(axis=-1, keepdims=True))
        if (own, channels) == (1, 3):
            return replace(self, clip=np.repeat(self.clip, 3, axis=-1))
        flow = "optical flow in two, " if channels == 2 else ""
        raise ValueError(
            f"Expected a clip of {counted(channels, 'channel')}, as the network takes: {flow}saved "
            f'by np.save("clip.npy", clip), as films and pictures are RGB. '
            f"Received: {counted(own, 'channel')} in {str(self.source.path)!r}."
        )

    @property
    def span(self) -> tuple[int, int]:
        """Its first and last frame."""
        return self.frames[0], max(self.frames)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """The times of its first and last frame; None if the file does not have them."""
        rate = self.source.rate
        return None if rate is None else (self.span[0] / rate, self.span[1] / rate)

    @property
    def seconds_in_words(self) -> str:
        """`seconds` as "2.8 to 3.7"; empty if unknown."""
        return "" if self.seconds is None else "{:.1f} to {:.1f}".format(*self.seconds)

    def __str__(self) -> str:
        """A sentence on the part of the file that is shown."""
        shown = [str(number) for number in self.frames]
        if len(shown) > _LISTED:
            shown[2:-1] = ["..."]
        text = f"Frames {', '.join(shown)} of {self.source.count}, counted from 0"
        if self.seconds is not None:
            text += f" ({self.seconds_in_words} s)"
        if not self.is_cropped:
            return f"{text}."
        cut, whole = (f"{height} x {width}" for height, width in (self.crop.size, self.source.size))
        return f"{text}; of each the middle {cut} of {whole} pixels."


def read(
    path: str | os.PathLike[str],
    *,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    start: int | str = 0,
    step: int | None = None,
    short: str | None = None,
) -> NDArray[np.float32]:
    """Reads a clip.

    The kind of file is recognised by its first bytes, not its name. A long video is decoded frame
    by frame from its beginning to the last frame wanted; only the wanted frames are kept, resized
    as they come. Transparent pixels are laid over black. A rotation flag is honoured; an uneven
    frame rate and numbers missing from a folder's series give a warning.

    Args:
        path: a video (mp4, mov, webm, mkv, avi, ...), an animated GIF, WebP or PNG, a folder
            with a picture file for each frame, in natural order (2 before 10), or a file of
            `np.save` or `np.savez` with one array `(T, H, W, C)`: floats in [0, 1], or whole
            numbers from 0 to 255, which are divided by 255.
        frames: how many frames to return. Default: all from `start` on.
        size: height and width in pixels, or one number for a square; `resize` says how. Default:
            as stored.
        start: number of the first frame to use, counted from 0, or its time in seconds as text,
            "12.5s", by the file's mean frame rate.
        step: take every `step`-th frame. Default: where `frames` is given, spread them evenly
            from `start` to the end as `sample` does; otherwise every frame.
        short: what to do where the file has fewer frames than `frames` asks for: None refuses,
            "loop" starts again from `start`, "hold" repeats the last one.

    Returns:
        float32 array `(T, H, W, 3)`, RGB in [0, 1]; of a NumPy file with its own channels.

    Raises:
        ValueError: one line that names the file, where it is missing, empty, damaged, cut off, of
            no known kind, without video, too short, or would take more than `MAXIMUM_BYTES`.

    An example, of a file that does not come with the package, so it is not run:

    >>> read("wave.mp4", frames=16, size=(112, 112)).shape  # doctest: +SKIP
    (16, 112, 112, 3)
    """
    return excerpt(path, frames=frames, size=size, start=start, step=step, short=short).clip


def excerpt(
    path: str | os.PathLike[str],
    *,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    start: int | str = 0,
    step: int | None = None,
    short: str | None = None,
) -> Excerpt:
    """The clip of `read`, with its frames and times in the file; takes the same arguments."""
    (one,) = excerpts(path, 1, frames=frames, size=size, start=start, step=step, short=short)
    return one


def excerpts(
    path: str | os.PathLike[str],
    windows: int,
    *,
    frames: int | None,
    size: int | tuple[int, int] | None = None,
    start: int | str = 0,
    step: int | None = None,
    short: str | None = None,
) -> list[Excerpt]:
    """Several clips of one file, in the order of time; it is decoded once.

    Args:
        path: See `read`.
        windows: Number of clips. Without `step`, the film from `start` on is divided into that many
            equal parts, and each clip's frames are spread evenly over its part. With `step`, a
            clip's frames are `step` apart, and clips begin at equal distances; the last one ends
            with the film.
        frames: Frames per clip; None means all, of one window.
        size: See `read`.
        start: See `read`.
        step: See `read`.
        short: See `read`; for files with too few frames.

    Raises:
        ValueError: See `read`.
    """
    sides = None if size is None else check_size(size)
    path = files.as_path(path)
    source = _source(path)
    while True:
        try:
            first = _frame_at(start, source)
            wanted = choose_windows(
                source.count, frames, windows, start=first, step=step, short=short
            )
        except ValueError as error:
            raise type(error)(f"{error} File: {str(path)!r}.") from error
        try:
            every = _load(source, [number for window in wanted for number in window], sides)
        except FewerFrames as fewer:
            warnings.warn(
                f"{str(path)!r} holds {source.count} frames, of which {fewer.source.count} can "
                "be decoded; the others are left out.",
                stacklevel=4,
            )
            source = fewer.source
            continue
        ends = np.cumsum([len(window) for window in wanted])[:-1]
        each = zip(np.split(every, ends), wanted, strict=True)
        return [Excerpt(clip, tuple(numbers), source) for clip, numbers in each]


def _frame_at(start: int | str, source: Source) -> Any:
    """The index of the frame at a time such as "12.5s"; an index is returned unchanged."""
    if isinstance(start, (float, np.floating)):
        raise ValueError(
            f'Expected start to be a frame number, or a time in seconds as text, "{start:g}s". '
            f"Received: {start!r}."
        )
    if not isinstance(start, str):
        return start
    if not re.fullmatch(r"\d+(\.\d+)?s", start, re.ASCII):
        raise ValueError(
            f'Expected start to be a frame number, or a time such as "12.5s". Received: {start!r}.'
        )
    if source.rate is None:
        raise ValueError(
            "Expected start to be a frame number, as the frame rate is unknown. "
            f"Received: {start!r}."
        )
    first = round(float(start[:-1]) * source.rate)
    if first >= source.count:
        raise ValueError(
            f"Expected start within the film's {source.count / source.rate:.3g} seconds. "
            f"Received: {start!r}."
        )
    return first


def _source(path: Path) -> Source:
    if path.is_dir():
        return Folder.open(path)
    if not path.exists():
        raise unreadable(path, f"it {files.absent(path)}")
    if not path.is_file():
        raise unreadable(path, "neither a file nor a folder")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    if not head:
        raise unreadable(path, "the file is empty")
    if head.startswith(_PICTURES) or head[8:] == b"WEBP":
        return Picture.open(path)
    if head.startswith((arrays.MARK, arrays.ARCHIVE_MARK)):
        return arrays.Array.open(path, is_archive=head.startswith(arrays.ARCHIVE_MARK))
    return Video.open(path)


def _load(source: Source, wanted: list[int], size: tuple[int, int] | None) -> NDArray[np.float32]:
    once = sorted(set(wanted))
    shape = (len(once), *(size or source.size), source.channels)
    if 4 * math.prod(shape) > MAXIMUM_BYTES:
        raise ValueError(
            f"Expected a clip of at most {MAXIMUM_BYTES / 2**30:.3g} GiB. Received: {shape[0]} "
            f"frames of {shape[1]}x{shape[2]} ({4 * math.prod(shape) / 2**30:.3g} GiB) in "
            f"{str(source.path)!r}; ask for fewer frames or a smaller size."
        )
    clip = np.empty(shape, np.float32)
    for slot, picked in enumerate(source.pick(once)):
        if size is None and picked.shape != shape[1:]:
            height, width = picked.shape[:2]
            raise unreadable(
                source.path,
                f"frame {once[slot]} is {height}x{width}, the first {shape[1]}x{shape[2]}",
            )
        frame = picked.astype(np.float32)
        if picked.dtype == np.uint8:
            frame /= np.float32(255)
        clip[slot] = frame if size is None else resize_frame(frame, size)
    return clip if once == wanted else clip[np.searchsorted(once, wanted)]
