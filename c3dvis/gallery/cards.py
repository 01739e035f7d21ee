"""Motion cards beside a gallery's clips.

cards/conv3b/7.png   the card of a unit
cards/conv3b/7.json  what it says, written last
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from c3dvis import files, objectives, responses
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices

if TYPE_CHECKING:  # pages are written without Keras
    import keras

    # Of a section, the clips that its units respond to most.
    Strongest = Callable[[Section], Sequence[responses.UnitClips]]

FOLDER = "cards"


def add(
    network: keras.Model,
    settings: Settings,
    sections: Sequence[Section],
    out: Path,
    strongest: Strongest | None,
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the cards that are missing.

    Args:
        network: Of the gallery.
        settings: Of the gallery.
        sections: Of the gallery.
        out: The gallery's folder.
        strongest: None where there are no real clips.
        report: Gets a line a layer.

    Raises:
        ValueError: A network that does not take clips in colour.
        OSError: If files cannot be written.
    """
    for section in sections:
        missing = [unit for unit in section.units if read(out, unit) is None]
        if not missing:
            continue
        report(f"{section.title}: {len(missing)} motion cards")
        chosen = {unit.channel: unit for unit in missing}
        made = responses.motion_cards(
            network,
            objectives.LOGITS if section.layer == CLASSES else section.layer,
            list(chosen),
            strongest=[] if strongest is None else _of(strongest(section), chosen),
            frames=settings.frames,
            size=settings.size,
            preprocess=choices.preprocess(settings.value_range),
        )
        for card in made:
            unit = chosen[card.channel]
            (out / FOLDER / unit.folder).mkdir(parents=True, exist_ok=True)
            card.save(out / path(unit))
            files.write_json(_said(out, unit), {"summary": card.summary})


def path(unit: Unit) -> str:
    """Of a unit's card, inside the gallery."""
    return f"{FOLDER}/{unit.path('png')}"


def read(out: Path, unit: Unit) -> str | None:
    """What a unit's card says; None where there is no card."""
    values = files.read_json(_said(out, unit))
    said = values.get("summary") if isinstance(values, Mapping) else None
    return said if isinstance(said, str) and (out / path(unit)).is_file() else None


def _said(out: Path, unit: Unit) -> Path:
    return out / FOLDER / unit.path("json")


def _of(
    strongest: Sequence[responses.UnitClips], chosen: Mapping[int, Unit]
) -> list[responses.UnitClips]:
    return [unit for unit in strongest if unit.channel in chosen]
