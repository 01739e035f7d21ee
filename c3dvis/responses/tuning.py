"""How units are tuned to motion: direction, speed, frequency, contrast and colour of gratings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import receptive_field
from c3dvis.models.held_inputs import one_input
from c3dvis.motion import DriftingGabor
from c3dvis.objectives.terms import layer_name
from c3dvis.responses.unit_responses import UnitResponses, row_of, shape_in_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MotionTuning", "motion_tuning"]

_DIRECTIONS = tuple(float(angle) for angle in range(0, 360, 30))  # degrees
_SPATIAL = (0.04, 0.07, 0.12, 0.2, 0.33)  # cycles per pixel
_TEMPORAL = (0.0, 0.06, 0.12, 0.2, 0.28, 0.36, 0.44)  # cycles per frame
_CONTRASTS = (0.0625, 0.125, 0.25, 0.5, 1.0)
COLOURS: Mapping[str, tuple[float, float, float]] = {
    "light and dark": (1.0, 1.0, 1.0),
    "red and cyan": (1.0, -1.0, -1.0),
    "red and green": (1.0, -1.0, 0.0),
    "blue and yellow": (-1.0, -1.0, 1.0),
}
"""What gratings add to grey at their crests."""

# Rounds that refine a unit's best grating, each with half the steps of the one before.
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class MotionTuning:
    """The tuning of some units of a layer to drifting gratings.

    Responses are the unit's activation minus that for grey. Directions are in degrees: 0 is right,
    90 up, 180 left, 270 down.

    Attributes:
        layer: Name of the layer.
        channels: Index of each of the C units.
        directions: float32 `(D,)`, degrees.
        spatial_frequencies: float32 `(S,)`, cycles per pixel.
        temporal_frequencies: float32 `(F,)`, cycles per frame; the first is 0, where nothing moves.
        responses: float32 `(C, D, S, F)`.
        best: The grating that each unit prefers, found between those of the grid.
        best_response: float32 `(C,)`, the response to it.
        opposite: float32 `(C,)`, the response to the same grating the other way.
        standing: float32 `(C,)`, the greatest response to a static grating.
        contrasts: float32 `(K,)`, of the best grating.
        to_contrast: float32 `(C, K)`, responses at these.
        to_colour: float32 `(C, len(COLOURS))`, responses to the best grating in other colours.
    """

    layer: str
    channels: tuple[int, ...]
    directions: NDArray[np.float32]
    spatial_frequencies: NDArray[np.float32]
    temporal_frequencies: NDArray[np.float32]
    responses: NDArray[np.float32]
    best: tuple[DriftingGabor, ...]
    best_response: NDArray[np.float32]
    opposite: NDArray[np.float32]
    standing: NDArray[np.float32]
    contrasts: NDArray[np.float32]
    to_contrast: NDArray[np.float32]
    to_colour: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"MotionTuning({self.layer!r}, {len(self.channels)} units)"

    @property
    def direction_selectivity(self) -> NDArray[np.float32]:
        """`(preferred - opposite) / (preferred + opposite)`, from 0 to 1; negative responses are 0.

        1: it responds to one direction only; 0: to both equally; NaN: to neither.
        """
        preferred, opposite = np.maximum(self.best_response, 0), np.maximum(self.opposite, 0)
        with np.errstate(invalid="ignore"):
            return (preferred - opposite) / (preferred + opposite)

    @property
    def circular_variance(self) -> NDArray[np.float32]:
        """1 less the length of the mean vector of orientations, from 0 (one) to 1 (all alike).

        Of the responses to all directions at the unit's preferred frequencies of the grid (Ringach
        et al. 2002, https://doi.org/10.1523/JNEUROSCI.22-13-05639.2002).
        """
        curve = np.maximum(self.direction_curve(), 0)
        turned = np.exp(2j * np.radians(self.directions))
        with np.errstate(invalid="ignore"):
            return (1 - np.abs(curve @ turned) / curve.sum(axis=1)).astype(np.float32)

    @property
    def bandwidth(self) -> NDArray[np.float32]:
        """Degrees of direction over which the response is above half of its greatest; up to 360."""
        return np.array([_width(curve, self.directions) for curve in self.direction_curve()])

    def direction_curve(self) -> NDArray[np.float32]:
        """`(C, D)`: responses to all directions at the best moving frequencies of the grid."""
        moving = self.responses[..., 1:]
        units, directions = moving.shape[:2]
        at = moving.max(axis=1).reshape(units, -1).argmax(axis=1)
        return moving.reshape(units, directions, -1)[np.arange(units), :, at]

    def speed_map(self) -> NDArray[np.float32]:
        """`(C, S, F)`: the greatest response over directions at each pair of frequencies."""
        return self.responses.max(axis=1)

    def plot(self, channel: int) -> Figure:
        """A polar plot of directions beside a map of spatial and temporal frequency."""
        from matplotlib.figure import Figure

        unit = row_of(channel, self.channels)
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        polar = figure.add_subplot(1, 2, 1, projection="polar")
        curve = np.maximum(self.direction_curve()[unit], 0)
        polar.plot(np.radians([*self.directions, self.directions[0]]), [*curve, curve[0]])
        polar.set_yticklabels([])
        best = self.best[unit]
        polar.set_title(f"{best.direction:.0f}°, {best.speed:.2g} px per frame", fontsize=9)
        axes = figure.add_subplot(1, 2, 2)
        figure.colorbar(self.draw_map(axes, unit), ax=axes).ax.tick_params(labelsize=7)
        figure.suptitle(f"{self.layer}, channel {channel}", fontsize=10)
        return figure

    def draw_map(self, axes: Any, unit: int) -> Any:
        """Draws a row of `speed_map` into axes of Matplotlib; returns the mesh."""
        temporal, spatial = self.temporal_frequencies, self.spatial_frequencies
        mesh = axes.pcolormesh(range(len(temporal)), range(len(spatial)), self.speed_map()[unit])
        axes.set_xticks(range(len(temporal)), [f"{value:.2g}" for value in temporal])
        axes.set_yticks(range(len(spatial)), [f"{value:.2g}" for value in spatial])
        axes.set_xlabel("cycles per frame", fontsize=8)
        axes.set_ylabel("cycles per pixel", fontsize=8)
        axes.tick_params(labelsize=7)
        return mesh


def motion_tuning(
    network: keras.Model,
    layer: str,
    *,
    channels: Sequence[int] | int | None = None,
    directions: Sequence[float] = _DIRECTIONS,
    spatial_frequencies: Sequence[float] = _SPATIAL,
    temporal_frequencies: Sequence[float] = _TEMPORAL,
    place: str = "field",
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    preprocess: Callable | None = None,
    batch_size: int = 8,
) -> MotionTuning:
    """How units of a layer respond to gratings that drift.

    All units see the same grid of gratings, in one pass; then each unit's best one is refined
    between the directions and frequencies of the grid.

    Args:
        network: Keras model that takes clips `(N, T, H, W, 3)` in [0, 1].
        layer: Name of a layer, or the Keras layer itself.
        channels: Indices of its units, or one index; None means all.
        directions: Degrees.
        spatial_frequencies: Cycles per pixel, above 0 and up to 0.5.
        temporal_frequencies: Cycles per frame, from 0 to 0.5; 0 is added where it is missing.
        place: "field": gratings fill the clip, and a response is the mean over the layer's places;
            "receptive field": they are windowed to what the unit in the layer's centre sees, and
            its own activation is the response, the greatest of four phases.
        frames: Number of frames, if the network accepts any number.
        size: Height and width of the clips, if the network accepts any size.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Raises:
        ValueError: An unknown layer, unit or place, or a network of other clips.

    Example:
        >>> from c3dvis import models, responses
        >>> tuning = responses.motion_tuning(
        ...     models.build("c3d-motion"), "conv2", channels=[0], directions=(0, 90, 180, 270),
        ...     spatial_frequencies=[0.1], temporal_frequencies=[0.1]
        ... )
        >>> tuning.responses.shape
        (1, 4, 1, 2)
    """
    if place not in ("field", "receptive field"):
        raise ValueError(f"Expected place 'field' or 'receptive field'. Received: {place!r}.")
    moving = any(frequency > 0 for frequency in temporal_frequencies)
    if not (len(directions) and len(spatial_frequencies) and moving):
        raise ValueError(
            "Expected at least one direction, spatial frequency and temporal frequency above 0. "
            f"Received: directions {[*directions]}, spatial frequencies {[*spatial_frequencies]}, "
            f"temporal frequencies {[*temporal_frequencies]}."
        )
    network, layer = one_input(network, scaled=preprocess is None), layer_name(layer)
    shape = shape_in_colour(network, frames=frames, size=size)
    measure = _Measure(network, layer, shape, place, preprocess, batch_size)
    units = measure.scores.units(channels)
    temporal = tuple(dict.fromkeys((0.0, *temporal_frequencies)))
    grid = [
        DriftingGabor(angle, spatial_frequency=s, temporal_frequency=f, width=measure.width)
        for angle in directions
        for s in spatial_frequencies
        for f in temporal
    ]
    responses = measure(grid)[:, units].T
    best = [grid[row.argmax()] for row in responses]
    steps = (
        360 / max(len(directions), 2) / 2,
        _step(spatial_frequencies, logarithmic=True),
        _step(temporal, logarithmic=False),
    )
    best, best_response = _refined(measure, best, units, steps)
    opposite = [replace(one, direction=(one.direction + 180) % 360) for one in best]
    coloured = [replace(one, colour=colour) for one in best for colour in COLOURS.values()]
    dimmed = [(one, contrast) for one in best for contrast in _CONTRASTS]
    return MotionTuning(
        layer=layer,
        channels=tuple(units),
        directions=np.array(directions, np.float32),
        spatial_frequencies=np.array(spatial_frequencies, np.float32),
        temporal_frequencies=np.array(temporal, np.float32),
        responses=responses.reshape(
            len(units), len(directions), len(spatial_frequencies), len(temporal)
        ),
        best=tuple(best),
        best_response=best_response,
        opposite=measure.own(opposite, units, 1)[:, 0],
        standing=responses.reshape(len(units), -1, len(temporal))[..., 0].max(axis=1),
        contrasts=np.array(_CONTRASTS, np.float32),
        to_contrast=measure.own(dimmed, units, len(_CONTRASTS)),
        to_colour=measure.own(coloured, units, len(COLOURS)),
    )


class _Measure:
    """Responses of all units of a layer to gratings, minus those to grey."""

    def __init__(self, network, layer, shape, place, preprocess, batch_size):
        centre = place != "field"
        self.shape, self.width = shape, None
        if centre:
            field = receptive_field.of(network, layer, shape=shape)
            self.width = min(field.shape[1:]) / 4
        # Over a whole field every phase is somewhere; at one place it decides.
        self._phases = (0.0, 90.0, 180.0, 270.0) if centre else (0.0,)
        self.scores = UnitResponses(
            network, layer, centre=centre, preprocess=preprocess, batch_size=batch_size
        )
        self._grey = self.scores([np.full((*shape, 3), 0.5, np.float32)])

    def __call__(self, gratings: Iterable) -> NDArray[np.float32]:
        """`(N, count)`, of gratings or of pairs of a grating and its contrast."""
        rows = self.scores(self._clip(one, phase) for one in gratings for phase in self._phases)
        best = rows.reshape(-1, len(self._phases), self.scores.count).max(axis=1)
        return best - self._grey

    def own(self, gratings: Sequence, units: Sequence[int], each: int) -> NDArray[np.float32]:
        """`(len(units), each)`: each unit's responses to its own gratings, given unit by unit."""
        responses = self(gratings).reshape(len(units), each, self.scores.count)
        return responses[np.arange(len(units)), :, units]

    def _clip(self, grating, phase: float) -> NDArray[np.float32]:
        one, contrast = grating if isinstance(grating, tuple) else (grating, 1.0)
        clip = replace(one, phase=phase).clip(frames=self.shape[0], size=self.shape[1:])
        return clip if contrast == 1 else 0.5 + contrast * (clip - 0.5)


