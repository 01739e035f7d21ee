"""Best scores of units on held-out clips, for comparison with synthetic clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from c3dvis import identity, models, motion, stored
from c3dvis.files import read_json, write_json
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.progress import Report
from c3dvis.gallery.render import Renderer, objective_of
from c3dvis.gallery.settings import Settings
from c3dvis.maximize import scores
from c3dvis.models import bundled
from c3dvis.models import chosen as choices
from c3dvis.models.clip_shapes import clip_shape

# File of the gallery with the best scores, by layer and channel.
NAME = "held-out.json"
# Number of clips whose scores come with the bundled networks.
RECORDED = 512
# Clips per batch; more gains nothing on a CPU.
_BATCH = 32

# By layer and channel, the best score; None if no score is finite.
Best = dict[str, dict[int, float | None]]


def add(
    renderer: Renderer, sections: Sequence[Section], missing: Iterable[Unit], *, report: Report
) -> Best:
    """The best scores for the layers with missing units; new ones are saved in the folder."""
    out, settings = renderer.out, renderer.settings
    known = read(out)
    layers = {unit.layer for unit in missing}
    unscored = [
        one
        for one in sections
        if one.layer in layers
        and not {unit.channel for unit in one.units} <= known.get(one.layer, {}).keys()
    ]
    if unscored:
        scored = best(renderer.network, unscored, settings, report=report)
        known |= {layer: known.get(layer, {}) | of_layer for layer, of_layer in scored.items()}
        write_json(out / NAME, known)
    return known


def read(out: Path) -> Best:
    """The scores saved in a gallery's folder; empty if there are none."""
    try:
        return {
            layer: {int(channel): stored.number_or_none(x) for channel, x in of_layer.items()}
            for layer, of_layer in stored.mapping(read_json(out / NAME)).items()
        }
    except (AttributeError, ValueError):  # missing or damaged
        return {}


def best(
    network: keras.Model, sections: Sequence[Section], settings: Settings, *, report: Report = print
) -> Best:
    """The best score of each unit over `settings.compare` held-out clips.

    Scores of the bundled networks are read from a file, others are computed.

    Raises:
        ValueError: If the network does not take the clips of `c3dvis.motion`.
    """
    known = _recorded(network, sections, settings)
    missing = [section for section in sections if section.layer not in known]
    if not missing:
        return known
    report(f"scoring {settings.compare} held-out clips for comparison")
    return known | _computed(network, missing, settings)


def every(network: keras.Model, sections: Sequence[Section], settings: Settings) -> list:
    """The scores of `settings.compare` held-out clips: float32 `(clips, units)` for each section.

    Raises:
        ValueError: If the network does not take the clips of `c3dvis.motion`.
    """
    frames, height, width, channels = clip_shape(
        network, frames=settings.frames, size=settings.size
    )
    if channels != 3:
        raise ValueError(
            f"Expected a network that takes 3 channels, to compare with held-out clips. "
            f"Received: one that takes {channels}; use --compare 0."
        )
    world = motion.MovingEvidence(seed=motion.HELD_OUT_SEED, frames=frames, size=(height, width))
    units = [objective_of(network, s.layer, [unit.channel for unit in s.units]) for s in sections]
    batches = (batch.clips for batch in world.batches(0, settings.compare, _BATCH))
    preprocess = choices.preprocess(settings.value_range)
    return list(scores(network, units, batches, preprocess=preprocess))


def record_file() -> Path:
    """The file of the bundled networks' best scores, with the index of each best clip."""
    return bundled.folder() / "held_out_scores.npz"


def record_key(model: str, layer: str) -> str:
    """The name of an array `(2, channels)` in that file: scores, and indices of their clips."""
    return f"{model}|{layer}"


def _recorded(network: keras.Model, sections: Sequence[Section], settings: Settings) -> Best:
    model = settings.model
    if settings.keras_model is not None or settings.weights is not None:
        return {}
    shape = models.entry(model).shape
    built = clip_shape(network, frames=settings.frames, size=settings.size)
    if settings.compare != RECORDED or built != shape or not record_file().is_file():
        return {}
    with np.load(record_file(), allow_pickle=False) as record:
        if str(record.get(record_key(model, "weights"))) != identity.weights_sha256(network):
            return {}
        arrays = {s.layer: record.get(record_key(model, s.layer)) for s in sections}
    return {
        section.layer: {unit.channel: float(array[0, unit.channel]) for unit in section.units}
        for section in sections
        if (array := arrays[section.layer]) is not None
    }


def _computed(network: keras.Model, sections: Sequence[Section], settings: Settings) -> Best:
    return {
        section.layer: {
            unit.channel: stored.finite(highest)
            for unit, highest in zip(section.units, of_layer.max(axis=0), strict=True)
        }
        for section, of_layer in zip(sections, every(network, sections, settings), strict=True)
    }
