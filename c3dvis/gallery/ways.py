"""Clips made of motion in the direction that a unit prefers, and of motion in the opposite one.

cards/conv3b/7-along.gif    .jpg   in the direction that the unit's motion card names
cards/conv3b/7-against.gif  .jpg   in the opposite one
cards/conv3b/7-ways.json           what they are, written last
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c3dvis import files, pages, stored
from c3dvis.gallery import cards
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices
from c3dvis.responses.directions import SELECTIVE, in_words

if TYPE_CHECKING:  # pages are written without Keras
    import keras

_NAMES = ("along", "against")


@dataclass(frozen=True)
class Way:
    """A clip that drifts one way.

    Attributes:
        direction: Degrees: 0 is right, 90 up.
        score: What the gallery's objective gives for it; None where that is not finite.
        backward: The same with its frames from last to first, which is motion the other way.
        strip: Path of its film strip inside the gallery.
        shape: Frames, height and width of that.
    """

    direction: float
    score: float | None
    backward: float | None
    strip: str
    shape: tuple[int, int, int]

    @property
    def description(self) -> str:
        """Such as "motion left"."""
        return f"motion {in_words(self.direction)}"


@dataclass(frozen=True)
class Ways:
    """The two clips of a unit, and what they say of its direction.

    Attributes:
        clips: The one in the direction that it prefers, and the one in the opposite one.
        selectivity: As `maximize.BothWays` has it; None where no score is above 0.
    """

    clips: tuple[Way, Way]
    selectivity: float | None

    @property
    def sentence(self) -> str:
        """What the direction is worth, in words."""
        if self.selectivity is None:
            return "Neither clip excites it, forward or backward."
        if self.selectivity >= SELECTIVE:
            verdict = "so direction counts in made clips, too"
        elif self.selectivity > -SELECTIVE:
            verdict = "so what it looks like counts for more than which way it moves"
        else:
            verdict = "so made clips excite it by the other way, against what gratings say"
        return (
            "Both played forward and backward, so that the same frames drift either way: direction "
            f"selectivity {self.selectivity:.2f}, {verdict}."
        )


def add(
    network: keras.Model,
    settings: Settings,
    sections: Sequence[Section],
    out: Path,
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the clips that are missing, of units whose motion card names a direction.

    Raises:
        ValueError: Clips of fewer than 3 frames.
        OSError: If files cannot be written.
    """
    from c3dvis.gallery import render
    from c3dvis.maximize import both_ways

    for section in sections:
        wanted = {unit: cards.direction(out, unit) for unit in section.units}
        missing = {u: d for u, d in wanted.items() if d is not None and not read(out, u)}
        if not missing:
            continue
        report(f"{section.title}: clips of {len(missing)} in two directions")
        made = both_ways(
            network,
            render.objective_of(network, section.layer, [unit.channel for unit in missing]),
            list(missing.values()),
            steps=settings.steps,
            seed=settings.seed,
            dtype=settings.dtype,
            size=settings.size,
            frames=settings.frames,
            preprocess=choices.preprocess(settings.value_range),
        )
        for unit, both in zip(missing, made, strict=True):
            _write(out, unit, both, settings.fps)


def read(out: Path, unit: Unit) -> Ways | None:
    """A unit's two clips; None where they are not there."""
    values = files.read_json(_kept(out, unit))
    try:
        values = stored.mapping(values)
        along, against = (stored.dataclass_of(Way, one) for one in stored.items(values["ways"]))
        selectivity = stored.number_or_none(values["selectivity"])
    except (KeyError, ValueError):  # not there, damaged, or without backward scores
        return None
    expected = [_path(unit, f"{name}.jpg") for name in _NAMES]
    same = [along.strip, against.strip] == expected
    whole = same and all((out / path).is_file() for path in expected)
    return Ways((along, against), selectivity) if whole else None


def _write(out: Path, unit: Unit, both, fps: float) -> None:
    ways = []
    directions = (both.direction % 360, (both.direction + 180) % 360)
    each = (both.along, both.against), (both.along_backward, both.against_backward)
    for name, direction, made, backward in zip(_NAMES, directions, *each, strict=True):
        film = pages.film(out, _path(unit, name), made.clip, "", fps=fps)
        if film.strip is None:  # too wide a strip: there is nothing that the page could play
            return
        way = Way(
            direction, stored.finite(made.score), stored.finite(backward), film.strip, film.shape
        )
        ways.append(asdict(way))
    values = {"schema": 2, "ways": ways, "selectivity": stored.finite(both.selectivity)}
    files.write_json(_kept(out, unit), values)


def _path(unit: Unit, ending: str) -> str:
    return f"{cards.FOLDER}/{unit.folder}/{unit.channel}-{ending}"


def _kept(out: Path, unit: Unit) -> Path:
    return out / _path(unit, "ways.json")
