"""The folder of a gallery: one run at a time, files whole or not at all, and what is done already.

gallery.json          settings, weights and sections: what every run in the folder must agree on
held-out.json         best scores of held-out clips
conv3b/7.gif  7.jpg   a unit's clip, as GIF and as film strip
conv3b/7.json         its record, written last: a unit without a record is made anew
index.html README.md  the pages
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from c3dvis import output_folder
from c3dvis.files import read_json, write_json
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.record import Record

_MANIFEST, _HELD_OUT = "gallery.json", "held-out.json"
_MISSING = "not there"


class OtherSettings(ValueError):
    """The folder holds a gallery of other settings or weights."""


def locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Keeps other runs out of a gallery's folder; see `output_folder.locked`."""
    return output_folder.locked(folder, "gallery", manifest=_MANIFEST)


def check(folder: Path, identity: Mapping[str, Any], sections: Sequence[Section]) -> None:
    """Refuses a folder of something else, or that holds clips of other settings or weights.

    Args:
        folder: It need not exist.
        identity: Settings and weights: everything that decides what the files hold.
        sections: Of the gallery.

    Raises:
        OtherSettings: With every difference.
        ValueError: If running there would write somebody else's files.
    """
    output_folder.check(folder, "gallery", manifest=_MANIFEST)
    for section in sections:
        path = folder / section.units[0].folder
        if path.is_symlink():
            raise ValueError(
                f"Expected a folder for the clips of {section.layer!r}. Received: {path}, which "
                "is a symbolic link; choose another folder with --out."
            )
    differences = _differences(folder, identity)
    if not differences or not any(folder.glob("*/*.json")):
        return
    if read_json(folder / _MANIFEST) is None:
        manifest = "a damaged" if (folder / _MANIFEST).exists() else "no"
        raise OtherSettings(
            f"Expected an empty folder or a gallery. Received: {folder}, which holds other "
            f"files and {manifest} {_MANIFEST}; choose another folder with --out."
        )
    raise OtherSettings(
        f"Expected the settings that {folder} was begun with. Received: "
        f"{'; '.join(differences)}. Choose another folder with --out, or the old settings."
    )


def begin(
    folder: Path,
    identity: Mapping[str, Any],
    sections: Sequence[Section],
    about: Mapping[str, Any],
) -> None:
    """Checks a folder that this run has locked, and writes its gallery.json.

    Args:
        folder: As for `check`.
        identity: As for `check`.
        sections: As for `check`.
        about: What else stands in gallery.json.
    """
    check(folder, identity, sections)
    if _differences(folder, identity):  # no clip is made yet: these settings begin it
        (folder / _HELD_OUT).unlink(missing_ok=True)
    write_json(folder / _MANIFEST, {"identity": identity, **about})


def read_record(folder: Path, unit: Unit) -> Record | None:
    """The unit's record as it lies in the folder; None where there is none of this unit."""
    try:
        record = Record.from_json(read_json(folder / unit.path("json")))
    except ValueError:
        return None
    return record if (record.layer, record.channel) == (unit.layer, unit.channel) else None


def existing(folder: Path, sections: Iterable[Section]) -> dict[Unit, Record]:
    """The records of the units that need not be made.

    One counts only if its files have the sizes it tells and no error kept the unit from being made.
    """
    units = [unit for section in sections for unit in section.units]
    records = {unit: read_record(folder, unit) for unit in units}
    return {
        unit: record
        for unit, record in records.items()
        if record is not None and record.status != "error" and _has_files(folder, unit, record)
    }


def _has_files(folder: Path, unit: Unit, record: Record) -> bool:
    paths = [(folder / unit.folder / name, size) for name, size in record.files.items()]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def read_held_out(folder: Path) -> dict[str, dict[int, float | None]]:
    """Best scores of held-out clips by layer and channel; empty where there are none to be read."""
    try:
        return {
            layer: {int(channel): None if x is None else float(x) for channel, x in best.items()}
            for layer, best in read_json(folder / _HELD_OUT).items()
        }
    except (AttributeError, TypeError, ValueError):  # not there, or damaged
        return {}


def write_held_out(folder: Path, best: Mapping[str, Mapping[int, float | None]]) -> None:
    """Keeps the best scores of held-out clips."""
    write_json(folder / _HELD_OUT, best)


def _differences(folder: Path, identity: Mapping[str, Any]) -> list[str]:
    begun = read_json(folder / _MANIFEST)
    before = begun.get("identity") if isinstance(begun, dict) else None
    before = before if isinstance(before, dict) else {}
    return [
        f"{key} {_show(before, key)} there, {_show(identity, key)} now"
        for key in dict.fromkeys([*before, *identity])
        if _show(before, key) != _show(identity, key)
    ]


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else _MISSING
