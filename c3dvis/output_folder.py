"""The folder that a command writes: one run at a time, and never one of somebody else's files."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from c3dvis.files import IN_FLIGHT, read_json, write_json

# Says which command began the folder.
_MARKER = ".c3dvis"
_LOCK = ".c3dvis.lock"
# Endings of what commands write.
_WRITTEN = (".html", ".md", ".json", ".gif", ".jpg", ".gz")


class InUse(ValueError):
    """Another run is writing the same folder."""


def check(folder: Path, command: str, *, manifest: str | None = None) -> None:
    """Refuses a folder of something else that holds files such as this command writes.

    Args:
        folder: The folder; it need not exist.
        command: Such as "gallery".
        manifest: File that the command itself keeps there, a JSON object with an "identity"; such a
            folder is of this command, too.

    Raises:
        ValueError: If running there would overwrite somebody else's file, or write through a link.
    """
    refuse_links(folder)
    marker = read_json(folder / _MARKER)
    if isinstance(marker, dict) and marker.get("command") == command:
        return
    kept = None if manifest is None else read_json(folder / manifest)
    if isinstance(kept, dict) and "identity" in kept:
        return
    inside = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    others = [path for path in inside if path.suffix.lower() in _WRITTEN]
    if others:
        raise ValueError(
            f"Expected a folder that is new or was begun by this command. Received: {folder}, "
            f"whose {min(others).relative_to(folder)} is of something else; choose another folder "
            "with --out."
        )


def refuse_links(folder: Path) -> None:
    """Refuses a folder in which another one leads elsewhere: files would land there.

    Raises:
        ValueError: With the link.
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
    """Makes the folder and keeps other runs out of it; removes what a killed run left half done.

    A folder that was made here and in which nothing was written is removed again.

    Args:
        folder: Made where there is none.
        command: See `check`.
        manifest: See `check`.
        wait: Seconds for which another run may have it.
        tidied: Whether it is tidied, which it must not be while others write there without this
            lock.

    Raises:
        InUse: If another run has it.
        ValueError: As `check`.
    """
    import filelock

    check(folder, command, manifest=manifest)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _LOCK).is_symlink():
        raise ValueError(
            f"Expected a folder whose files lie in it. Received: {folder / _LOCK}, which is a "
            "symbolic link; remove it, or choose another folder with --out."
        )
    # The system frees this lock when a process dies, however it dies.
    lock = filelock.FileLock(folder / _LOCK, timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InUse(
            f"Expected a folder that no other run is writing. Received: {folder}; wait for the "
            "other run, or choose another folder with --out."
        ) from None
    try:
        check(folder, command, manifest=manifest)  # again, as another run may just have begun it
        write_json(folder / _MARKER, {"command": command})
        if tidied:
            tidy(folder)
        yield
    finally:
        lock.release()
        if is_new and {path.name for path in folder.iterdir()} <= {_MARKER, _LOCK}:
            shutil.rmtree(folder)


def tidy(folder: Path) -> None:
    """Removes what killed runs left half written; no other run may be writing there."""
    for path in [*folder.glob(IN_FLIGHT), *folder.glob(f"*/{IN_FLIGHT}")]:
        if path.is_file() and (path.parent == folder or not path.parent.is_symlink()):
            path.unlink()
