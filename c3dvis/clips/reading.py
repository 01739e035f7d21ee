"""Read a clip from a video file, an animated picture or a folder of frames."""

from __future__ import annotations

import math
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis.clips.geometry import check_size, choose, cut_size, resize_frame
from c3dvis.clips.pictures import Folder, Picture
from c3dvis.clips.sources import FewerFrames, Source, unreadable
from c3dvis.clips.video import Video
from c3dvis.text import similar

MAXIMUM_BYTES = 4 * 2**30
"""Memory that one clip may take. A clip for a network takes a few megabytes; more than this is a
whole film, read by mistake."""

_LISTED = 4
"""Frames whose numbers a sentence holds; of more only the first two and the last."""

_PICTURES = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Excerpt:
    """A clip that was read from a file.

    Attributes:
        clip: float32 `(T, H, W, 3)` in [0, 1].
        frames: Their numbers in the file, counted from 0.
        count: How many frames the file has.
        size: Height and width of its frames, in pixels.
    """

    clip: NDArray[np.float32]
    frames: tuple[int, ...]
    count: int
    size: tuple[int, int]

    def __str__(self) -> str:
        """A sentence on what of the file is shown."""
        shown = [str(number) for number in self.frames]
        if len(shown) > _LISTED:
            shown[2:-1] = ["..."]
        text = f"Frames {', '.join(shown)} of {self.count}, counted from 0"
        height, width = cut_size(self.size, self.clip.shape[1:3])
        if (height, width) == self.size:
            return f"{text}."
        whole = f"{self.size[0]} x {self.size[1]}"
        return f"{text}; of each the middle {height} x {width} of {whole} pixels."


def read(
    path: str | os.PathLike[str],
    *,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    start: int | str = 0,
    step: int | None = None,
    short: str | None = None,
) -> NDArray[np.float32]:
    """Read a clip.

    Its first bytes say the kind of file, not its name. A long video is decoded frame by
    frame from its beginning to the last frame wanted; only the wanted frames are kept, resized as
    they come. Transparent pixels are laid over black. A rotation flag is honoured; an uneven
    frame rate and numbers missing from a folder's series give a warning.

    Args:
        path: a video (mp4, mov, webm, mkv, avi, ...), an animated GIF, WebP or PNG, or a folder
            with a picture file for each frame, in natural order (2 before 10).
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
        float32 array `(T, H, W, 3)`, RGB in [0, 1].

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
    """What `read` gives, with what it is of the file; the arguments are those of `read`."""
    sides = None if size is None else check_size(size)
    source = _source(Path(path))
    while True:
        try:
            first = _frame_at(start, source)
            wanted = choose(source.count, frames, start=first, step=step, short=short)
        except ValueError as error:
            raise type(error)(f"{error} File: {str(path)!r}.") from error
        try:
            clip = _load(source, wanted, sides)
            return Excerpt(clip, tuple(wanted), source.count, source.size)
        except FewerFrames as fewer:
            warnings.warn(
                f"{str(path)!r} holds {source.count} frames, of which {fewer.source.count} can "
                "be decoded; the others are left out.",
                stacklevel=3,
            )
            source = fewer.source


def _frame_at(start: int | str, source: Source) -> Any:
    """The number of the frame that a time such as "12.5s" means; a number as it is."""
    if isinstance(start, (float, np.floating)):
        raise ValueError(
            f'Expected start a frame, or a time in seconds as text, "{start:g}s". '
            f"Received: {start!r}."
        )
    if not isinstance(start, str):
        return start
    if not re.fullmatch(r"\d+(\.\d+)?s", start, re.ASCII):
        raise ValueError(f'Expected start a frame, or a time as "12.5s". Received: {start!r}.')
    if source.rate is None:
        raise ValueError(
            "Expected start a frame, as nothing says how many a second there are. "
            f"Received: {start!r}."
        )
    first = round(float(start[:-1]) * source.rate)
    if first >= source.count:
        raise ValueError(
            f"Expected start within the {source.count / source.rate:.3g} seconds there are. "
            f"Received: {start!r}."
        )
    return first


def _source(path: Path) -> Source:
    if path.is_dir():
        return Folder.open(path)
    if not path.exists():
        names = os.listdir(path.parent) if path.parent.is_dir() else []
        near = " or ".join(map(repr, similar(path.name, names)))
        hint = f"; did you mean {near}?" if near else ""
        raise unreadable(path, f"there is no such file{hint}")
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
    return Video.open(path)


def _load(source: Source, wanted: list[int], size: tuple[int, int] | None) -> NDArray[np.float32]:
    once = sorted(set(wanted))
    shape = (len(once), *(size or source.size), 3)
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
        frame = picked.astype(np.float32) / np.float32(255)
        clip[slot] = frame if size is None else resize_frame(frame, size)
    return clip if once == wanted else clip[np.searchsorted(once, wanted)]
