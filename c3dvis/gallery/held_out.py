"""The best scores that held-out clips give to units, to compare those of made clips with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import keras
import numpy as np

from c3dvis import identity, models, motion
from c3dvis.gallery.plan import Section
from c3dvis.gallery.progress import Report
from c3dvis.gallery.render import objective_of
from c3dvis.gallery.settings import Settings
from c3dvis.maximize import scores
from c3dvis.models import chosen as choices
from c3dvis.models.extent import clip_shape

# Clips whose scores come with the bundled networks.
RECORDED = 512
# Clips computed at once; more gains nothing on a CPU.
_BATCH = 32

# Layer to channel to score; None where no score is finite.
Best = dict[str, dict[int, float | None]]


def best(
    network: keras.Model, sections: Sequence[Section], settings: Settings, *, report: Report = print
) -> Best:
    """The best score that any of `settings.compare` held-out clips gives each unit.

    Those of the bundled networks are read from their record, the others computed, and reported.

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
    """The scores of `settings.compare` held-out clips: float32 `(clips, units)` a section.

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
    """The record: for each bundled network and layer the best scores, and of which clip."""
    return Path(str(resources.files("c3dvis.weights"))) / "held_out_scores.npz"


def record_key(model: str, layer: str) -> str:
    """The name of an array `(2, channels)` in the record: scores, and indices of their clips."""
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
            unit.channel: float(highest) if math.isfinite(highest) else None
            for unit, highest in zip(section.units, of_layer.max(axis=0), strict=True)
        }
        for section, of_layer in zip(sections, every(network, sections, settings), strict=True)
    }