def _step(values: Sequence[float], *, logarithmic: bool) -> float:
    """Half the median distance between neighbours on the grid."""
    ordered = np.sort(np.log(values) if logarithmic else values)
    return float(np.median(np.diff(ordered))) / 2 if len(ordered) > 1 else 0.0


def _refined(
    measure: _Measure,
    best: list[DriftingGabor],
    units: Sequence[int],
    steps: tuple[float, float, float],
) -> tuple[list[DriftingGabor], NDArray[np.float32]]:
    """The best gratings between those of the grid, and the responses to them.

    In each round a unit sees its grating a step further and a step back along each of direction,
    spatial and temporal frequency; it moves to the vertex of the parabola through the three.
    """
    for round_ in range(_ROUNDS):
        reach = [step / 2**round_ for step in steps]
        moves: list[Sequence[float]] = [(0.0, 0.0, 0.0)]
        for axis in range(3):
            moves += [
                tuple(sign * reach[axis] if i == axis else 0.0 for i in range(3))
                for sign in (-1, 1)
            ]
        tried = [_moved(one, move) for one in best for move in moves]
        responses = measure.own(tried, units, len(moves))
        vertices = [
            tuple(reach[axis] * _vertex(*row[[2 * axis + 1, 0, 2 * axis + 2]]) for axis in range(3))
            for row in responses
        ]
        best = [_moved(one, vertex) for one, vertex in zip(best, vertices, strict=True)]
    return best, measure.own(best, units, 1)[:, 0]


def _moved(one: DriftingGabor, move: Sequence[float]) -> DriftingGabor:
    turn, octave, faster = move
    return replace(
        one,
        direction=(one.direction + turn) % 360,
        spatial_frequency=min(0.5, one.spatial_frequency * math.exp(octave)),
        temporal_frequency=min(0.5, max(0.0, one.temporal_frequency + faster)),
    )


def _vertex(below: float, middle: float, above: float) -> float:
    """Where the parabola through values at -1, 0 and 1 is greatest, in [-1, 1]."""
    bend = below - 2 * middle + above
    if bend >= 0:  # no maximum between them
        return 0.0 if below == above else math.copysign(1.0, above - below)
    return float(np.clip((below - above) / (2 * bend), -1, 1))


def _width(curve: NDArray[np.float32], directions: NDArray[np.float32]) -> float:
    """Degrees over which a curve of directions is above half its greatest, linearly between."""
    order = np.argsort(directions)
    around = np.interp(np.arange(360), directions[order], curve[order], period=360)
    return float((around > curve.max() / 2).sum()) if curve.max() > 0 else float("nan")
