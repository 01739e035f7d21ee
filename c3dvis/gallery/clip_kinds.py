"""The kinds of additional clips of a unit, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, objectives, receptive_field
from c3dvis.gallery import cards
from c3dvis.gallery.groups import Group
from c3dvis.gallery.plan import CLASSES, Unit
from c3dvis.gallery.render import Renderer, objective_of
from c3dvis.maximize import Maximizer, both_ways, slow_to_fast
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.receptive_field import Field
from c3dvis.responses.directions import SELECTIVE, in_words
from c3dvis.text import number

# Weights of the temporal penalty; see `maximize.slow_to_fast`.
WEIGHTS = (1.0, 0.3, 0.0)
_SPEEDS = ("slowest", "slow", "free")
# A neuron's clip is made if its receptive field is below this share of a clip's height and width.
_SMALL = 1 / 3
# Minimum length of the longer side of the enlarged crop, in pixels.
_SIDE = 64


@dataclass(frozen=True, eq=False)
class VariantClip:
    """A clip `(T, H, W, C)`, with the other fields of `more_clips.Variant`."""

    name: str
    clip: NDArray[np.float32]
    score: float
    note: str = ""


@dataclass(frozen=True)
class VariantClips:
    """The clips of a unit of one kind, and a sentence on what they show."""

    clips: Sequence[VariantClip]
    sentence: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of clips.

    Attributes:
        name: Name in the names of its files.
        description: What the clips are, in a few words.
        make: Function of a `render.Renderer` and a group that returns `VariantClips` by unit.
        units_of: Function of a renderer and a group that returns the units that can have such
            clips.
    """

    name: str
    description: str
    make: Callable[[Renderer, Group], dict[Unit, VariantClips]]
    units_of: Callable[[Renderer, Group], Sequence[Unit]] = lambda renderer, group: group.units


def selected(
    *,
    directions: bool = False,
    speeds: bool = False,
    other_parametrizations: Sequence[str] = (),
    neurons: bool = False,
) -> list[Kind]:
    """The selected kinds of clips; `options.check` has refused unknown parametrizations.

    Args:
        directions: Clips in the direction of the unit's motion card, and in the opposite one.
        speeds: Clips from slow to free.
        other_parametrizations: Names of parametrizations, for a clip in each.
        neurons: Clips of the layer's centre neuron, cropped to its receptive field.
    """
    kinds = []
    if directions:
        kinds.append(Kind("directions", "clips in two directions", _directions, _with_direction))
    if speeds:
        kinds.append(Kind("speeds", "clips from slow to free", _speeds))
    for name in dict.fromkeys(other_parametrizations):
        kinds.append(
            Kind(
                name, f"clips of the parametrization {name}", partial(_other_parametrization, name)
            )
        )
    if neurons:
        kinds.append(Kind("neuron", "clips of the centre neuron", _neurons, _with_small_field))
    return kinds


def _with_direction(renderer: Renderer, group: Group) -> list[Unit]:
    return [unit for unit in group.units if _direction(renderer, unit) is not None]


def _direction(renderer: Renderer, unit: Unit) -> float | None:
    """The preferred direction of its motion card; None without a card or a preference."""
    card = cards.read(renderer.out, unit)
    return None if card is None else card.direction


def _directions(renderer: Renderer, group: Group) -> dict[Unit, VariantClips]:
    """Clips in the direction of the motion card, and in the opposite one."""
    named = [_direction(renderer, unit) for unit in group.units]
    directions = [one for one in named if one is not None]  # all: see `_with_direction`
    options = {**renderer.options(), **_run_options(renderer)}
    options.pop("parametrization")
    pairs = both_ways(renderer.network, _objective(renderer, group), directions, **options)
    return {unit: _direction_clips(both) for unit, both in zip(group.units, pairs, strict=True)}


def _direction_clips(both) -> VariantClips:
    parts = (both.along, both.along_backward), (both.against, both.against_backward)
    written = []
    for turn, (forward, backward) in zip((0, 180), parts, strict=True):
        name = f"motion {in_words((both.direction + turn) % 360)}"
        note = f"backward {number(float(backward))}"
        written.append(VariantClip(name, forward.clip, forward.score, note))
    return VariantClips(written, _direction_sentence(both.selectivity))


