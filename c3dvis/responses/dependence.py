"""How much of a unit's response to clips is due to their motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips as clips_room
from c3dvis.clips.frame_orders import CHANGES, frame_orders
from c3dvis.intervals import Interval, bootstrap
from c3dvis.models.held_inputs import one_input
from c3dvis.responses.unit_responses import UnitResponses, row_of
from c3dvis.text import unknown

__all__ = ["MotionDependence", "motion_dependence"]


@dataclass(frozen=True, eq=False)
class MotionDependence:
    """Responses of some units to clips, and to the same clips without their motion.

    Attributes:
        layer: Name of the layer.
        channels: Index of each of the C units.
        original: float32 `(C, N)`, responses to the clips.
        changed: float32 `(C, N)` for each change: "freeze", one frame throughout; "shuffle", the
            frames in random order; "reverse", from the last to the first. The first two are means
            over several frames and orders.
    """

    layer: str
    channels: tuple[int, ...]
    original: NDArray[np.float32]
    changed: Mapping[str, NDArray[np.float32]]

    def __repr__(self) -> str:
        units, clips = self.original.shape
        return f"MotionDependence({self.layer!r}, {units} units, {clips} clips)"

    def only(self, channel: int, clips: Sequence[int]) -> MotionDependence:
        """The same of one unit and of some of the clips, by their numbers."""
        unit, rows = row_of(channel, self.channels), list(clips)
        changed = {change: values[[unit]][:, rows] for change, values in self.changed.items()}
        original = self.original[[unit]][:, rows]
        return MotionDependence(self.layer, (channel,), original, changed)

    def index(self, channel: int, change: str = "freeze") -> Interval:
        """`1 - mean(changed) / mean(original)`, with its 95 % bootstrap interval over the clips.

        1 means that nothing is left without the motion (or order), 0 that nothing is lost. Below 0:
        the unit responds more without it. NaN where the unit does not respond to the clips.

        Raises:
            ValueError: An unknown unit or change.
        """
        if change not in self.changed:
            raise unknown("a change", change, self.changed)
        unit = row_of(channel, self.channels)
        original, changed = self.original[unit], self.changed[change][unit]
        mean = original.mean(dtype=np.float64)
        if not mean > 0:
            return Interval(float("nan"), float("nan"), float("nan"))
        return bootstrap((original - changed) / mean)


def motion_dependence(
    network: keras.Model,
    layer: str,
    clips: Iterable[ArrayLike],
    *,
    channels: Sequence[int] | int | None = None,
    draws: int = 4,
    seed: int = 0,
    preprocess: Callable | None = None,
    batch_size: int = 8,
) -> MotionDependence:
    """What freezing, shuffling and reversing clips does to the units of a layer.

    Use a unit's own strongest clips, such as those of `responses.sweep`: without a response there
    is nothing to lose.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        layer: Name of a layer, or the Keras layer itself.
        clips: `(N, T, H, W, C)` in [0, 1], two or more, of two frames or more.
        channels: Indices of the units, or one index; None means all.
        draws: Number of frozen frames, spread evenly, and of random orders.
        seed: Seed of the random orders, the same for all clips.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Raises:
        ValueError: Clips that the network does not take, or an unknown layer or unit.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> clips = MovingEvidence(seed=1).batch(0, 4).clips
        >>> network = models.build("c3d-motion")
        >>> dependence = responses.motion_dependence(network, "conv4b", clips, channels=[0])
        >>> sorted(dependence.changed)
        ['freeze', 'reverse', 'shuffle']
    """
    network = one_input(network, scaled=preprocess is None)
    own = tuple(network.inputs[0].shape[1:])
    checked = [clips_room.check(clip, own) for clip in clips]
    frames = len(checked[0]) if checked else 0
    if len(checked) < 2 or frames < 2 or draws < 1:
        raise ValueError(
            "Expected two clips or more, of two frames or more, and 1 draw or more. "
            f"Received: {len(checked)} clips of {frames} frames, draws={draws}."
        )
    scores = UnitResponses(network, layer, preprocess=preprocess, batch_size=batch_size)
    units = scores.units(channels)
    orders = {change: frame_orders(change, frames, draws=draws, seed=seed) for change in CHANGES}

    def responses(order: NDArray[np.intp]) -> NDArray[np.float32]:
        return scores(clip[order] for clip in checked)[:, units].T

    return MotionDependence(
        layer=scores.layer,
        channels=tuple(units),
        original=responses(np.arange(frames)),
        changed={
            change: np.mean([responses(order) for order in each], axis=0)
            for change, each in orders.items()
        },
    )
