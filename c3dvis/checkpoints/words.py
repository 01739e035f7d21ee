"""How messages about weight files put things: lists in short, and files of no known format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def in_short(names: Iterable[str]) -> str:
    """At most seven names, the last always among them."""
    names = list(names)
    if len(names) > 7:
        return f"{', '.join(names[:5])}, ..., {names[-1]} ({len(names)} in all)"
    return ", ".join(names) or "(none)"


def unreadable(path: Path, expected: str) -> ValueError:
    """What to say of a file that no reader recognises."""
    if path.is_dir():
        what = "is a folder"
    elif not path.exists():
        what = "does not exist"
    elif not path.stat().st_size:
        what = "is empty"
    else:
        with path.open("rb") as file:
            head = file.read(40)
        if head.startswith(b"PK"):
            what = "is a zip archive of something else, or cut short"
        elif head.isascii():
            what = f"is not an HDF5 file; is it a web page? It begins with {head.decode()!r}"
        else:
            what = f"is not an HDF5 file or any other of these; it begins with {head[:12]!r}"
    return ValueError(f"Expected {expected}. Received: '{path}', which {what}.")
