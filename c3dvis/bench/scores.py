"""Pointing and tube IoU of heatmap functions on verified clips, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras

from c3dvis.attribution import metrics
from c3dvis.bench.evidence import verified_clips
from c3dvis.bench.functions import Heatmap
from c3dvis.bench.shapes import MovingShapes
from c3dvis.checks import whole
from c3dvis.intervals import Interval
from c3dvis.motion import HELD_OUT_SEED, MovingEvidence
from c3dvis.text import table, unknown

WORLDS = {"discs": MovingEvidence, "shapes": MovingShapes}
METRICS = {"pointing": metrics.pointing_game, "tube IoU": metrics.tube_iou}


@dataclass(frozen=True)
class WorldScores:
    """Scores of heatmap functions on the clips of one world.

    Attributes:
        looked_at: Number of clips that were generated.
        right: Number of them that the network classifies correctly.
        verified: Number of them that it decides by their evidence, which are scored.
        scores: Values by function and metric, one for each verified clip.
    """

    looked_at: int
    right: int
    verified: int
    scores: Mapping[str, Mapping[str, Sequence[float]]]

    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Means with their 95 % intervals by bootstrap over clips."""
        return {
            name: {metric: metrics.bootstrap(values) for metric, values in one.items()}
            for name, one in self.scores.items()
        }


def score(
    network: keras.Model,
    functions: Mapping[str, Heatmap],
    *,
    world: str = "discs",
    clips: int = 30,
) -> WorldScores:
    """Scores heatmap functions on clips that a network is verified to decide by their evidence.

    Args:
        network: Takes clips `(N, 16, 64, 64, 3)`, and ends in the classes of `c3dvis.motion`.
        functions: Functions of the network, a clip and the index of its class, by name.
        world: "discs" or "shapes": the generator of the clips, on seeds that no network was
            trained on.
        clips: Number of verified clips, 2 or more; up to 20 times as many are generated.

    Returns:
        Pointing (the share of the evidence's frames whose hottest pixel lies on it) and tube IoU of
        each function, and the number of clips.

    Raises:
        ValueError: Functions without names, an unknown world, fewer than 2 clips, requested or
            verified; or a function that gives no heatmap.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.bench.functions import heatmaps_of
        >>> functions = heatmaps_of(["random map"])
        >>> score(models.build("c3d-motion"), functions, clips=2).verified
        2
    """
    if not isinstance(functions, Mapping):
        raise ValueError(
            "Expected a dictionary of functions by name, such as {'mine': heatmap}. "
            f"Received: {type(functions).__name__}."
        )
    for name, function in functions.items():
        if not callable(function):
            raise ValueError(f"Expected {name!r} to be a function. Received: {function!r:.100}.")
    if world not in WORLDS:
        raise unknown("a world", world, WORLDS)
    clips = whole(clips, "clips", 2)
    evidence = verified_clips(network, WORLDS[world](seed=HELD_OUT_SEED), clips)
    looked_at, right = len(evidence.verdicts), sum(v.right for v in evidence.verdicts)
    if len(evidence.clips) < 2:
        raise ValueError(
            "Expected a network that decides two clips or more by their evidence. Received: one "
            f"that does so on {len(evidence.clips)} of {looked_at}, and knows {right}."
        )
    values: dict[str, dict[str, list[float]]]
    values = {name: {metric: [] for metric in METRICS} for name in functions}
    for known in evidence.clips:
        for name, function in functions.items():
            heat = function(network, known.clip, known.label)
            for metric, of in METRICS.items():
                values[name][metric].append(of(heat, known.mask))
    return WorldScores(looked_at, right, len(evidence.clips), values)


def markdown(world: str, scored: WorldScores) -> str:
    """A Markdown table of one world's scores, under a line on its clips."""
    rows = [
        [name, *(f"{i.mean:.2f} [{i.low:.2f}, {i.high:.2f}]" for i in one.values())]
        for name, one in scored.intervals().items()
    ]
    line = (
        f"{world}: {scored.verified} verified clips of {scored.looked_at}, of which the network "
        f"knows {scored.right}"
    )
    return f"{line}\n\n{table(('heatmap', *METRICS), rows)}"


def as_json(scored: WorldScores) -> dict:
    """The same for JSON: means and both ends of their intervals."""
    entry = {name: getattr(scored, name) for name in ("looked_at", "right", "verified")}
    return entry | {
        "scores": {
            name: {metric: list(interval) for metric, interval in one.items()}
            for name, one in scored.intervals().items()
        }
    }
