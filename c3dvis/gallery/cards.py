"""Motion cards of a gallery's units.

cards/conv3b/7.png   the card of a unit
cards/conv3b/7.json  its summary and numbers, written last
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c3dvis import files, responses, stored
from c3dvis.gallery import trust
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.real import SweptClips, layer_of
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices
from c3dvis.text import counted

if TYPE_CHECKING:  # pages are written without Keras
    import keras

FOLDER = "cards"


@dataclass(frozen=True)
class Card:
    """What is kept of a unit's motion card; see `responses.MotionCard`.

    Attributes:
        path: Path of its picture inside the gallery.
        summary: The card in a sentence.
        direction: Preferred direction of motion in degrees; None without a preference.
        motion_share: Share of the unit's selectivity that is for motion; None if unknown.
    """

    path: str
    summary: str
    direction: float | None
    motion_share: float | None


def add(
    network: keras.Model,
    settings: Settings,
    sections: Sequence[Section],
    out: Path,
    real: SweptClips | None,
    *,
    report: Callable[[str], None],
) -> None:
    """Makes the missing cards and, with real clips, compares them with the units' clips (`trust`).

    Args:
        network: Network of the gallery.
        settings: Settings of the gallery.
        sections: Sections of the gallery.
        out: Folder of the gallery.
        real: Its real clips, if it has any.
        report: Called with a line for each layer.

    Raises:
        ValueError: If the network does not take RGB clips.
        OSError: If a file cannot be written.
    """
    for section in sections:
        missing = [unit for unit in section.units if read(out, unit) is None]
        if real is not None:
            missing = trust.missing(out, section, missing)
        if not missing:
            continue
        report(f"{section.title}: {counted(len(missing), 'motion card')}")
        by_channel = {unit.channel: unit for unit in missing}
        strongest = [] if real is None else real.strongest(section)
        motion_cards = responses.motion_cards(
            network,
            layer_of(section),
            list(by_channel),
            strongest=[clips for clips in strongest if clips.channel in by_channel],
            frames=settings.frames,
            size=settings.size,
            preprocess=choices.preprocess(settings.value_range),
        )
        for card in motion_cards:
            unit = by_channel[card.channel]
            (out / FOLDER / unit.folder).mkdir(parents=True, exist_ok=True)
            card.save(out / path(unit))
            values = {"summary": card.summary, "direction": card.direction}
            files.write_json(_record_path(out, unit), values | {"motion_share": card.motion_share})
        if real is not None:
            trust.add(network, settings, section, out, real, motion_cards[0].tuning)


def path(unit: Unit) -> str:
    """Path of a unit's card inside the gallery."""
    return f"{FOLDER}/{unit.path('png')}"


def read(out: Path, unit: Unit) -> Card | None:
    """A unit's card; None if it is missing or damaged."""
    values = files.read_json(_record_path(out, unit))
    # Earlier versions did not save the direction: their cards are made again.
    is_complete = isinstance(values, Mapping) and "direction" in values
    summary = values.get("summary") if is_complete else None
    if not isinstance(summary, str) or not (out / path(unit)).is_file():
        return None
    return Card(path(unit), summary, _number(values, "direction"), _number(values, "motion_share"))


def _number(values: Mapping[str, Any], name: str) -> float | None:
    try:
        return stored.number_or_none(values.get(name))
    except ValueError:  # damaged
        return None


def _record_path(out: Path, unit: Unit) -> Path:
    return out / FOLDER / unit.path("json")
