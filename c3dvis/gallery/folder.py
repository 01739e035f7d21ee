"""The folder of a gallery: its lock, and which units are finished.

gallery.json          identity, network, units and their groups: see `c3dvis.gallery.manifest`
held-out.json         best scores of held-out clips
conv3b/7.gif  7.jpg   a unit's clip, as GIF and as film strip
conv3b/7.json         its record, written last: a unit without a record is made again
index.html README.md  the pages
forming/              strips of clips while they are being made
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from c3dvis import output_folder
from c3dvis.files import read_json
from c3dvis.gallery import manifest
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.record import Record
from c3dvis.text import in_short


def locked(folder: Path, *, wait: float = 0) -> contextlib.AbstractContextManager[None]:
    """Locks a gallery's folder without removing partial files; see `output_folder.locked`."""
    return output_folder.locked(folder, "gallery", manifest=manifest.NAME, wait=wait, tidied=False)


def previous_manifest(folder: Path, identity: Mapping[str, Any]) -> manifest.Manifest | None:
    """The manifest that a run continues from; None if it starts a new gallery.

    A manifest of another identity is discarded if the folder holds no clips.

    Args:
        folder: Folder of the gallery; it need not exist.
        identity: What determines the clips.

    Raises:
        ValueError: If the folder holds other files, or clips of other settings or weights; the
            message lists every difference.
    """
    before = manifest.read(folder)
    if before is None and not _holds_only(folder, identity):
        state = "a damaged" if (folder / manifest.NAME).exists() else "no"
        raise ValueError(
            f"Expected an empty folder or a gallery. Received: {folder}, which holds other "
            f"files and {state} {manifest.NAME}; choose another folder with --out."
        )
    differences = [] if before is None else _differences(before.identity, identity)
    if differences and any(folder.glob("*/*.json")):
        raise ValueError(
            f"Expected the settings that {folder} was begun with. Received: "
            f"{'; '.join(differences)}. Choose another folder with --out, or the old settings."
        )
    return None if differences else before


def existing(
    folder: Path,
    units: Iterable[Unit],
    *,
    identity: Mapping[str, Any],
    report: Callable[[str], None] | None = None,
) -> dict[Unit, Record]:
    """The records of those units that are finished or have failed.

    A record is valid if it can be read, is of this identity, and its files have the recorded
    sizes and hashes.

    Args:
        folder: Folder of the gallery.
        units: Units of the gallery.
        identity: What determines the clips.
        report: Called with one line that lists invalid records.
    """
    records, damaged = {}, []
    for unit in units:
        if not (folder / unit.path("json")).is_file():
            continue
        try:
            records[unit] = _record(folder, unit, identity)
        except ValueError as error:
            damaged.append(f"{unit.path('json')} ({error})")
    if damaged and report is not None:
        report(f"these units are made again, as their records are invalid: {in_short(damaged)}")
    return records


def _record(folder: Path, unit: Unit, identity: Mapping[str, Any]) -> Record:
    """The unit's record; a ValueError says in a few words why it is invalid."""
    values = read_json(folder / unit.path("json"))
    try:
        record = Record.from_json(values)
    except ValueError:
        raise ValueError("no record" if values is not None else "damaged") from None
    if (record.layer, record.channel) != (unit.layer, unit.channel):
        raise ValueError("of another unit")
    if _differences(record.identity, identity):
        raise ValueError("of other settings")
    for name, size in record.files.items():
        path = folder / unit.folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise ValueError(f"{name} is incomplete")
        if hashlib.sha256(path.read_bytes()).hexdigest() != record.sha256.get(name):
            raise ValueError(f"{name} has changed")
    return record


def _holds_only(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether all records in a folder without a manifest are of this identity."""
    paths = list(folder.glob("*/*.json"))
    records = []
    for path in paths:
        with contextlib.suppress(ValueError):
            records.append(Record.from_json(read_json(path)))
    same = not any(_differences(record.identity, identity) for record in records)
    return not paths or (bool(records) and same)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} {_show(before, key)} there, {_show(now, key)} now"
        for key in dict.fromkeys([*before, *now])
        if _show(before, key) != _show(now, key)
    ]


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not there"
