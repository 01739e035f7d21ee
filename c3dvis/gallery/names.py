"""Names of folders for layers, whatever the layers are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

# Longest folder name, in characters, of which none needs more than one byte.
LONGEST_NAME = 60
# Windows opens a device under these names, whatever their ending.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)}
# The gallery's own files and folders.
_OWN_NAMES = {"gallery.json", "held-out.json", "index.html", "readme.md", "classes"}


def folder_names(names: Sequence[str]) -> dict[str, str]:
    """A safe folder name for each layer name; no two are equal, even where case is ignored.

    A plain name stays as it is. Another one is cut down to letters, digits and `_ . -`, and eight
    digits of its SHA-256 are added.

    >>> folder_names(["conv3b", "Conv3B", ".."])
    {'conv3b': 'conv3b', 'Conv3B': 'Conv3B-a8a6a5d3', '..': 'layer-5ec1f7e7'}
    """
    taken: set[str] = set(_OWN_NAMES)
    made: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:LONGEST_NAME].strip(".-")
        safe = plain == name != "" and plain.split(".")[0].lower() not in _DEVICES
        if not safe or plain.lower() in taken:
            plain = _with_digest(plain, name, taken)
        taken.add(plain.lower())
        made[name] = plain
    return made


def _with_digest(plain: str, name: str, taken: set[str]) -> str:
    stem = plain.replace(".", "_").strip("_") or "layer"
    digest = name.encode("utf-8", "surrogatepass")
    while True:  # once, unless another layer has the name that this one would get
        digest = hashlib.sha256(digest).digest()
        made = f"{stem}-{digest.hex()[:8]}"
        if made.lower() not in taken:
            return made
