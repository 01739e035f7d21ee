"""Descriptions of units in words, from their tuning, with scores of how well they predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips as clips_room
from c3dvis.models.held_inputs import one_input
from c3dvis.motion import DriftingGabor
from c3dvis.objectives.terms import layer_name
from c3dvis.responses import similarity
from c3dvis.responses.tuning import COLOURS, MotionTuning, motion_tuning
from c3dvis.responses.unit_responses import UnitResponses, checked_units

__all__ = ["Description", "describe"]

# Below a correlation of 0.5 a description shares less than a quarter of the unit's variance; with a
# low AUC it does not single out the strongest clips.
_MIN_CORRELATION, _MIN_AUC, _MIN_GENERATED = 0.5, 0.9, 0.75
# Share of the clips that count as the strongest.
_STRONG = 0.1
# A direction is named if the opposite one gives less than a third of the response.
_SELECTIVE = 0.5
# Share of the greatest response from which static gratings count as equally good.
_AS_GOOD = 0.9
_WAYS = (
    *("rightward", "rightward and upward", "upward", "leftward and upward"),
    *("leftward", "leftward and downward", "downward", "rightward and downward"),
)
_STRIPES = ("upright", "falling", "level", "rising")
_OPPOSITIONS = ("red and green", "blue and yellow")
# Waves of a generated clip, and their deviation from the description in degrees and octaves.
_WAVES, _STRAY_DEGREES, _STRAY_OCTAVES = 5, 15.0, 0.25
_GENERATED = 8
# Colours differ if their cosine is below this.
_OTHER_COLOUR = 0.5


@dataclass(frozen=True)
class Description:
    """A unit's preference in words, and how well it predicts the unit's responses.

    Attributes:
        layer: Name of the layer.
        channel: Index of the unit.
        words: Such as "leftward motion at 2 px per frame, light against dark, stripes of 7 px".
        correlation: Rank correlation, over all clips, of the unit's responses with the described
            motion energy; NaN if either is constant.
        auc: Share of pairs in which a clip of the strongest tenth has more of the described
            energy than another clip.
        generated: Share of pairs in which a clip generated from the description excites the unit
            more than one generated from a contrasting description.
    """

    layer: str
    channel: int
    words: str
    correlation: float
    auc: float
    generated: float

    def __repr__(self) -> str:
        return f"Description({self.layer}:{self.channel}, {str(self)!r})"

    def __str__(self) -> str:
        numbers = (
            f"correlation {self.correlation:.2f} over all clips, strongest clips found "
            f"{self.auc:.0%}, generated clips {self.generated:.0%}"
        )
        if not self.tells:
            return f"Can't tell what it prefers; the best guess is {self.words} ({numbers})."
        return f"Prefers {self.words} ({numbers})."

    @property
    def tells(self) -> bool:
        """Whether `correlation` is 0.5 or more, `auc` 0.9 and `generated` 0.75."""
        return (
            self.correlation >= _MIN_CORRELATION
            and self.auc >= _MIN_AUC
            and self.generated >= _MIN_GENERATED
        )


def describe(
    network: keras.Model,
    layer: str,
    clips: Iterable[ArrayLike],
    *,
    channels: Sequence[int] | int | None = None,
    tuning: MotionTuning | None = None,
    seed: int = 0,
    preprocess: Callable | None = None,
    batch_size: int = 8,
) -> list[Description]:
    """What units of a layer prefer, in words, with measures of how reliable the words are.

    The words are the unit's best drifting grating: its direction where it is selective, its speed,
    colours and scale. They are tested twice. Over all clips: how much motion energy of that
    direction, speed, scale and colour a clip has (Adelson and Bergen 1985,
    https://doi.org/10.1364/JOSAA.2.000284) is correlated with the unit's response. And on textures
    of several waves generated from the words, beside others of another direction, speed or colour.

    Args:
        network: Keras model that takes clips `(N, T, H, W, 3)` in [0, 1].
        layer: Name of a layer, or the Keras layer itself.
        clips: Real clips `(N, T, H, W, 3)`, ten or more.
        channels: Indices of the units, or one index; None means all, or those of the tuning.
        tuning: What `motion_tuning` gave for these units; None measures it, in light and
            dark and in two colour oppositions.
        seed: Seed of the generated clips.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Returns:
        A description of each unit, in order.

    Raises:
        ValueError: Clips, units or a tuning that do not fit.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> network, clips = models.build("c3d-motion"), MovingEvidence(seed=1).batch(0, 10).clips
        >>> tuning = responses.motion_tuning(
        ...     network, "conv2", channels=[0], directions=(0, 90, 180, 270),
        ...     spatial_frequencies=[0.1], temporal_frequencies=[0.1]
        ... )
        >>> [unit.channel for unit in responses.describe(network, "conv2", clips, tuning=tuning)]
        [0]
    """
    network, layer = one_input(network, scaled=preprocess is None), layer_name(layer)
    own = tuple(network.inputs[0].shape[1:])
    real = [clips_room.check(c, None if preprocess else own) for c in clips]
    if len(real) < 10 or real[0].shape[-1] != 3:
        raise ValueError(
            "Expected ten clips in colour or more. "
            f"Received: {len(real)} clips{f' of shape {real[0].shape}' if real else ''}."
        )
    scores = UnitResponses(network, layer, preprocess=preprocess, batch_size=batch_size)
    if tuning is None:
        units = scores.units(channels)
        tunings = _tunings(network, layer, units, real[0].shape[:3], preprocess, batch_size)
    else:
        asked = tuning.channels if channels is None else channels
        units = checked_units(layer, scores.count, asked)
        tunings = {None: tuning}
        if tuning.layer != layer or not set(units) <= set(tuning.channels):
            raise ValueError(
                f"Expected the tuning of the units {units} of {layer!r}. "
                f"Received: that of {list(tuning.channels)} of {tuning.layer!r}."
            )
    responses = scores(real)[:, units]
    preferences = [_Preference.best_of(tunings, unit) for unit in units]
    predicted = _predicted(preferences, real)
    described = []
    for i, (unit, preference) in enumerate(zip(units, preferences, strict=True)):
        rng = np.random.default_rng([seed, unit])
        generated = scores(_generated(preference, real[0].shape[:3], rng))[:, unit]
        described.append(
            Description(
                layer,
                unit,
                preference.words,
                _rank_correlation(predicted[:, i], responses[:, i]),
                _retrieval_auc(predicted[:, i], responses[:, i]),
                _share_above(generated[:_GENERATED], generated[_GENERATED:]),
            )
        )
    return described


def _tunings(
    network, layer, units, extent, preprocess, batch_size
) -> dict[str | None, MotionTuning]:
    """The tuning to luminance gratings, and to gratings of two colour oppositions.

    Some units respond to colour only; their best luminance grating would be random.
    """
    frames, height, width = extent

    def in_colour(colour):
        def recolour(clips):
            coloured = 0.5 + (clips - 0.5) * np.array(colour, np.float32)
            return coloured if preprocess is None else preprocess(coloured)

        return recolour

    options = {"frames": frames, "size": (height, width), "batch_size": batch_size}
    tunings: dict[str | None, MotionTuning] = {
        None: motion_tuning(network, layer, channels=units, preprocess=preprocess, **options)
    }
    for name in _OPPOSITIONS:
        own = in_colour(COLOURS[name])
        tunings[name] = motion_tuning(network, layer, channels=units, preprocess=own, **options)
    return tunings


@dataclass(frozen=True)
class _Preference:
    """A unit's preferred grating.

    Attributes:
        wave: A grating of the direction, speed, scale and colours.
        colours: Name of the colours.
        directions: Preferred directions in degrees: one, two opposite ones, or none for any.
    """

    wave: DriftingGabor
    colours: str
    directions: tuple[float, ...]

    @classmethod
    def best_of(cls, tunings: Mapping[str | None, MotionTuning], channel: int) -> _Preference:
        """The preference in the colours with the highest response."""

        def response(name: str | None) -> float:
            tuning = tunings[name]
            return tuning.best_response[tuning.channels.index(channel)]

        best = max(tunings, key=response)
        return cls.from_tuning(tunings[best], tunings[best].channels.index(channel), best)

    @classmethod
    def from_tuning(
        cls, tuning: MotionTuning, unit: int, colours: str | None = None
    ) -> _Preference:
        """The preference by a tuning to gratings in some colours; None takes the best ones."""
        if colours is None:
            colours = list(COLOURS)[int(tuning.to_colour[unit].argmax())]
        best, greatest = tuning.best[unit], tuning.best_response[unit]
        if tuning.standing[unit] >= _AS_GOOD * greatest:
            still = tuning.responses[unit, :, :, 0]
            way, scale = np.unravel_index(still.argmax(), still.shape)
            best = replace(
                best,
                direction=float(tuning.directions[way]),
                spatial_frequency=float(tuning.spatial_frequencies[scale]),
                temporal_frequency=0.0,
            )
        directions: tuple[float, ...] = (best.direction,)
        if tuning.bandwidth[unit] > 270:
            directions = ()
        elif best.temporal_frequency > 0 and tuning.direction_selectivity[unit] < _SELECTIVE:
            directions = (best.direction, (best.direction + 180) % 360)
        return cls(replace(best, colour=COLOURS[colours]), colours, directions)

    @property
    def words(self) -> str:
        if self.wave.temporal_frequency == 0:
            # Stripes stand at right angles to the direction in which they would move.
            tilt = _STRIPES[round(self.wave.direction / 45) % 4]
            what = f"{tilt} static stripes" if self.directions else "static patterns"
        else:
            ways = [_WAYS[round(way / 45) % 8] for way in self.directions]
            what = f"{' or '.join(ways) or 'any'} motion at {self.wave.speed:.2g} px per frame"
        scale = f"stripes of {1 / self.wave.spatial_frequency:.2g} px"
        return f"{what}, {self.colours.replace(' and ', ' against ')}, {scale}"


def _predicted(preferences: Sequence[_Preference], clips) -> NDArray[np.float32]:
    """`(N, C)`: the motion energy described for each unit, in each clip."""
    axes = np.array(list(COLOURS.values()))
    axes = axes / np.abs(axes).sum(axis=1, keepdims=True)
    colours = [list(COLOURS).index(one.colours) for one in preferences]
    shape = clips[0].shape[:3]
    bands = []
    for one in preferences:
        spatial, temporal = one.wave.spatial_frequency, one.wave.temporal_frequency
        ways = one.directions or (None,)
        bands.append(
            sum(
                similarity.band(shape, spatial=spatial, direction=way, temporal=temporal)
                for way in ways
            )
        )
    rows = []
    for clip in clips:
        spectra = similarity.power(clip, axes)
        rows.append([float((spectra[c] * b).sum()) for c, b in zip(colours, bands, strict=True)])
    return np.array(rows, np.float32)


def _generated(preference: _Preference, shape, rng: np.random.Generator) -> Iterator[NDArray]:
    """Textures as described, then the same number in another direction, speed or colour."""
    for _ in range(_GENERATED):
        yield _texture(preference.wave, preference.directions, shape, rng)
    for number in range(_GENERATED):
        yield _texture(_contrast(preference, number, rng), preference.directions, shape, rng)


def _contrast(preference: _Preference, number: int, rng: np.random.Generator) -> DriftingGabor:
    """The wave with, in turns, another direction, speed or colour."""
    wave = preference.wave
    if number % 3 == 0 and preference.directions:
        # As far as possible from all preferred directions.
        both = len(preference.directions) > 1 or wave.temporal_frequency == 0
        turn = 90.0 if both else rng.uniform(90, 270)
        return replace(wave, direction=(wave.direction + turn) % 360)
    if number % 3 == 1:
        slow = wave.temporal_frequency > 0.2
        return replace(wave, temporal_frequency=0.0 if slow else 0.45)
    own = np.array(wave.colour) / np.linalg.norm(wave.colour)
    others = [c for c in COLOURS.values() if abs(own @ c) / np.linalg.norm(c) < _OTHER_COLOUR]
    return replace(wave, colour=others[rng.integers(len(others))])


def _texture(wave: DriftingGabor, ways, shape, rng: np.random.Generator) -> NDArray[np.float32]:
    """Several waves of similar direction, scale and speed, in random phases."""
    frames, height, width = shape
    turned = rng.uniform(0, 360) if not ways else 0.0
    clip = np.zeros((*shape, 3), np.float32)
    for _ in range(_WAVES):
        octaves = 2 ** rng.uniform(-_STRAY_OCTAVES, _STRAY_OCTAVES)
        spatial = min(0.5, wave.spatial_frequency * octaves)
        one = replace(
            wave,
            direction=wave.direction + turned + rng.uniform(-_STRAY_DEGREES, _STRAY_DEGREES),
            spatial_frequency=spatial,
            temporal_frequency=min(0.5, wave.speed * spatial),
            phase=rng.uniform(0, 360),
        )
        clip += one.clip(frames=frames, size=(height, width)) - 0.5
    return np.clip(0.5 + clip / np.sqrt(_WAVES), 0, 1)


def _rank_correlation(one: NDArray, other: NDArray) -> float:
    """Spearman's; equal values have the mean of their ranks."""
    ranks, others = _ranks(one), _ranks(other)
    if min(ranks.std(), others.std()) == 0:
        return float("nan")
    return float(np.corrcoef(ranks, others)[0, 1])


def _ranks(values: NDArray) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]


def _retrieval_auc(predicted: NDArray, responses: NDArray) -> float:
    """AUC of the prediction for the strongest tenth of the clips."""
    order = np.argsort(-responses, kind="stable")
    strong = max(1, int(_STRONG * len(order)))
    return _share_above(predicted[order[:strong]], predicted[order[strong:]])


def _share_above(ones: NDArray, others: NDArray) -> float:
    """Share of pairs in which the first value is higher; equal ones count half."""
    difference = ones[:, None] - others
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())
