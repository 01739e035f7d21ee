"""More clips of a unit beside its own, of several kinds; what the kinds are, `clip_kinds` says.

cards/conv3b/7-speeds-0.gif  .jpg   the first clip of a kind; 1 is the second
cards/conv3b/7-more.json            all kinds of the unit, written last
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c3dvis import files, pages, stored
from c3dvis.gallery import cards
from c3dvis.gallery.groups import Group
from c3dvis.gallery.plan import Unit

if TYPE_CHECKING:  # pages are written without Keras
    from c3dvis.gallery.clip_kinds import Kind, MadeClips

_SCHEMA = 1


@dataclass(frozen=True)
class Variant:
    """A clip of a kind.

    Attributes:
        name: What it is, such as "slowest".
        score: What it reaches; None where that is not finite.
        note: What else is to be said of it, such as "backward 0.2".
        strip: Path of its film strip inside the gallery.
        shape: Frames, height and width of that.
    """

    name: str
    score: float | None
    note: str
    strip: str
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Variants:
    """The clips of a kind; none of a unit that no gradient moves.

    Attributes:
        clips: In the order in which they are shown.
        sentence: What they tell of the unit; can be empty.
    """

    clips: tuple[Variant, ...]
    sentence: str


def add(
    renderer,
    groups: Mapping[str, Sequence[Group]],
    units: Sequence[Unit],
    kinds: Sequence[Kind],
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the clips that are missing, always among those of the same group: see `groups`.

    Args:
        renderer: `render.Renderer` of the gallery.
        groups: Of the gallery, by layer.
        units: Whose clips are wanted.
        kinds: Of the clips.
        report: Gets a line a group and kind.

    Raises:
        ValueError: What `Maximizer` refuses, such as clips of too few frames.
        OSError: If files cannot be written.
    """
    for kind in kinds:
        wanted = {unit for unit in units if kind.name not in read(renderer.out, unit)}
        for group in (group for of_layer in groups.values() for group in of_layer):
            shown = kind.units_of(renderer, group)
            missing = wanted.intersection(shown)
            if missing:
                report(f"{group.units[0].layer}: {kind.description} of {len(missing)}")
                made = kind.make(renderer, Group(tuple(shown), group.size))
                for unit in missing:
                    _write(renderer, unit, kind.name, made[unit])


def read(out: Path, unit: Unit) -> dict[str, Variants]:
    """A unit's clips by kind; those that are damaged or not there are left out."""
    whole: dict[str, Variants] = {}
    values = files.read_json(_kept(out, unit))
    if not isinstance(values, Mapping) or values.get("schema") != _SCHEMA:
        return whole
    for kind, kept in values.items():
        if not re.fullmatch(r"[a-z-]+", kind):  # a path that leads out of the folder
            continue
        with contextlib.suppress(KeyError, ValueError):
            listed = stored.items(stored.mapping(kept)["clips"])
            clips = tuple(stored.dataclass_of(Variant, one) for one in listed)
            strips = [f"{_path(unit, kind, rank)}.jpg" for rank in range(len(clips))]
            if [one.strip for one in clips] == strips and all((out / s).is_file() for s in strips):
                whole[kind] = Variants(clips, stored.text(kept["sentence"]))
    return whole


def _write(renderer, unit: Unit, kind: str, made: MadeClips) -> None:
    """Writes a unit's clips of a kind, and what they are."""
    out, fps = renderer.out, renderer.settings.fps
    _kept(out, unit).parent.mkdir(parents=True, exist_ok=True)
    written: list[Variant] = []
    for rank, one in enumerate(made.clips):
        film = pages.film(out, _path(unit, kind, rank), renderer.shown(one.clip), "", fps=fps)
        if film.strip is None:  # too wide a strip: there is nothing that the page could play
            written.clear()
            break
        score = stored.finite(float(one.score))
        written.append(Variant(one.name, score, one.note, film.strip, film.shape))
    kinds = read(out, unit) | {kind: Variants(tuple(written), made.sentence)}
    values = {name: asdict(variants) for name, variants in kinds.items()}
    files.write_json(_kept(out, unit), {"schema": _SCHEMA, **values})


def _path(unit: Unit, kind: str, rank: int) -> str:
    return f"{cards.FOLDER}/{unit.folder}/{unit.channel}-{kind}-{rank}"


def _kept(out: Path, unit: Unit) -> Path:
    return out / cards.FOLDER / unit.folder / f"{unit.channel}-more.json"
