"""The output folder of a command: locked by one run, and never a folder of other files."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from c3dvis.clips.pictures import FRAME_SUFFIXES
from c3dvis.clips.reading import CLIP_SUFFIXES
from c3dvis.files import IN_FLIGHT, read_json, write_json

if TYPE_CHECKING:
    from filelock import BaseFileLock

# File with the command that created the folder.
_MARKER = ".c3dvis"
_LOCK = ".c3dvis.lock"
# Endings of what commands write, and of clips and frames, beside which that would be taken for more
# of them.
_OTHERS = (".html", ".md", ".json", ".gz", *CLIP_SUFFIXES, *FRAME_SUFFIXES)


class InUse(ValueError):
    """Another run is writing the same folder."""


def check(folder: Path, command: str, *, manifest: str | None = None) -> None:
    """Raises an error if the folder was not created by this command and holds other clips or pages.

    Args:
        folder: The folder; it need not exist.
        command: Such as "gallery".
        manifest: The command's own JSON file with an "identity"; a folder with it is accepted.

    Raises:
        ValueError: If the command could overwrite other files, write among clips that are read, or
            write through a link.
    """
    refuse_links(folder)
    marker = read_json(folder / _MARKER)
    if isinstance(marker, dict) and marker.get("command") == command:
        return
    kept = None if manifest is None else read_json(folder / manifest)
    if isinstance(kept, dict) and "identity" in kept:
        return
    inside = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    others = [path for path in inside if path.suffix.lower() in _OTHERS]
    if others:
        raise ValueError(
            f"Expected a folder that is new or was begun by this command. Received: {folder}, "
            f"which contains {min(others).relative_to(folder)} from something else; choose another "
            "folder with --out."
        )


def mark(folder: Path, command: str) -> None:
    """Notes in a folder which command created it."""
    write_json(folder / _MARKER, {"command": command})


def is_output(folder: Path) -> bool:
    """Whether a command created the folder: its files are not clips to read."""
    return (folder / _MARKER).is_file()


def refuse_links(folder: Path) -> None:
    """Raises an error if a subfolder is a symbolic link: files would be written elsewhere.

    Raises:
        ValueError: With the path of the link.
    """
    for path in itertools.chain(folder.glob("*"), folder.glob("*/*")):
        if path.is_symlink() and path.is_dir():
            raise ValueError(
                f"Expected a folder whose files lie in it. Received: {path}, which is a symbolic "
                "link to another folder; remove it, or choose another folder with --out."
            )


@contextlib.contextmanager
def locked(
    folder: Path,
    command: str,
    *,
    manifest: str | None = None,
    wait: float = 0,
    tidied: bool = True,
) -> Iterator[None]:
    """Creates and locks the folder; removes partial files of killed runs.

    A folder created here is removed again if it stays empty.

    Args:
        folder: The folder; created if missing.
        command: See `check`.
        manifest: See `check`.
        wait: Seconds to wait for another run's lock.
        tidied: Whether to remove partial files; False while others may write without this lock.

    Raises:
        InUse: If another run holds the lock.
        ValueError: See `check`.
    """
    check(folder, command, manifest=manifest)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _LOCK).is_symlink():
        raise ValueError(
            f"Expected a folder whose files lie in it. Received: {folder / _LOCK}, which is a "
            "symbolic link; remove it, or choose another folder with --out."
        )
    lock = take_lock(folder / _LOCK, wait=wait)
    if lock is None:
        raise InUse(
            f"Expected a folder that no other run is writing. Received: {folder}; wait for the "
            "other run, or choose another folder with --out."
        )
    try:
        check(folder, command, manifest=manifest)  # again: another run may have created it
        mark(folder, command)
        if tidied:
            tidy(folder)
        yield
    finally:
        lock.release()
        if is_new and {path.name for path in folder.iterdir()} <= {_MARKER, _LOCK}:
            shutil.rmtree(folder)


def take_lock(path: Path, *, wait: float = 0) -> BaseFileLock | None:
    """A lock, taken; None if another run still has it after some seconds.

    The system frees it when a process dies, however it dies.
    """
    import filelock

    lock = filelock.FileLock(path, timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout:
        return None
    return lock


def tidy(folder: Path) -> None:
    """Removes partial files of killed runs; no other run may be writing there."""
    for path in [*folder.glob(IN_FLIGHT), *folder.glob(f"*/{IN_FLIGHT}")]:
        if path.is_file() and (path.parent == folder or not path.parent.is_symlink()):
            path.unlink()
