"""Whether to trust a gallery's clips, measured on real clips.

trust/conv3b/7.json   a unit's interpretability score, two alarms, and its preference in words
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, files, responses, stored
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.real import SweptClips, layer_of
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices

if TYPE_CHECKING:  # pages are written without Keras
    import keras

FOLDER = "trust"
EXPLANATION = (
    "Below a motion card, the page says how far to trust the clip. It describes the unit's "
    "preference in words, with how well the words predict its responses to real clips, or says "
    "“can't tell”. The machine interpretability score is the share of tasks in which the "
    "synthetic clips identify the one of two unseen real clips that activates the unit more; "
    "chance is 50%. The second share is that of the unit's strongest and weakest real clips, "
    "which is usually higher: look at the real clips first. Path similarity is how similar "
    "synthetic and real clips are in the layers before the unit. An alarm warns if the clip "
    "activates the unit through different channels than real clips do."
)
"""Explanation of `Trust` for the page."""
# To be increased when a value changes its meaning or is removed.
SCHEMA = 2
# Maximum number of real clips to compare with; of more, so many are drawn.
_MAX_CLIPS = 256
# Minimum numbers of real clips for interpretability scores, alarms and descriptions.
_FOR_MIS, _FOR_PATHS, _FOR_WORDS = 20, 4, 10
_TOP = 5


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How a unit's clip compares with real clips. Values are None if there are too few clips.

    Attributes:
        made_sha256: SHA-256 of the synthetic clip's GIF.
        real_clips: Number of real clips compared.
        made_score: Score of `responses.video_mis` with synthetic clips as explanation.
        top_score: The same with the unit's strongest and weakest real clips as explanation.
        same_activations: See `responses.PathSimilarity`.
        same_way: See `responses.PathSimilarity`.
        fooled: Whether the alarm goes off.
        correlation: See `responses.Description`.
        auc: See `responses.Description`.
        generated: See `responses.Description`.
        interpretability: The scores in words.
        activations: `same_activations` in words.
        way: The alarm in words.
        description: The unit's preference in words.
    """

    made_sha256: str
    real_clips: int
    made_score: float | None = None
    top_score: float | None = None
    same_activations: float | None = None
    same_way: float | None = None
    fooled: bool = False
    correlation: float | None = None
    auc: float | None = None
    generated: float | None = None
    interpretability: str = ""
    activations: str = ""
    way: str = ""
    description: str = ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of the page, without an alarm."""
        way = "" if self.fooled else self.way
        every = (self.description, self.interpretability, self.activations, way)
        return tuple(filter(None, every))

    @property
    def alarm(self) -> str:
        """The alarm in words; empty if it does not go off."""
        return self.way if self.fooled else ""


def missing(out: Path, section: Section, without_card: Sequence[Unit]) -> list[Unit]:
    """The units of a section without a card, or with a clip but without `Trust`."""
    return [
        unit
        for unit in section.units
        if unit in without_card or (_gif_path(out, unit).is_file() and read(out, unit) is None)
    ]


def add(
    network: keras.Model,
    settings: Settings,
    section: Section,
    out: Path,
    real: SweptClips,
    tuning: responses.MotionTuning,
) -> None:
    """Compares all clips of a section with real clips, and with each other.

    Args:
        network: Network of the gallery.
        settings: Settings of the gallery.
        section: Section of the gallery.
        out: Folder of the gallery.
        real: Its real clips.
        tuning: Motion tuning of the units without a description.

    Raises:
        OSError: If a file cannot be written.
    """
    units = [unit for unit in section.units if _gif_path(out, unit).is_file()]
    if not units:
        return
    swept, shown = real.draw(_MAX_CLIPS)
    synthetic = np.stack([clips.read(_gif_path(out, unit)) for unit in units])
    preprocess = choices.preprocess(settings.value_range)
    layer, channels = layer_of(section), [unit.channel for unit in units]
    scores = _interpretability(swept, layer, channels, shown, synthetic)
    ways = _ways(network, layer, channels, shown, synthetic, preprocess)
    words = _words(network, layer, channels, tuning, shown, preprocess)
    for unit in units:
        values = scores[unit.channel] | ways[unit.channel]
        values |= words.get(unit.channel, _previous_description(read(out, unit)))
        values = {  # JSON has no NaN
            name: stored.finite(value) if isinstance(value, float) else value
            for name, value in values.items()
        }
        one = Trust(made_sha256=_sha256(_gif_path(out, unit)), real_clips=len(shown), **values)
        (out / FOLDER / unit.folder).mkdir(parents=True, exist_ok=True)
        files.write_json(_record_path(out, unit), {"schema": SCHEMA, **asdict(one)})


def read(out: Path, unit: Unit) -> Trust | None:
    """The `Trust` of a unit's clip; None if there is none, or it is of another clip."""
    values = files.read_json(_record_path(out, unit))
    try:
        if values.pop("schema") != SCHEMA:
            return None
        one = Trust(**values)
        for text in (one.interpretability, one.activations, one.way, one.description):
            stored.text(text)
        for number in (one.made_score, one.top_score, one.correlation, one.auc, one.generated):
            stored.number_or_none(number)
        same = _sha256(_gif_path(out, unit)) == one.made_sha256
    except (AttributeError, KeyError, OSError, TypeError, ValueError):  # missing or damaged
        return None
    return one if same else None


