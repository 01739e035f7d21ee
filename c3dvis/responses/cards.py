"""Motion cards: a unit's tuning to motion, and its responses without motion."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from c3dvis import files
from c3dvis.objectives import LOGITS
from c3dvis.objectives.terms import layer_name
from c3dvis.responses.dependence import MotionDependence, motion_dependence
from c3dvis.responses.directions import SELECTIVE, in_words
from c3dvis.responses.factors import Factors, appearance_and_motion
from c3dvis.responses.ranked_clips import UnitClips
from c3dvis.responses.tuning import COLOURS, MotionTuning, motion_tuning
from c3dvis.responses.unit_responses import row_of
from c3dvis.text import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MotionCard", "motion_cards"]

# A quarter of the full-field gratings, as each is shown in four phases.
_AT_CENTRE: dict[str, Any] = {
    "directions": tuple(range(0, 360, 45)),
    "spatial_frequencies": (0.05, 0.1, 0.2),
    "temporal_frequencies": (0.0, 0.1, 0.2, 0.35),
}


@dataclass(frozen=True, eq=False)
class MotionCard:
    """The motion tuning of one unit; a notebook shows its figure.

    Attributes:
        layer: Name of the layer.
        channel: Index of the unit.
        tuning: Tuning to full-field gratings.
        centre: Tuning to gratings in the receptive field of the centre unit; None for class scores.
        factors: Shares of texture and motion in its selectivity.
        dependence: Effect of freezing, shuffling and reversing its strongest clips; None without
            clips.
    """

    layer: str
    channel: int
    tuning: MotionTuning
    centre: MotionTuning | None
    factors: Factors
    dependence: MotionDependence | None

    def __repr__(self) -> str:
        return f"MotionCard({self.layer!r}, {self.channel}: {self.summary})"

    @property
    def summary(self) -> str:
        """What the card shows, in one sentence."""
        parts = [self._motion, self._shares]
        if self.dependence is not None:
            lost = self.dependence.index(self.channel)
            if np.isfinite(lost.mean):
                parts.append(
                    f"freezing its strongest clips takes {lost.mean:.0%} of its response "
                    f"({lost.low:.0%} to {lost.high:.0%})"
                )
        return "; ".join(parts) + "."

    @property
    def direction(self) -> float | None:
        """Preferred direction of motion in degrees; None if it prefers static gratings."""
        unit = row_of(self.channel, self.tuning.channels)
        best = self.tuning.best[unit]
        moves = best.temporal_frequency >= 1e-3
        return best.direction if moves and self.tuning.best_response[unit] > 0 else None

    @property
    def motion_share(self) -> float | None:
        """Share of its selectivity that is for motion, alone or with texture, 0 to 1.

        None if it responds to all textures and motions alike.
        """
        _, motion, both = self._row(self.factors.shares, self.factors.channels)
        share = float(motion + both)
        return share if np.isfinite(share) else None

    @property
    def _motion(self) -> str:
        unit = row_of(self.channel, self.tuning.channels)
        if not self.tuning.best_response[unit] > 0:
            return self._no_motion(unit)
        best, selective = self.tuning.best[unit], self.tuning.direction_selectivity[unit]
        if self.direction is None:
            return "prefers static gratings"
        way = in_words(best.direction)
        motion = f"at {number(best.speed)} pixels per frame"
        if selective >= SELECTIVE:
            return f"prefers motion {way} {motion} (direction selectivity {selective:.2f})"
        return f"prefers motion along one axis, {way} and back, {motion}"

    def _no_motion(self, unit: int) -> str:
        """The sentence for a unit that responds to no full-contrast luminance grating."""
        contrasts, colours = self.tuning.to_contrast[unit], self.tuning.to_colour[unit]
        none = "responds to no grating more than to grey"
        if contrasts.max() > 0:
            faint = self.tuning.contrasts[int(np.argmax(contrasts))]
            return (
                f"{none} at full contrast, where directions are measured, but to one of {faint:.0%}"
            )
        if colours.max() > 0:
            return f"{none} in light and dark, but to one in {_best_colour(colours)}"
        return none

    @property
    def _shares(self) -> str:
        shares = self._row(self.factors.shares, self.factors.channels)
        if np.isnan(shares).any():
            return "responds equally to all textures and motions"
        named = zip(("texture", "motion", "both together"), shares, strict=True)
        return "distinguishes clips by " + ", ".join(f"{name} {x:.0%}" for name, x in named)

    def _row(self, values: Any, channels: Sequence[int]) -> Any:
        return values[row_of(self.channel, tuple(channels))]

    def figure(self) -> Figure:
        """Plots directions, frequencies, contrast, shares, and the loss without motion."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.4, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 3)
        self._draw_directions(figure.add_subplot(grid[0, 0], projection="polar"))
        self._draw_map(figure.add_subplot(grid[0, 1]), self.tuning, "whole clip")
        if self.centre is not None:
            self._draw_map(figure.add_subplot(grid[0, 2]), self.centre, "its own field")
        self._draw_contrast(figure.add_subplot(grid[1, 0]))
        self._draw_shares(figure.add_subplot(grid[1, 1]))
        if self.dependence is not None:
            self._draw_dependence(figure.add_subplot(grid[1, 2]), self.dependence)
        figure.suptitle(f"{self.layer.removesuffix('/')} {self.channel}", fontsize=11)
        return figure

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the figure as PNG, SVG or PDF, by the ending of `path`; whole or not at all."""
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".png", ".svg", ".pdf"):
            raise ValueError(f"Expected a file of .png, .svg or .pdf. Received: {str(path)!r}.")
        files.write_bytes(path, self._rendered(kind))
        return path

    def _repr_png_(self) -> bytes:
        return self._rendered(".png")

    def _rendered(self, kind: str) -> bytes:
        # Without a date, equal cards make equal files.
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        content = io.BytesIO()
        self.figure().savefig(content, format=kind[1:], dpi=110, metadata=dated.get(kind))
        return content.getvalue()

    def _draw_directions(self, axes: Any) -> None:
        for tuning, name in ((self.tuning, "whole clip"), (self.centre, "its own field")):
            if tuning is None:
                continue
            curve = np.maximum(self._row(tuning.direction_curve(), tuning.channels), 0)
            if curve.max() > 0:
                angles = np.radians([*tuning.directions, tuning.directions[0]])
                axes.plot(angles, np.array([*curve, curve[0]]) / curve.max(), label=name)
        axes.set_ylim(0, 1.05)
        axes.set_yticklabels([])
        axes.tick_params(labelsize=7)
        axes.set_title(self._indices(), fontsize=8)
        if axes.lines:
            axes.legend(fontsize=6, loc="lower right", bbox_to_anchor=(1.15, -0.15))

    def _indices(self) -> str:
        tuning = self.tuning
        if not self._row(tuning.best_response, tuning.channels) > 0:
            return "no response to gratings of full contrast\nthat fill the clip"
        selective, variance, width = (
            self._row(values, tuning.channels)
            for values in (tuning.direction_selectivity, tuning.circular_variance, tuning.bandwidth)
        )
        best = self._row(tuning.best, tuning.channels)
        return (
            f"{best.direction:.0f}°, {number(best.speed)} px per frame; DSI {selective:.2f}\n"
            f"circular variance {variance:.2f}, width {width:.0f}°"
        )

    def _draw_map(self, axes: Any, tuning: MotionTuning, name: str) -> None:
        shown = tuning.draw_map(axes, row_of(self.channel, tuning.channels)).get_array()
        low, high = (number(float(value)) for value in (shown.min(), shown.max()))
        axes.set_title(f"{name}: {low} (dark) to {high}", fontsize=8)

    def _draw_contrast(self, axes: Any) -> None:
        tuning = self.tuning
        curve = self._row(tuning.to_contrast, tuning.channels)
        axes.semilogx(tuning.contrasts, curve, marker="o", markersize=3)
        axes.set_xticks(tuning.contrasts, [f"{value:.0%}" for value in tuning.contrasts])
        axes.minorticks_off()
        axes.tick_params(labelsize=7)
        axes.set_xlabel("contrast of the best grating", fontsize=8)
        colours = self._row(tuning.to_colour, tuning.channels)
        axes.set_title(f"best in {_best_colour(colours)}", fontsize=8)

    def _draw_shares(self, axes: Any) -> None:
        shares = np.nan_to_num(self._row(self.factors.shares, self.factors.channels))
        axes.bar(("static", "dynamic", "joint"), shares)
        axes.set_ylim(0, 1)
        axes.tick_params(labelsize=7)
        axes.set_title("share of its selectivity", fontsize=8)

    def _draw_dependence(self, axes: Any, dependence: MotionDependence) -> None:
        changes = list(dependence.changed)
        lost = [dependence.index(self.channel, change) for change in changes]
        means = np.array([one.mean for one in lost])
        ends = np.array([[one.mean - one.low, one.high - one.mean] for one in lost]).T
        axes.bar(changes, np.nan_to_num(means), yerr=np.nan_to_num(ends), capsize=3)
        axes.axhline(0, color="black", linewidth=0.5)
        # At least -0.1 to 1, so that cards are comparable and 2 % look small.
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.1), max(high, 1.0))
        axes.tick_params(labelsize=7)
        clips = dependence.original.shape[1]
        axes.set_title(f"share lost of its {clips} strongest clips", fontsize=8)


def _best_colour(responses: Any) -> str:
    return list(COLOURS)[int(np.argmax(responses))]


def motion_cards(
    network: keras.Model,
    layer: str,
    channels: Sequence[int] | int,
    *,
    strongest: Sequence[UnitClips] = (),
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    preprocess: Callable | None = None,
    batch_size: int = 8,
) -> list[MotionCard]:
    """The motion cards of some units of a layer.

    Some 1,000 forward passes for a layer, and about 100 more for each unit.

    Args:
        network: Keras model that takes clips `(N, T, H, W, 3)` in [0, 1].
        layer: Name of a layer, or `objectives.LOGITS`.
        channels: Indices of the units, or one index.
        strongest: Strongest clips of each unit, by `responses.unit_clips`, two or more; units
            without clips have no `dependence`.
        frames: Number of frames, if the network accepts any number.
        size: Height and width of the clips, if the network accepts any size.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Returns:
        One card for each unit.

    Raises:
        ValueError: An unknown layer or unit, or a network of other clips.

    Example: (not run with the tests, as it takes a minute)
        >>> from c3dvis import models, responses
        >>> network = models.build("c3d-motion")
        >>> (card,) = responses.motion_cards(network, "conv2", [3])  # doctest: +SKIP
        >>> card.save("conv2-3.png")  # doctest: +SKIP
    """
    layer = layer_name(layer)
    options: dict[str, Any] = {
        "channels": channels,
        "frames": frames,
        "size": size,
        "preprocess": preprocess,
        "batch_size": batch_size,
    }
    tuning = motion_tuning(network, layer, **options)
    centre = None
    if not layer.startswith(LOGITS):
        centre = motion_tuning(network, layer, place="receptive field", **options, **_AT_CENTRE)
    factors = appearance_and_motion(network, layer, **options)
    dependence = _dependence(network, layer, strongest, preprocess, batch_size)
    return [
        MotionCard(layer, channel, tuning, centre, factors, dependence.get(channel))
        for channel in tuning.channels
    ]


def _dependence(
    network: keras.Model,
    layer: str,
    strongest: Sequence[UnitClips],
    preprocess: Callable | None,
    batch_size: int,
) -> dict[int, MotionDependence]:
    """Motion dependence by unit; a clip that several units share is computed once."""
    units = [unit for unit in strongest if len(unit.strongest) > 1]
    every = {one.name: one.clip for unit in units for one in unit.strongest}
    if not every:
        return {}
    together = motion_dependence(
        network,
        layer,
        np.stack(list(every.values())),
        channels=[unit.channel for unit in units],
        preprocess=preprocess,
        batch_size=batch_size,
    )
    rows = {name: row for row, name in enumerate(every)}
    return {
        unit.channel: together.only(unit.channel, [rows[one.name] for one in unit.strongest])
        for unit in units
    }
