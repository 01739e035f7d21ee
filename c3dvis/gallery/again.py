"""Reproduces the clip of one record, and compares the bytes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from c3dvis import output_folder
from c3dvis.files import why_unread
from c3dvis.gallery import provenance
from c3dvis.gallery.groups import Group, Task
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.record import HASHES, Record
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.settings import Settings


@dataclass(frozen=True)
class Reproduction:
    """A reproduced clip.

    Attributes:
        record: Record of the new clip.
        different: Names of files whose bytes differ from the old record.
        changed_environment: Differences such as "keras 3.15.1 then, 3.16.0 now".
    """

    record: Record
    different: tuple[str, ...]
    changed_environment: tuple[str, ...]


def again(
    path: str | Path,
    out: str | Path = "again",
    *,
    keras_model: str | None = None,
    weights: str | None = None,
    report: Callable[[str], None] = print,
) -> Reproduction:
    """Makes the clip of a record again, with the record's network and settings.

    On the same machine, with the same versions, the bytes are the same: the clip is made in the
    same batch, of which no other clip is written.

    Args:
        path: The record, such as `gallery/conv3b/7.json`.
        out: Folder of the new files, below which they have the names of the old.
        keras_model: Where the file of the network is now; None means where it was.
        weights: Where the weight file is now; None means where it was.
        report: Called with a line on what is the same and what differs.

    Raises:
        ValueError: If the file is not a record, the record has no clip, or the network is another.
        OSError: If files cannot be written.

    Example: (not run with the tests, as it leaves a folder behind)
        >>> from c3dvis.gallery.again import again
        >>> again("gallery/conv3b/7.json").different  # doctest: +SKIP
        ()
    """
    path, out = Path(path), Path(out)
    old = _read(path)
    if not old.batch:
        raise ValueError(f"Expected the record of a clip. Received: {path}, which has none.")
    settings = Settings.of_record(old)
    settings = dataclasses.replace(
        settings,
        batch_size=len(old.batch),
        keras_model=settings.keras_model if keras_model is None else keras_model,
        weights=settings.weights if weights is None else weights,
    )
    renderer = Renderer(settings, out)
    _check(old, renderer)
    folder = path.resolve().parent.name
    units = tuple(Unit(old.layer, channel, old.label, folder) for channel in old.batch)
    (wanted,) = {unit for unit in units if unit.channel == old.channel}
    with output_folder.locked(out, "gallery --again"):
        task = Task(Group(units, len(units)), (wanted,))
        (new,) = renderer.render(task, {old.channel: old.best_held_out})
    names = dict.fromkeys([*old.files, *new.files])
    different = tuple(name for name in names if old.sha256.get(name) != new.sha256.get(name))
    reproduction = Reproduction(new, different, _changed_environment(old))
    _report(reproduction, old, path, report)
    return reproduction


def _read(path: Path) -> Record:
    try:
        return Record.from_json(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError:
        why = "which is not JSON"
    except (OSError, UnicodeDecodeError) as error:
        why = why_unread(path, error)
    except (ValueError, RecursionError) as error:
        why = f"which is not one: {error}"
    raise ValueError(
        "Expected the record of a clip, such as gallery/conv3b/7.json. "
        f"Received: '{path}', {why.removesuffix('.')}."
    )


def _check(old: Record, renderer: Renderer) -> None:
    for name in HASHES:
        now = renderer.provenance[name]
        if old.network.get(name) != now:
            raise ValueError(
                f"Expected the network of the record, with {name} {old.network.get(name)}. "
                f"Received: one with {now}; give the path of the right file with --keras-model or "
                "--weights."
            )


def _changed_environment(old: Record) -> tuple[str, ...]:
    now = {**provenance.versions(), **provenance.machine()}
    then = {**old.versions, **old.machine}
    return tuple(
        f"{name} {then.get(name)} then, {value} now"
        for name, value in now.items()
        if then.get(name) != value
    )


def _report(
    reproduction: Reproduction, old: Record, path: Path, report: Callable[[str], None]
) -> None:
    if not reproduction.different:
        report(f"{', '.join(old.files)}: identical to the files next to {path}")
        return
    report(f"{', '.join(reproduction.different)}: different from the files next to {path}")
    report(f"score {old.score} then, {reproduction.record.score} now")
    for line in reproduction.changed_environment:
        report(line)