def _gif_path(out: Path, unit: Unit) -> Path:
    return out / unit.path("gif")


def _record_path(out: Path, unit: Unit) -> Path:
    return out / FOLDER / unit.path("json")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _interpretability(
    swept, layer: str, channels, shown: NDArray, synthetic: NDArray
) -> dict[int, dict[str, Any]]:
    """By channel, its interpretability scores, in numbers and words."""
    if len(shown) < _FOR_MIS:
        sentence = f"An interpretability score needs {_FOR_MIS} real clips; there are {len(shown)}."
        return {channel: {"interpretability": sentence} for channel in channels}
    space = responses.FeatureSpace(list(shown))
    by_synthetic, by_top = (
        responses.video_mis(
            swept,
            layer,
            shown,
            channels=channels,
            explanation=kind,
            synthetic=synthetic,
            similarity=space,
        )
        for kind in ("synthetic", "top")
    )
    values = {}
    for row, channel in enumerate(channels):
        sentence = by_synthetic.sentence(channel)
        top = float(by_top.scores[row])
        if np.isfinite(top):
            sentence += f" Its strongest and weakest real clips do so in {top:.0%}."
        values[channel] = {
            "made_score": float(by_synthetic.scores[row]),
            "top_score": top,
            "interpretability": sentence,
        }
    return values


def _ways(
    network, layer: str, channels, shown: NDArray, synthetic: NDArray, preprocess
) -> dict[int, dict[str, Any]]:
    """By channel, its path similarity, in numbers and words."""
    from c3dvis.responses.alarms import NoLayersBefore

    if len(shown) < _FOR_PATHS:
        sentence = f"An alarm needs {_FOR_PATHS} real clips; there are {len(shown)}."
        return {channel: {"way": sentence} for channel in channels}
    try:
        ways = responses.path_similarity(
            network,
            layer,
            synthetic,
            shown,
            channels=channels,
            top=min(_TOP, len(shown) // 2),
            preprocess=preprocess,
        )
    except NoLayersBefore:
        sentence = "No earlier layer has channels that could be compared."
        return {channel: {"way": sentence} for channel in channels}
    return {
        channel: {
            "same_activations": float(ways.same_activations[row]),
            "same_way": float(ways.same_way[row]),
            "fooled": bool(ways.fooled[row]),
            "activations": ways.activations_sentence(channel),
            "way": ways.sentence(channel),
        }
        for row, channel in enumerate(channels)
    }


def _words(
    network, layer: str, channels, tuning, shown: NDArray, preprocess
) -> dict[int, dict[str, Any]]:
    """By channel, a description of the unit's preference, with how well it predicts responses."""
    if len(shown) < _FOR_WORDS:
        sentence = f"A description needs {_FOR_WORDS} real clips; there are {len(shown)}."
        return {channel: {"description": sentence} for channel in channels}
    own = [channel for channel in channels if channel in tuning.channels]
    described = responses.describe(
        network, layer, shown, channels=own, tuning=tuning, preprocess=preprocess
    )
    return {
        one.channel: {
            "correlation": one.correlation,
            "auc": one.auc,
            "generated": one.generated,
            "description": str(one),
        }
        for one in described
    }


def _previous_description(before: Trust | None) -> dict[str, Any]:
    """The description in a unit's previous record."""
    kept = ("correlation", "auc", "generated", "description")
    return {} if before is None else {name: getattr(before, name) for name in kept}
