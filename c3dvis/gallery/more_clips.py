"""Additional clips of a unit, of the kinds of `clip_kinds`.

cards/conv3b/7-speeds-0.gif  .jpg   the first clip of a kind; 1 is the second
cards/conv3b/7-more.json            all kinds of the unit, written last
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c3dvis import files, pages, stored
from c3dvis.gallery import cards
from c3dvis.gallery.groups import Group
from c3dvis.gallery.plan import CLASSES, Unit
from c3dvis.text import counted

if TYPE_CHECKING:  # pages are written without Keras
    from c3dvis.gallery.clip_kinds import Kind, VariantClips
    from c3dvis.gallery.render import Renderer

_SCHEMA = 1


@dataclass(frozen=True)
class Variant:
    """A clip of a kind.

    Attributes:
        name: Such as "slowest".
        score: Its score; None if it is not finite.
        note: Another remark, such as "backward 0.2".
        strip: Path of its film strip inside the gallery.
        shape: Frames, height and width of the strip.
    """

    name: str
    score: float | None
    note: str
    strip: str
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Variants:
    """The clips of a kind; none for a unit without gradient.

    Attributes:
        clips: The clips, in the order in which they are shown.
        sentence: What they show about the unit; can be empty.
    """

    clips: tuple[Variant, ...]
    sentence: str


def add(
    renderer: Renderer,
    groups: Mapping[str, Sequence[Group]],
    units: Sequence[Unit],
    kinds: Sequence[Kind],
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the missing clips, always in batches of a whole group: see `groups`.

    Args:
        renderer: Renderer of the gallery.
        groups: By layer, the groups of the gallery.
        units: Units to make clips of.
        kinds: Kinds of clips to make.
        report: Called with a line for each group and kind.

    Raises:
        ValueError: See `Maximizer`, such as for clips of too few frames.
        OSError: If a file cannot be written.
    """
    for kind in kinds:
        wanted = {unit for unit in units if kind.name not in read(renderer.out, unit)}
        for group in itertools.chain.from_iterable(groups.values()):
            shown = kind.units_of(renderer, group)
            missing = wanted.intersection(shown)
            if missing:
                title = "classes" if group.layer == CLASSES else group.layer
                report(f"{title}: {kind.description}, {counted(len(missing), 'unit')}")
                unit_clips = kind.make(renderer, Group(tuple(shown), group.size))
                for unit in missing:
                    _write(renderer, unit, kind.name, unit_clips[unit])


def read(out: Path, unit: Unit) -> dict[str, Variants]:
    """By kind, a unit's clips; those that are damaged or missing are left out."""
    by_kind: dict[str, Variants] = {}
    values = files.read_json(_record_path(out, unit))
    if not isinstance(values, Mapping) or values.get("schema") != _SCHEMA:
        return by_kind
    for kind, entry in values.items():
        if not re.fullmatch(r"[a-z-]+", kind):  # could lead out of the folder
            continue
        with contextlib.suppress(KeyError, ValueError):
            listed = stored.items(stored.mapping(entry)["clips"])
            clips = tuple(stored.dataclass_of(Variant, one) for one in listed)
            strips = [f"{_path(unit, kind, rank)}.jpg" for rank in range(len(clips))]
            if [one.strip for one in clips] == strips and all((out / s).is_file() for s in strips):
                by_kind[kind] = Variants(clips, stored.text(entry["sentence"]))
    return by_kind


def _write(renderer: Renderer, unit: Unit, kind: str, variants: VariantClips) -> None:
    """Writes a unit's clips of a kind, and adds them to its record."""
    out, fps = renderer.out, renderer.settings.fps
    _record_path(out, unit).parent.mkdir(parents=True, exist_ok=True)
    written: list[Variant] = []
    for rank, one in enumerate(variants.clips):
        film = pages.film(out, _path(unit, kind, rank), renderer.shown(one.clip), "", fps=fps)
        if film.strip is None:  # too wide for a strip, which the page plays
            written.clear()
            break
        score = stored.finite(float(one.score))
        written.append(Variant(one.name, score, one.note, film.strip, film.shape))
    kinds = read(out, unit) | {kind: Variants(tuple(written), variants.sentence)}
    values = {name: asdict(one) for name, one in kinds.items()}
    files.write_json(_record_path(out, unit), {"schema": _SCHEMA, **values})


def _path(unit: Unit, kind: str, rank: int) -> str:
    return f"{cards.FOLDER}/{unit.folder}/{unit.channel}-{kind}-{rank}"


def _record_path(out: Path, unit: Unit) -> Path:
    return out / cards.FOLDER / unit.folder / f"{unit.channel}-more.json"