def _direction_sentence(selectivity: float) -> str:
    """The direction selectivity in words."""
    if not np.isfinite(selectivity):
        return "Neither clip excites it, forward or backward."
    if selectivity >= SELECTIVE:
        verdict = "so direction matters in synthetic clips, too"
    elif selectivity > -SELECTIVE:
        verdict = "so what it looks like counts for more than which way it moves"
    else:
        verdict = "so synthetic clips prefer the opposite direction, unlike gratings"
    return (
        "Both played forward and backward, so that the same frames drift either way: direction "
        f"selectivity {selectivity:.2f}, {verdict}."
    )


def _speeds(renderer: Renderer, group: Group) -> dict[Unit, VariantClips]:
    """Clips under temporal penalties, from the heaviest to none."""
    path = slow_to_fast(
        renderer.network,
        _objective(renderer, group),
        weights=WEIGHTS,
        batch_size=renderer.settings.batch_size,
        **renderer.options(),
        **_run_options(renderer),
    )
    return {unit: _speed_clips(path, row) for row, unit in enumerate(group.units)}


def _speed_clips(path, row: int) -> VariantClips:
    if (path.statuses[:, row] != "ok").any() or not np.isfinite(path.scores[:, row]).all():
        return VariantClips([])
    written = [
        VariantClip(name, path.clips[rank, row], path.scores[rank, row])
        for rank, name in enumerate(_SPEEDS)
    ]
    return VariantClips(written, _speed_sentence(path.scores[:, row], path.energies[:, row]))


def _speed_sentence(scores: NDArray[np.floating], energies: NDArray[np.floating]) -> str:
    """What slowness costs in score, in words; empty if no score or change is above 0."""
    slow, free = float(scores[0]), float(scores[-1])
    if free <= 0 or energies[-1] <= 0:
        return ""
    change = number(100 * float(energies[0] / energies[-1]))
    kept = f"{number(100 * slow / free)}%" if slow > 0 else "none"
    return (
        f"Slowest, with {change}% of the free clip's change between frames, it keeps {kept} "
        "of its score."
    )


def _other_parametrization(name: str, renderer: Renderer, group: Group) -> dict[Unit, VariantClips]:
    """Clips in another parametrization than the gallery's."""
    maximized = _maximized(renderer, _objective(renderer, group), parametrization=name)
    return {
        unit: VariantClips([VariantClip(name, one.clip, one.score)] if one.status == "ok" else [])
        for unit, one in zip(group.units, maximized, strict=True)
    }


def _with_small_field(renderer: Renderer, group: Group) -> Sequence[Unit]:
    return () if _small_field(renderer, group.layer) is None else group.units


def _small_field(renderer: Renderer, layer: str) -> Field | None:
    """The receptive field of the layer's centre neuron; None if it is not small."""
    if layer == CLASSES:
        return None
    settings = renderer.settings
    extent = clip_shape(renderer.network, frames=settings.frames, size=settings.size)[:3]
    try:
        field = receptive_field.of(renderer.network, layer, shape=extent)
    except ValueError:  # such as a layer that is called twice
        return None
    sides = zip(field.shape[1:], extent[1:], strict=True)
    small = field.reason is None and all(seen < _SMALL * whole for seen, whole in sides)
    return field if small else None


def _neurons(renderer: Renderer, group: Group) -> dict[Unit, VariantClips]:
    """Of the neuron in the middle of its layer, cropped to what it sees and enlarged."""
    layer = group.layer
    field = _small_field(renderer, layer)
    assert field is not None  # `_with_small_field` has asked for it
    channels = [unit.channel for unit in group.units]
    maximized = _maximized(renderer, objectives.neuron(layer, channels))
    note = "sees {} × {} × {}".format(*field.shape)

    def of_neuron(one) -> VariantClips:
        seen = clips.enlarge(one.clip[field.slices], side=_SIDE)
        variants = [VariantClip("centre neuron", seen, one.score, note)]
        return VariantClips(variants if one.status == "ok" else [])

    return {unit: of_neuron(one) for unit, one in zip(group.units, maximized, strict=True)}


def _maximized(renderer: Renderer, objective: objectives.Objective, **other):
    """Clips of an objective, made as the gallery's are but for some options."""
    options = {**renderer.options(), "batch_size": renderer.settings.batch_size, **other}
    return Maximizer(renderer.network, objective, **options).make(
        objective, **_run_options(renderer)
    )


def _run_options(renderer: Renderer) -> dict[str, Any]:
    return {"steps": renderer.settings.steps, "seed": renderer.settings.seed}


def _objective(renderer: Renderer, group: Group) -> objectives.Objective:
    channels = [unit.channel for unit in group.units]
    return objective_of(renderer.network, group.layer, channels)
