"""Frames from NumPy files, of any number of channels."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis.clips.sources import MAXIMUM_BYTES, unreadable
from c3dvis.clips.values import stored

SUFFIXES = (".npy", ".npz")
"""File names that count as clips of a folder."""

MARK, ARCHIVE_MARK = b"\x93NUMPY", b"PK\x03\x04"
"""How a file with one array begins, and a ZIP archive of such files."""

_ERRORS = (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True)
class Array:
    """A file with one array `(T, H, W, C)`, floats in [0, 1] or whole numbers from 0 to 255."""

    path: Path
    array: NDArray[Any] = field(repr=False)
    rate: None = None

    @classmethod
    def open(cls, path: Path, *, is_archive: bool) -> Array:
        """Reads the shape and type; the values of an .npy file stay on disk. Runs no pickles."""
        try:
            if is_archive:
                array = _only_array(path)
            else:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
        except _ERRORS as error:
            raise unreadable(path, f"no array of numbers in it ({error})") from error
        if array.ndim != 4 or 0 in array.shape or array.dtype.kind not in "iuf":
            raise unreadable(
                path,
                f"{array.dtype} of shape {array.shape}; an array is read if it has the axes "
                "(frames, height, width, channels) and numbers",
            )
        return cls(path, array)

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.array)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.array.shape[1], self.array.shape[2]

    @property
    def channels(self) -> int:
        """Values per pixel."""
        return self.array.shape[3]

    def pick(self, wanted: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the wanted frames; values out of range are refused before the first."""
        try:
            clip = stored(self.array[list(wanted)])
        except ValueError as error:
            raise ValueError(f"{error} File: {str(self.path)!r}.") from error
        yield from clip


def _only_array(path: Path) -> NDArray[Any]:
    """The array of an archive that holds one."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        if len(members) != 1 or not members[0].filename.endswith(".npy"):
            raise ValueError(f"{len(names)} entries, {', '.join(names[:4])}; one array is read")
        if members[0].file_size > MAXIMUM_BYTES:
            raise ValueError(f"{members[0].file_size / 2**30:.3g} GiB")
        content = archive.read(members[0])
    return np.load(io.BytesIO(content), allow_pickle=False)
