"""The strongest and weakest clips of a unit, with its receptive field at the peak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips as clips_room
from c3dvis import receptive_field
from c3dvis.clips.showing import Shown
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import BEFORE_ACTIVATION, LOGITS
from c3dvis.objectives.terms import layer_name
from c3dvis.receptive_field import Field
from c3dvis.responses import clip_sources
from c3dvis.responses.sweep_result import Sweep
from c3dvis.responses.sweeps import USUAL_SHAPE
from c3dvis.responses.unit_responses import checked_units
from c3dvis.text import number

__all__ = ["UnitClip", "UnitClips", "unit_clips"]

_MARK = np.array([1.0, 0.84, 0.0], np.float32)  # yellow: rare in films, and light
_DIMMED = 0.35  # of a film's brightness, where the unit does not see it
_SIDE = 112  # pixels
_FAINT = 0.4  # opacity of an outline
_WHOLE = 0.9  # of a side: a field as long is not shown apart


@dataclass(frozen=True, eq=False)
class UnitClip:
    """A real clip and a unit's response to it.

    Attributes:
        name: Name of the clip in the sweep.
        score: Mean of the unit's activation.
        clip: float32 `(T, H, W, C)` in [0, 1].
        field: Receptive field at the place of the greatest activation; None if unknown.
        peak: `(frame, row, column)` of its centre, in pixels of the clip; None if unknown.
    """

    name: str
    score: float
    clip: NDArray[np.float32]
    field: Field | None = None
    peak: tuple[float, float, float] | None = None

    def __repr__(self) -> str:
        return f"UnitClip({self.name!r}, {number(self.score)})"

    def marked(self) -> NDArray[np.float32]:
        """`(T, n H, n W, 3)`: the clip and an outline of the field, faint in frames outside it.

        A field of the whole picture has no outline: its middle is marked, in the frame of the
        greatest activation.
        """
        shown = clips_room.enlarge(clips_room.to_rgb(self.clip), side=_SIDE)
        scale = shown.shape[1] // self.clip.shape[1]
        field = self._small_field
        if field is not None:
            rows, columns = (
                slice(scale * first, scale * end) for first, end in (field.height, field.width)
            )
            _outline(shown, rows, columns, opacity=_FAINT)
            _outline(shown[slice(*field.time)], rows, columns)
        elif self.peak is not None:
            frame, y, x = (int(at * s) for at, s in zip(self.peak, (1, scale, scale), strict=True))
            _cross(shown[min(frame, len(shown) - 1)], y, x)
        return shown

    def seen(self) -> NDArray[np.float32] | None:
        """`(T, h, w, 3)`: the clip cropped to the field, dimmed in the frames outside it.

        None if the field is the whole picture or unknown.
        """
        field = self._small_field
        if field is None:
            return None
        frames, rows, columns = field.slices
        shown = clips_room.to_rgb(self.clip[:, rows, columns])
        dimmed = shown * np.float32(_DIMMED)
        dimmed[frames] = shown[frames]
        return dimmed

    def beside(self) -> NDArray[np.float32]:
        """`marked()`, and at its right `seen()` as high as that, where there is one."""
        whole, part = self.marked(), self.seen()
        if part is None:
            return whole
        height = whole.shape[1]
        width = max(1, round(height * part.shape[2] / part.shape[1]))
        gap = np.ones((len(whole), height, 4, 3), np.float32)
        return np.concatenate([whole, gap, clips_room.resize(part, (height, width))], axis=2)

    @property
    def _small_field(self) -> Field | None:
        """The receptive field; None where it is the whole picture, or unknown."""
        if self.field is None:
            return None
        sides = zip(self.field.shape[1:], self.clip.shape[1:3], strict=True)
        return self.field if any(seen < _WHOLE * whole for seen, whole in sides) else None


@dataclass(frozen=True, eq=False)
class UnitClips:
    """The strongest and weakest clips of a unit; a notebook shows them.

    Attributes:
        layer: Name of the layer.
        channel: Index of the unit.
        strongest: Best first, each of another film.
        weakest: Lowest first, each of another film.
    """

    layer: str
    channel: int
    strongest: tuple[UnitClip, ...]
    weakest: tuple[UnitClip, ...]

    def __repr__(self) -> str:
        names = f"{len(self.strongest)} strongest, {len(self.weakest)} weakest"
        return f"UnitClips({self.layer!r}, {self.channel}: {names})"

    def show(self, synthetic: ArrayLike | None = None, *, score: float | None = None) -> Shown:
        """The strongest clips side by side in a notebook.

        Args:
            synthetic: A synthetic clip for the unit, shown before them.
            score: The unit's score for it.
        """
        shown = [one.marked() for one in self.strongest]
        captions = [f"{number(one.score)}: {one.name}" for one in self.strongest]
        if synthetic is not None:
            shown.insert(0, np.asarray(synthetic, np.float32))
            captions.insert(0, "synthetic" if score is None else f"{number(score)}: synthetic")
        return clips_room.show(shown, captions=captions)

    def _repr_html_(self) -> str:
        return self.show().html


def unit_clips(
    network: keras.Model,
    swept: Sweep,
    clips: Any,
    layer: str,
    channels: Sequence[int] | int,
    *,
    count: int | None = None,
    windows: int = 1,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> list[UnitClips]:
    """Reads the clips that units responded to most and least in a sweep.

    Args:
        network: The network that was swept.
        swept: Result of `responses.sweep`.
        clips: The clips that were swept, with the same `windows`, `frames` and `size`.
        layer: Name of one of its layers.
        channels: Indices of the units, or one index.
        count: Strongest and weakest clips of each; None means all that the sweep keeps.
        windows: As in the sweep.
        frames: As in the sweep.
        size: As in the sweep.

    Returns:
        One for each unit.

    Raises:
        ValueError: An unknown layer or unit, or clips that are not those of the sweep.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> network = models.build("c3d-motion")
        >>> clips = MovingEvidence(seed=1).batch(0, 6).clips
        >>> swept = responses.sweep(network, clips, layers=["conv2"], top=2, verbose=0)
        >>> responses.unit_clips(network, swept, clips, "conv2", [3])
        [UnitClips('conv2', 3: 2 strongest, 2 weakest)]
    """
    network, layer = one_input(network, scaled=False), layer_name(layer)
    channels = checked_units(layer, swept[layer].scores.shape[1], channels)
    strongest = {channel: swept.top(layer, channel)[:count] for channel in channels}
    rows = swept[layer].weakest[:count]
    weakest = {channel: rows[:, channel].tolist() for channel in channels}
    taken, height, width, depth = clip_shape(network, frames=frames, size=size, default=USUAL_SHAPE)
    given = clip_sources.of(
        clips, frames=taken, size=(height, width), channels=depth, windows=windows
    )
    wanted = {ranked.name for each in strongest.values() for ranked in each}
    wanted |= {swept.names[row] for each in weakest.values() for row in each}
    read = given.named(wanted)
    grid = swept[layer].grid.tolist()

    def strong(channel: int) -> Iterator[UnitClip]:
        for ranked in strongest[channel]:
            clip = read[ranked.name]
            field, peak = _place(network, layer, ranked.place, grid, clip.shape[:3])
            yield UnitClip(ranked.name, ranked.score, clip, field, peak)

    def weak(channel: int) -> Iterator[UnitClip]:
        for row in weakest[channel]:
            name = swept.names[row]
            yield UnitClip(name, float(swept[layer].scores[row, channel]), read[name])

    return [UnitClips(layer, c, tuple(strong(c)), tuple(weak(c))) for c in channels]


def _place(
    network: keras.Model,
    layer: str,
    place: Sequence[int],
    grid: Sequence[int],
    shape: Sequence[int],
) -> tuple[Field | None, tuple[float, float, float] | None]:
    """What a unit sees at a place of its layer, and the place in pixels; None where unknown."""
    if layer.startswith(LOGITS) or max(grid) == 1:
        return None, None
    try:
        name = layer.removesuffix(BEFORE_ACTIVATION)
        field = receptive_field.of(network, name, place, shape=shape)
    except ValueError:  # a layer that is called twice, or whose places are in no such grid
        return None, None
    if field.reason is not None:
        return None, None
    t, y, x = (n * (at + 0.5) / length for n, at, length in zip(shape, place, grid, strict=True))
    return field, (t, y, x)


def _outline(
    frames: NDArray[np.float32], rows: slice, columns: slice, *, opacity: float = 1
) -> None:
    """Draws the edges of a box, two pixels wide, into frames."""
    box = frames[:, rows, columns]
    for edge in (box[:, :2], box[:, -2:], box[:, 2:-2, :2], box[:, 2:-2, -2:]):
        edge += np.float32(opacity) * (_MARK - edge)


def _cross(frame: NDArray[np.float32], y: int, x: int) -> None:
    """Draws a cross, 13 pixels wide, into a frame."""
    top, left = max(y - 6, 0), max(x - 6, 0)
    frame[top : y + 7, max(x - 1, 0) : x + 1] = _MARK
    frame[max(y - 1, 0) : y + 1, left : x + 7] = _MARK
