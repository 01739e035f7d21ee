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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from c3dvis.files import read_json, write_json
from c3dvis.gallery.plan import Unit

# Files under such a name, here and where clips are written, were in flight when a run was killed.
_IN_FLIGHT = f".{'[0-9a-f]' * 16}.tmp"
_MISSING = "not there"


class InUse(ValueError):
    """Another run is writing the same folder."""


class OtherSettings(ValueError):
    """The folder holds a gallery of other settings or weights."""


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other runs out of it; removes what a killed run left half done.

    Raises:
        InUse: If another run has it.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    # The system frees this lock when a process dies, however it dies.
    lock = filelock.FileLock(folder / ".gallery.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InUse(
            f"Expected a folder that no other run is writing. Received: {folder}; wait for the "
            "other run, or choose another folder with --out."
        ) from None
    try:
        for leftover in [*folder.glob(_IN_FLIGHT), *folder.glob(f"*/{_IN_FLIGHT}")]:
            leftover.unlink()
        yield
    finally:
        lock.release()


def check(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuses a folder that holds clips of other settings or weights.

    Args:
        folder: It need not exist.
        identity: Settings and weights: everything that decides what the files hold.

    Raises:
        OtherSettings: With every difference.
    """
    differences = _differences(folder, identity)
    if not differences or not any(folder.glob("*/*.json")):
        return
    if read_json(folder / "gallery.json") is None:
        raise OtherSettings(
            f"Expected an empty folder or a gallery. Received: {folder}, which holds other "
            "files and no gallery.json; choose another folder with --out."
        )
    raise OtherSettings(
        f"Expected the settings that {folder} was begun with. Received: "
        f"{'; '.join(differences)}. Choose another folder with --out, or the old settings."
    )


def begin(folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Checks a folder that this run has claimed, and writes its gallery.json.

    Args:
        folder: As for `check`.
        identity: As for `check`.
        about: What else the pages show.
    """
    check(folder, identity)
    if _differences(folder, identity):  # no clip is made yet: these settings begin it
        (folder / "held-out.json").unlink(missing_ok=True)
    write_json(folder / "gallery.json", {"identity": identity, **about})


def read_record(folder: Path, unit: Unit) -> dict[str, Any] | None:
    """The unit's record, or None where it must be made.

    A record counts only if it is of this unit, its files have the sizes it tells and no error
    kept the unit from being made.
    """
    record = read_json(folder / unit.path("json"))
    if not isinstance(record, dict) or record.get("status") == "error":
        return None
    if (record.get("layer"), record.get("channel")) != (unit.layer, unit.channel):
        return None
    for name, size in record.get("files", {}).items():
        path = folder / unit.folder / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    return record


def _differences(folder: Path, identity: Mapping[str, Any]) -> list[str]:
    begun = read_json(folder / "gallery.json")
    before = begun.get("identity", {}) if isinstance(begun, dict) else {}
    return [
        f"{key} {_show(before, key)} there, {_show(identity, key)} now"
        for key in dict.fromkeys([*before, *identity])
        if _show(before, key) != _show(identity, key)
    ]


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else _MISSING
