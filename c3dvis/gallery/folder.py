"""The folder of a gallery: one run at a time, files whole or not at all, and what is done already.

gallery.json          identity, network, units and their groups: see `c3dvis.gallery.manifest`
held-out.json         best scores of held-out clips
conv3b/7.gif  7.jpg   a unit's clip, as GIF and as film strip
conv3b/7.json         its record, written last: a unit without a record is made anew
index.html README.md  the pages
forming/              strips of clips that are being made, while they are
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
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.record import Record
from c3dvis.text import in_short

_MISSING = "not there"


class OtherSettings(ValueError):
    """The folder holds a gallery of other settings or weights."""


def locked(folder: Path, *, wait: float = 0) -> contextlib.AbstractContextManager[None]:
    """Keeps other runs out of a gallery's folder, untidied: see `output_folder.locked`."""
    return output_folder.locked(folder, "gallery", manifest=manifest.NAME, wait=wait, tidied=False)


def begun(folder: Path, identity: Mapping[str, Any]) -> manifest.Manifest | None:
    """The manifest that a run goes on from; None where it begins the folder anew.

    What a run with another identity began, and made no clip of, is given up.

    Args:
        folder: It need not exist.
        identity: What decides the clips.

    Raises:
        OtherSettings: If it holds other files, or clips of other settings or weights: with every
            difference.
    """
    before = manifest.read(folder)
    if before is None and not _holds_only(folder, identity):
        state = "a damaged" if (folder / manifest.NAME).exists() else "no"
        raise OtherSettings(
            f"Expected an empty folder or a gallery. Received: {folder}, which holds other "
            f"files and {state} {manifest.NAME}; choose another folder with --out."
        )
    differences = [] if before is None else _differences(before.identity, identity)
    if differences and any(folder.glob("*/*.json")):
        raise OtherSettings(
            f"Expected the settings that {folder} was begun with. Received: "
            f"{'; '.join(differences)}. Choose another folder with --out, or the old settings."
        )
    return None if differences else before


def existing(
    folder: Path,
    sections: Iterable[Section],
    *,
    identity: Mapping[str, Any] | None = None,
    report: Callable[[str], None] | None = None,
) -> dict[Unit, Record]:
    """The records of the units that are made, or could not be.

    A record counts only if it is one, of this identity, and its files are those that it tells.

    Args:
        folder: Of the gallery.
        sections: Whose units are asked for.
        identity: What decides the clips; None takes records of any.
        report: Gets a line about the records and files that are there but do not count.
    """
    records, damaged = {}, []
    for unit in (unit for section in sections for unit in section.units):
        path = folder / unit.path("json")
        if not path.is_file():
            continue
        try:
            records[unit] = _record(folder, unit, identity)
        except ValueError as error:
            damaged.append(f"{unit.path('json')} ({error})")
    if damaged and report is not None:
        report(f"made again, as they do not count: {in_short(damaged)}")
    return records


def read_record(folder: Path, unit: Unit, identity: Mapping[str, Any]) -> Record | None:
    """The unit's record; None where there is none that counts, as in `existing`."""
    try:
        return _record(folder, unit, identity)
    except ValueError:
        return None


def _record(folder: Path, unit: Unit, identity: Mapping[str, Any] | None) -> Record:
    """The unit's record; a ValueError says in a few words why it does not count."""
    values = read_json(folder / unit.path("json"))
    try:
        record = Record.from_json(values)
    except ValueError:
        raise ValueError("no record" if values is not None else "damaged") from None
    if (record.layer, record.channel) != (unit.layer, unit.channel):
        raise ValueError("of another unit")
    if identity is not None and _differences(record.identity, identity):
        raise ValueError("of other settings")
    for name, size in record.files.items():
        path = folder / unit.folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise ValueError(f"{name} is not whole")
        if hashlib.sha256(path.read_bytes()).hexdigest() != record.sha256.get(name):
            raise ValueError(f"{name} is not what was made")
    return record


def _holds_only(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether all records in a folder without a manifest are of this identity."""
    paths = list(folder.glob("*/*.json"))
    records = []
    for path in paths:
        with contextlib.suppress(ValueError):
            records.append(Record.from_json(read_json(path)))
    alike = not any(_differences(record.identity, identity) for record in records)
    return not paths or (bool(records) and alike)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} {_show(before, key)} there, {_show(now, key)} now"
        for key in dict.fromkeys([*before, *now])
        if _show(before, key) != _show(now, key)
    ]


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else _MISSING
