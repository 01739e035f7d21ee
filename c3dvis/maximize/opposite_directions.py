"""Clips of units in a direction of motion and in the opposite one, for direction selectivity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from c3dvis import objectives
from c3dvis.checks import as_numbers
from c3dvis.maximize import defaults
from c3dvis.maximize.maximizer import Maximizer
from c3dvis.maximize.parametrizations import Fourier
from c3dvis.maximize.result import MaximizedClip
from c3dvis.objectives import Objective

__all__ = ["BothWays", "both_ways"]


@dataclass(frozen=True)
class BothWays:
    """Two clips made for a unit, which drift in a direction and in the opposite one.

    Attributes:
        direction: Direction in degrees: 0 is right, 90 up.
        along: The clip that drifts in that direction, and its score.
        against: The one that drifts in the opposite direction.
        along_backward: Score of the first one played backward, so that it drifts in the opposite
            direction.
        against_backward: The same for the second one, which then drifts in the given direction.
    """

    direction: float
    along: MaximizedClip
    against: MaximizedClip
    along_backward: float
    against_backward: float

    @property
    def selectivity(self) -> float:
        """Direction selectivity from -1 to 1: `(preferred - opposite) / (preferred + opposite)`.

        Both clips are played forward and backward, so that both directions are scored on the same
        frames: 1 responds to the direction only, 0 to both equally, below 0 more to the opposite.
        Negative scores count as 0; NaN if no score is positive.
        """
        preferred = max(self.along.score, 0) + max(self.against_backward, 0)
        opposite = max(self.against.score, 0) + max(self.along_backward, 0)
        both = preferred + opposite
        return (preferred - opposite) / both if both > 0 else float("nan")

    def __repr__(self) -> str:
        scores = f"{self.along.score:.3g} along, {self.against.score:.3g} against"
        return f"BothWays({self.direction:.0f} degrees: {scores})"


def both_ways(
    network: keras.Model,
    objective: Objective | str | int | Sequence,
    directions: Sequence[float],
    *,
    steps: int = defaults.STEPS,
    seed: int = 0,
    verbose: int = 0,
    **options: Any,
) -> list[BothWays]:
    """Clips that excite units by motion in a direction, and by motion in the opposite one.

    The two clips of a unit start as one clip played forward and backward, and are restricted to
    waves that drift within 45 degrees of their direction: see `parametrizations.Fourier`. Other
    preferences of the unit can show in both. The two scores depend partly on chance; so compare
    the directions by `BothWays.selectivity`, which also scores each clip played backward.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: As in `maximize`.
        directions: One for each unit, in degrees: 0 is right, 90 up. `responses.motion_tuning`
            measures those that units prefer.
        steps: Steps of the optimizer.
        seed: The same seed makes the same clips.
        verbose: As in `fit`.
        **options: Options of `Maximizer`, but for `parametrization` and `batch_size`.

    Returns:
        One for each unit, in order.

    Raises:
        ValueError: An unknown unit or option, another number of directions than of units, or clips
            of fewer than 3 frames.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.maximize import both_ways
        >>> (both,) = both_ways(models.build("c3d-motion"), "conv2:0", [90.0], steps=2)
        >>> both.along.clip.shape
        (16, 64, 64, 3)
    """
    objective = objectives.of(objective, network)
    degrees = as_numbers(directions)
    if len(degrees) != len(objective):
        raise ValueError(
            f"Expected a finite direction in degrees for each of the {len(objective)} units. "
            f"Received: {directions!r}."
        )
    usual = defaults.of(objective)
    waves = Fourier(**usual.fourier, colours=usual.colours, directions=(0.0, 180.0))
    maximizer = Maximizer(network, _twice(objective, 0), parametrization=waves, **options)
    results = []
    for i, direction in enumerate(degrees):
        maximizer.parametrization.turn((direction, direction + 180))
        twice = _twice(objective, i)
        along, against = maximizer.make(twice, steps=steps, seed=seed, verbose=verbose)
        turned = np.stack([along.clip[::-1], against.clip[::-1]])
        backward = map(float, maximizer.scores(turned, twice))
        results.append(BothWays(direction, along, against, *backward))
    return results


def _twice(objective: Objective, unit: int) -> Objective:
    """The objective of two clips of a unit; indexing leaves one of one clip as it is."""
    terms = ((w, t.take([unit if len(t) > 1 else 0] * 2)) for w, t in objective.terms)
    return Objective(tuple(terms))
