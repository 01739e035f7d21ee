"""Clips of a unit from slow to free: made with a penalty on change between frames, and without.

cards/conv3b/7-speed-0.gif  .jpg   the slowest; 1 is faster, 2 free
cards/conv3b/7-speeds.json         what they are, written last
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from c3dvis import files, pages, stored
from c3dvis.gallery import cards
from c3dvis.gallery.groups import Group
from c3dvis.gallery.plan import Unit
from c3dvis.text import number

# Shares of what the free clip gained that its change between frames would cost, and at most what a
# clip loses by them: see `maximize.slow_to_fast`.
WEIGHTS = (1.0, 0.3, 0.0)
_NAMES = ("slowest", "slow", "free")


@dataclass(frozen=True)
class SpeedClip:
    """A clip of some speed.

    Attributes:
        score: What the gallery's objective gives for it.
        energy: Mean squared difference of its neighbouring frames.
        strip: Path of its film strip inside the gallery.
        shape: Frames, height and width of that.
    """

    score: float
    energy: float
    strip: str
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Speeds:
    """The clips of a unit from slow to free; none of one without gradient."""

    clips: tuple[SpeedClip, ...]

    @property
    def named(self) -> list[tuple[str, SpeedClip]]:
        """The clips with what to call them."""
        return list(zip(_NAMES, self.clips, strict=False))

    @property
    def sentence(self) -> str:
        """What it costs to be slow, in words; empty where that can't be said."""
        if not self.clips:
            return ""
        slow, free = self.clips[0], self.clips[-1]
        if free.score <= 0 or free.energy <= 0:
            return ""
        change = number(100 * slow.energy / free.energy)
        kept = f"{number(100 * slow.score / free.score)}%" if slow.score > 0 else "none"
        return (
            f"Slowest, with {change}% of the free clip's change between frames, it keeps {kept} "
            "of its score."
        )


def add(
    renderer,
    groups: Mapping[str, Sequence[Group]],
    units: Sequence[Unit],
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the clips that are missing, always among those of the same group: see `groups`.

    Args:
        renderer: `render.Renderer` of the gallery.
        groups: Of the gallery, by layer.
        units: Whose clips are wanted.
        report: Gets a line a group.

    Raises:
        ValueError: Clips of one frame, or what `Maximizer` refuses.
        OSError: If files cannot be written.
    """
    wanted = {unit for unit in units if read(renderer.out, unit) is None}
    for group in (group for of_layer in groups.values() for group in of_layer):
        missing = wanted.intersection(group.units)
        if not missing:
            continue
        report(f"{group.units[0].layer}: clips of {len(missing)} from slow to free")
        path = renderer.slow_to_fast(group, WEIGHTS)
        for i, unit in enumerate(group.units):
            if unit in missing:
                _write(renderer, unit, path, i)


def read(out: Path, unit: Unit) -> Speeds | None:
    """A unit's clips; None where they are not there."""
    values = files.read_json(_kept(out, unit))
    try:
        listed = stored.items(stored.mapping(values)["clips"])
        clips = tuple(stored.dataclass_of(SpeedClip, one) for one in listed)
    except (KeyError, ValueError):  # not there, or damaged
        return None
    expected = [f"{_path(unit, rank)}.jpg" for rank in range(len(clips))]
    same = [clip.strip for clip in clips] == expected and len(clips) in (0, len(WEIGHTS))
    return Speeds(clips) if same and all((out / path).is_file() for path in expected) else None


def _write(renderer, unit: Unit, path, row: int) -> None:
    """Writes a unit's clips, and what they are; of one that has no finite score or gradient, none.

    Args:
        renderer: Of the gallery.
        unit: The unit.
        path: `maximize.SlowToFast` of its group.
        row: Its place in that.
    """
    out, fps = renderer.out, renderer.settings.fps
    _kept(out, unit).parent.mkdir(parents=True, exist_ok=True)
    written: list[SpeedClip] = []
    whole = (path.statuses[:, row] == "ok").all() and np.isfinite(path.scores[:, row]).all()
    for rank in range(len(WEIGHTS)) if whole else ():
        clip = renderer.shown(path.clips[rank, row])
        film = pages.film(out, _path(unit, rank), clip, "", fps=fps)
        if film.strip is None:  # too wide a strip: there is nothing that the page could play
            written.clear()
            break
        score, energy = float(path.scores[rank, row]), float(path.energies[rank, row])
        written.append(SpeedClip(score, energy, film.strip, film.shape))
    values = {"schema": 1, "clips": [asdict(one) for one in written]}
    files.write_json(_kept(out, unit), values)


def _path(unit: Unit, rank: int) -> str:
    return f"{cards.FOLDER}/{unit.folder}/{unit.channel}-speed-{rank}"


def _kept(out: Path, unit: Unit) -> Path:
    return out / cards.FOLDER / unit.folder / f"{unit.channel}-speeds.json"
