"""The common interface of all kinds of files with frames."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from c3dvis.text import in_one_line


class Source(Protocol):
    """An ordered set of frames on disk, of which any can be picked without keeping the others."""

    @property
    def path(self) -> Path: ...

    @property
    def count(self) -> int:
        """How many frames there are."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as shown, in pixels."""
        ...

    @property
    def rate(self) -> float | None:
        """Frames per second, their mean; None where the file does not say."""
        ...

    @property
    def channels(self) -> int:
        """Values per pixel."""
        ...

    def pick(self, wanted: Sequence[int]) -> Iterator[NDArray[np.uint8] | NDArray[np.float32]]:
        """Yield the frames numbered `wanted` (rising), each `(height, width, channels)`.

        Whole numbers are from 0 to 255, floats in [0, 1].
        """
        ...


MAXIMUM_BYTES = 4 * 2**30
"""Maximum memory of one clip. A clip for a network takes a few megabytes; more than this is a whole
film, read by mistake."""

MAXIMUM_PIXELS = 2**24
"""Pixels of one frame: 4096 x 4096. A few bytes of a file can promise a picture of gigabytes."""


class FewerFrames(Exception):
    """An intact file gave fewer frames than expected; `source` has the right number."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.source = source


def check_frame_size(path: Path, height: int, width: int) -> None:
    """Refuses frames that would fill the memory, before one of them is decoded."""
    if height * width > MAXIMUM_PIXELS:
        raise unreadable(
            path,
            f"its frames are {height}x{width} pixels, more than the {MAXIMUM_PIXELS:,} that a "
            "frame may have; scale it down with a video or picture program first",
        )


class Unreadable(ValueError):
    """A file or folder that cannot be read as a clip."""


def unreadable(path: Path, reason: str) -> Unreadable:
    """The one-line error for a file or folder that cannot be read as a clip."""
    return Unreadable(
        "Expected a readable video, animated picture, folder of frames or NumPy file. "
        f"Received: {str(path)!r}: {in_one_line(reason)}."  # decoders' messages may span lines
    )
