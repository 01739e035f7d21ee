"""Files written whole or not at all, and names that are safe for them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from c3dvis.text import similar

# Glob pattern of temporary files; a killed process leaves one behind.
IN_FLIGHT = f".{'[0-9a-f]' * 16}.tmp"
# Maximum length of a name without its digest, in one-byte characters.
LONGEST_NAME = 60
# Windows opens a device under these names, whatever their ending.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)}


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically, even if the power fails; its folder must exist.

    Raises:
        OSError: If it cannot be written, with its name; no temporary file remains.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:  # with the caller's path, not the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON in ASCII, so that any label can be read everywhere; whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value that `write_json` wrote; None if the file is missing or not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None


def as_path(given: Any) -> Path:
    """A `Path` from text or a path of `pathlib`.

    Raises:
        ValueError: A value that is not a path, such as an array or an open file.
    """
    if not isinstance(given, (str, os.PathLike)):
        raise ValueError(f"Expected a path, such as 'wave.mp4'. Received: {type(given).__name__}.")
    return Path(given)


def absent(path: str | os.PathLike[str]) -> str:
    """For a sentence: says that a file does not exist, with the nearest names in its folder.

    >>> absent("nowhere/film.mp4")
    'does not exist'
    """
    file = Path(path)
    near = similar(file.name, os.listdir(file.parent)) if file.parent.is_dir() else []
    return "does not exist" + (f" (near: {', '.join(map(repr, near))})" if near else "")


def why_unread(path: str | os.PathLike[str], error: Exception) -> str:
    """For a sentence: why a file of text could not be read."""
    if isinstance(error, FileNotFoundError):
        return f"which {absent(path)}"
    if isinstance(error, UnicodeDecodeError):
        return "which is not UTF-8 text"
    return f"which cannot be read: {getattr(error, 'strerror', None) or error}"


def safe_names(
    names: Iterable[str], *, taken: Collection[str] = (), empty: str = "file"
) -> dict[str, str]:
    """A name for a file or folder for each name; no two are equal, even where case is ignored.

    A plain name is unchanged. Any other is reduced to letters, digits and `_ . -`, and eight digits
    of its SHA-256 are added.

    Args:
        names: Any text.
        taken: Reserved names, in lower case.
        empty: Replaces a name of which no character is left.

    >>> safe_names(["conv3b", "Conv3B", ".."], empty="layer")
    {'conv3b': 'conv3b', 'Conv3B': 'Conv3B-a8a6a5d3', '..': 'layer-5ec1f7e7'}
    """
    used = set(taken)
    safe: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:LONGEST_NAME].strip(".-")
        unchanged = plain == name != "" and plain.split(".")[0].lower() not in _DEVICES
        if not unchanged or plain.lower() in used:
            plain = unique_name(name, name, empty=empty)
            source = name
            while plain.lower() in used:  # another name has the one that this would get
                source += "'"
                plain = unique_name(name, source, empty=empty)
        used.add(plain.lower())
        safe[name] = plain
    return safe


def unique_name(name: str, source: str, *, empty: str = "file") -> str:
    """A safe name that shows `name` and ends in eight digits of the SHA-256 of `source`.

    >>> unique_name("wave.mp4", "/clips/wave.mp4")
    'wave_mp4-551cbc2c'
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:LONGEST_NAME].strip("_-") or empty
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain}-{digest[:8]}"
