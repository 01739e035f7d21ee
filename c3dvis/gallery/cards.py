"""Motion cards beside a gallery's clips.

cards/conv3b/7.png   the card of a unit
cards/conv3b/7.json  what it says, written last
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from c3dvis import files, responses, stored
from c3dvis.gallery import trust
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.real import SweptClips, layer_of
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices

if TYPE_CHECKING:  # pages are written without Keras
    import keras

FOLDER = "cards"


def add(
    network: keras.Model,
    settings: Settings,
    sections: Sequence[Section],
    out: Path,
    real: SweptClips | None,
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the cards that are missing, and where there are real clips what `trust` says.

    Args:
        network: Of the gallery.
        settings: Of the gallery.
        sections: Of the gallery.
        out: The gallery's folder.
        real: None where there are no real clips.
        report: Gets a line a layer.

    Raises:
        ValueError: A network that does not take clips in colour.
        OSError: If files cannot be written.
    """
    for section in sections:
        missing = [unit for unit in section.units if read(out, unit) is None]
        if real is not None:
            missing = trust.missing(out, section, missing)
        if not missing:
            continue
        report(f"{section.title}: {len(missing)} motion cards")
        chosen = {unit.channel: unit for unit in missing}
        made = responses.motion_cards(
            network,
            layer_of(section),
            list(chosen),
            strongest=[] if real is None else _of(real.strongest(section), chosen),
            frames=settings.frames,
            size=settings.size,
            preprocess=choices.preprocess(settings.value_range),
        )
        for card in made:
            unit = chosen[card.channel]
            (out / FOLDER / unit.folder).mkdir(parents=True, exist_ok=True)
            card.save(out / path(unit))
            said = {"summary": card.summary, "direction": card.direction}
            files.write_json(_said(out, unit), said | {"motion_share": card.motion_share})
        if real is not None:
            trust.add(network, settings, section, out, real, made[0].tuning)


def path(unit: Unit) -> str:
    """Of a unit's card, inside the gallery."""
    return f"{FOLDER}/{unit.path('png')}"


def read(out: Path, unit: Unit) -> str | None:
    """What a unit's card says; None where there is no card."""
    values = files.read_json(_said(out, unit))
    # Earlier versions kept no direction: their cards are made again.
    whole = isinstance(values, Mapping) and "direction" in values
    said = values.get("summary") if whole else None
    return said if isinstance(said, str) and (out / path(unit)).is_file() else None


def direction(out: Path, unit: Unit) -> float | None:
    """Degrees of the motion that a unit prefers; None where there is no card, or no such motion."""
    return _number(out, unit, "direction")


def motion_share(out: Path, unit: Unit) -> float | None:
    """As `responses.MotionCard` has it; None where no card holds it, as those of before do not."""
    return None if read(out, unit) is None else _number(out, unit, "motion_share")


def _number(out: Path, unit: Unit, name: str) -> float | None:
    values = files.read_json(_said(out, unit))
    try:
        return stored.number_or_none(stored.mapping(values).get(name))
    except ValueError:  # damaged
        return None


def _said(out: Path, unit: Unit) -> Path:
    return out / FOLDER / unit.path("json")


def _of(
    strongest: Sequence[responses.UnitClips], chosen: Mapping[int, Unit]
) -> list[responses.UnitClips]:
    return [unit for unit in strongest if unit.channel in chosen]
