"""Clips for a sweep, one after the other: a folder, a list of files, arrays or a dataset."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, output_folder
from c3dvis.clips import pictures
from c3dvis.clips.reading import CLIP_SUFFIXES, excerpts
from c3dvis.files import absent
from c3dvis.responses.sweep_result import PARTS, SETTINGS
from c3dvis.text import in_one_line


@dataclass(frozen=True)
class NamedClip:
    """A clip of a sweep, or why it could not be read.

    Attributes:
        name: Unique in the sweep: a file's path below the folder, and which part of it.
        source: What clips of one film have in common.
        clip: float32 `(T, H, W, C)` in [0, 1]; None if it can't be read.
        error: Why, in a sentence.
    """

    name: str
    source: str
    clip: NDArray[np.float32] | None
    error: str | None = None


@dataclass(frozen=True)
class Clips:
    """Clips that can be read repeatedly, starting from any of them.

    Attributes:
        identity: What distinguishes them from other clips, as JSON.
        count: Number of clips; None for a dataset of unknown length.
        start_at: Function of a number that gives the clips from this one on.
        names: Names of all clips, if each can be read by itself; otherwise None.
    """

    identity: Any
    count: int | None
    start_at: Callable[[int], Iterator[NamedClip]]
    names: Sequence[str] | None = None

    def named(self, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """The clips of some names.

        Raises:
            ValueError: If one is not there, or can't be read.
        """
        if self.names is None:
            read = (one for one in self.start_at(0) if one.name in wanted)
        else:
            numbers = (i for i, name in enumerate(self.names) if name in wanted)
            read = (next(self.start_at(number)) for number in numbers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the sweep has already warned about the file
            clips_there = {one.name: one.clip for one in read if one.clip is not None}
        for name in wanted:
            if name not in clips_there:
                raise ValueError(
                    f"Expected the clips that were swept. Received: others, without {name!r}."
                )
        return clips_there


def of(
    given: Any,
    *,
    frames: int,
    size: tuple[int, int],
    channels: int = 3,
    windows: int = 1,
) -> Clips:
    """The clips that a sweep reads.

    Args:
        given: A folder of videos, NumPy files and folders of frames, sorted into folders or not; a
            list of files; an array or list of clips `(T, H, W, C)` in [0, 1]; a `tf.data.Dataset`
            of batches, or a Keras `PyDataset`, of clips or of `(clips, ...)`.
        frames: Frames that files are read with.
        size: Height and width that files are read with.
        channels: Channels of the network's clips; films are read in grey for 1.
        windows: Number of equal parts of a file from which clips are taken.

    Raises:
        ValueError: If no clips can be read from it.
    """
    read = partial(_windows, frames, size, channels, windows)
    if isinstance(given, (str, os.PathLike)):
        folder = Path(given)
        files = check_folder(folder)
        names = [file.relative_to(folder).as_posix() for file in files]
        return _of_files(files, names, read, windows)
    if hasattr(given, "__getitem__") and hasattr(given, "num_batches"):  # a PyDataset
        return _of_batches(lambda: (given[i] for i in range(given.num_batches)), given)
    if hasattr(given, "element_spec"):  # a tf.data.Dataset
        return _of_batches(lambda: iter(given), given)
    listed = list(given) if isinstance(given, Iterable) else []
    if not listed:
        raise ValueError(
            "Expected clips: a folder, files, arrays (T, H, W, C) or a dataset of batches. "
            f"Received: {type(given).__name__}."
        )
    if all(isinstance(one, (str, os.PathLike)) for one in listed):
        files = [Path(one) for one in listed]
        for file in files:
            if not file.exists():
                raise ValueError(f"Expected files. Received: '{file}', which {absent(file)}.")
        return _of_files(files, [str(file) for file in files], read, windows)
    return _of_arrays(listed)


def check_folder(folder: Path) -> list[Path]:
    """The videos and NumPy files below a folder.

    Raises:
        ValueError: If there are none.
    """
    files = list(_files(folder))
    if not files:
        raise ValueError(
            f"Expected a folder with videos or NumPy files. Received: {str(folder)!r}."
        )
    return files


def _files(folder: Path) -> Iterator[Path]:
    """Videos, NumPy files and folders of frames below a folder, in the order of their names.

    Output of commands and sweeps in the folder, such as a gallery next to its films, is left out.
    """
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        is_part = entry.name == PARTS and (folder / SETTINGS).is_file()
        if entry.name.startswith(".") or is_part or output_folder.is_output(entry):
            continue
        if entry.is_dir():
            pictured = any(f.suffix.lower() in pictures.FRAME_SUFFIXES for f in entry.iterdir())
            yield from [entry] if pictured else _files(entry)
        elif entry.suffix.lower() in CLIP_SUFFIXES:
            yield entry


def _of_files(files, names, read_windows: Callable, windows: int) -> Clips:
    parts = [""] if windows == 1 else [f"#{window}" for window in range(windows)]
    every = [f"{name}{part}" for name in names for part in parts]

    def start_at(first: int) -> Iterator[NamedClip]:
        read = functools.lru_cache(maxsize=1)(read_windows)
        for number in range(first, len(every)):
            index, window = divmod(number, windows)
            try:
                yield NamedClip(every[number], names[index], read(files[index])[window])
            except ValueError as error:
                yield NamedClip(every[number], names[index], None, in_one_line(error))

    stats = [[name, file.stat().st_size] for name, file in zip(names, files, strict=True)]
    return Clips({"files": stats, "windows": windows}, len(every), start_at, every)


def _windows(
    frames: int, size: tuple[int, int], channels: int, windows: int, file: Path
) -> list[NDArray[np.float32]]:
    """A clip of each of the equal parts of a file."""
    read = excerpts(file, windows, frames=frames, size=size, short="hold")
    return [one.with_channels(channels).clip for one in read]


def _of_arrays(listed: list) -> Clips:
    def start_at(first: int) -> Iterator[NamedClip]:
        for index in range(first, len(listed)):
            yield NamedClip(str(index), str(index), clips.check(listed[index]))

    names = [str(index) for index in range(len(listed))]
    return Clips({"arrays": len(listed)}, len(listed), start_at, names)


def _of_batches(begin: Callable[[], Iterator], given: Any) -> Clips:
    def start_at(first: int) -> Iterator[NamedClip]:
        index = 0
        for batch in begin():
            taken = batch[0] if isinstance(batch, (tuple, list)) else batch
            for clip in np.asarray(taken):
                if index >= first:
                    yield NamedClip(str(index), str(index), clips.check(clip))
                index += 1

    return Clips({"dataset": type(given).__name__}, None, start_at)
