"""Clips of one unit under a range of temporal-smoothness penalties."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from c3dvis import objectives
from c3dvis.checks import as_numbers
from c3dvis.clips import showing
from c3dvis.maximize import arguments, run
from c3dvis.maximize.defaults import STEPS
from c3dvis.maximize.maximizer import Maximizer
from c3dvis.maximize.regularizers import TemporalSmoothness
from c3dvis.maximize.result import MaximizedClip
from c3dvis.objectives import Objective
from c3dvis.text import counted

__all__ = ["SlowToFast", "slow_to_fast", "temporal_energy"]

# Lead, as a share of the unregularized clip's gain, at which a clip counts as clearly dominated.
_CLEAR_LEAD = 0.01


@dataclass(frozen=True)
class SlowToFast:
    """Clips of all units at all weights; the first axis is that of the weights.

    Attributes:
        weights: The given weights.
        clips: float32 `(weights, units, T, H, W, C)` in [0, 1].
        scores: float32 `(weights, units)`, without penalty or transforms.
        energies: float32 `(weights, units)`, the clips' `temporal_energy`.
        statuses: `(weights, units)`, as in `MaximizedClip`.
    """

    weights: tuple[float, ...]
    clips: np.ndarray
    scores: np.ndarray
    energies: np.ndarray
    statuses: np.ndarray

    def __repr__(self) -> str:
        weights, units = self.scores.shape
        shown = f"{counted(units, 'unit')} at {counted(weights, 'weight')}"
        return f"SlowToFast({shown}, clips {self.clips.shape[2:]})"

    def _repr_html_(self) -> str:
        weights, units = self.scores.shape
        pairs = [(i, j) for j in range(units) for i in range(weights)]
        captions = [
            f"unit {j}, weight {self.weights[i]:g}: score {self.scores[i, j]:.3g}" for i, j in pairs
        ]
        return showing.row([self.clips[pair] for pair in pairs], captions)


def temporal_energy(clips: np.ndarray) -> np.ndarray:
    """Mean squared difference of neighbouring frames, float32 `(N,)`.

    Args:
        clips: `(N, T, H, W, C)` in [0, 1]; it is 1 if frames alternate between black and white.

    Returns:
        float32 `(N,)`, from 0 to 1.

    Example:
        >>> temporal_energy(np.array([0, 1, 0, 1.0]).reshape(1, 4, 1, 1, 1)).tolist()
        [1.0]
    """
    return np.square(np.diff(clips, axis=1), dtype=np.float32).mean(axis=(1, 2, 3, 4))


def slow_to_fast(
    network: keras.Model,
    objective: Objective | str | int | Sequence,
    *,
    weights: Sequence[float] = (10.0, 3.0, 1.0, 0.3, 0.1, 0.0),
    steps: int = STEPS,
    seed: int = 0,
    regularizers: Sequence | None = None,
    **options,
) -> SlowToFast:
    """Clips of the same units under temporal penalties from heavy to none.

    A unit of a video network can prefer several speeds, one, or none; the unregularized clip shows
    only what is strongest. Here each unit is shown with a penalty on its `temporal_energy` E,

        score(clip) - weight * (score(free) - score(start)) * E(clip) / E(free),

    where "free" is the unregularized clip. So a weight is a share: at the energy of the
    unregularized clip, the penalty is that share of what it gained. It means the same for every
    unit, layer and network, and the best clip at a weight loses at most that share of the gain.
    (Feichtenhofer et al. 2018, https://arxiv.org/abs/1801.01415, and 2020,
    https://doi.org/10.1007/s11263-019-01225-w, set a weight of temporal variation by hand.)

    All clips of a unit have the same start and transforms, so they differ by the weight alone.
    Where the clip of the next weight has the higher regularized score, a clip is optimized again
    from there: so a weight costs at most its share, as far as the search finds it.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to maximize, as in `maximize`; all units are shown at all weights.
        weights: Shares, 0 or more, in any order; 0 is the clip of `maximize`, unless a better one
            is found on the way.
        steps: Steps of the optimizer for each clip.
        seed: The same seed makes the same clips, whatever other units are in the batch.
        regularizers: Functions of clips that return penalties, besides the temporal one; None means
            none.
        **options: Options of `Maximizer`.

    Returns:
        The clips, their scores and temporal energies. One trace serves all weights.

    Raises:
        ValueError: No weights, one below 0, clips of one frame, or what `Maximizer` refuses.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import slow_to_fast
        >>> network = models.build("c3d-motion")
        >>> path = slow_to_fast(network, objectives.channel("conv1", 0), weights=(1, 0), steps=2)
        >>> path.clips.shape, path.scores.shape
        ((2, 1, 16, 64, 64, 3), (2, 1))
    """
    given, weights = weights, as_numbers(weights)
    if not weights or min(weights) < 0:
        raise ValueError(f"Expected finite weights of 0 or more. Received: {given!r}.")
    run.check(steps, seed)
    arguments.check_options(options, Maximizer.__init__, slow_to_fast)
    objective = objectives.of(objective, network)
    penalty = _TemporalPenalty()
    penalties: list[Callable] = [*arguments.several_regularizers(regularizers), penalty]
    maximizer = Maximizer(network, objective, regularizers=penalties, **options)
    frames = maximizer.clip_shape[0]
    if frames < 2:
        raise ValueError(f"Expected clips of 2 frames or more. Received: {frames}.")

    def at_all_weights(units: slice) -> list[list[MaximizedClip]]:
        return _Batch(maximizer, penalty, objective[units], steps=steps, seed=seed).at(weights)

    units = run.in_batches(maximizer, len(objective), at_all_weights)
    rows = list(zip(*units, strict=True))
    clips = np.stack([[each.clip for each in row] for row in rows])
    return SlowToFast(
        weights=weights,
        clips=clips,
        scores=np.array([[each.score for each in row] for row in rows], np.float32),
        energies=np.stack([temporal_energy(row) for row in clips]),
        statuses=np.array([[each.status for each in row] for row in rows]),
    )


class _TemporalPenalty(keras.layers.Layer):
    """A penalty on temporal energy, whose weight for each clip changes without a new trace."""

    def __init__(self):
        super().__init__(dtype="float32")
        # Keras lets no layer that it has built itself replace a weight.
        self.built = True
        self.weight = self._zeros(1)

    def call(self, clips):
        return self.weight * TemporalSmoothness(first=1.0)(clips)

    def set_clip_weights(self, weights: np.ndarray, batch_size: int) -> None:
        """Sets weights `(units,)` for a batch, which a maximizer fills up by repeating units."""
        if self.weight.shape != (batch_size,):
            del self.weight
            self.weight = self._zeros(batch_size)
        self.weight.assign(np.resize(weights, batch_size))

    def _zeros(self, size: int) -> keras.Variable:
        return self.add_weight(shape=(size,), initializer="zeros", trainable=False, name="weight")


class _Batch:
    """One batch of units: its clips at each weight, and their latents to go on from.

    Attributes:
        clips: By weight, the clips of all units.
        latents: By weight, those of the clips.
        gains: Scores of the unregularized clips less those of the start, `(units,)`, 0 or more.
        scale: What a weight of 1 costs at an energy of 1, `(units,)`.
    """

    def __init__(
        self,
        maximizer: Maximizer,
        penalty: _TemporalPenalty,
        units: Objective,
        *,
        steps: int,
        seed: int,
    ):
        self.maximizer, self.penalty, self.units = maximizer, penalty, units
        self.steps, self.seed = steps, seed
        self.clips: dict[float, list[MaximizedClip]] = {}
        self.latents: dict[float, list[np.ndarray]] = {}
        start = maximizer.results(maximizer.restart(units, seed=seed))
        self.scale = np.zeros(len(units))
        self.make(0.0)
        free = self.clips[0.0]
        gains = np.array([f.score - s.score for f, s in zip(free, start, strict=True)])
        self.gains = np.maximum(gains, 0)
        # A unit that stands still by itself is compared with the start, which does not; where
        # nothing was gained, there is nothing to take a share of.
        energies = np.maximum(_energies(free), _energies(start))
        scaled = (energies > 0) & (gains > 0)
        self.scale = np.where(scaled, gains / np.where(scaled, energies, 1), 0)

    def at(self, weights: Sequence[float]) -> list[list[MaximizedClip]]:
        """For each unit its clips at all weights, of which none is dominated by a neighbour."""
        for weight in weights:
            self.make(weight)
        neighbours = list(itertools.pairwise(sorted(self.clips)))
        for light, heavy in reversed(neighbours):
            self.improve(light, heavy)
        for light, heavy in neighbours:
            self.improve(heavy, light)
        return [[self.clips[weight][i] for weight in weights] for i in range(len(self.units))]

    def make(self, weight: float) -> None:
        """Clips at one weight, from the start."""
        if weight not in self.clips:
            self.clips[weight], self.latents[weight] = self._run(weight)

    def improve(self, weight: float, neighbour: float) -> None:
        """Optimizes the clips at a weight again, from the neighbour's, where these dominate them.

        So no unit is shown by a poor clip where a better one is known. It is done where the
        energies are in the wrong order, which is only where one of the two clips is dominated (if
        each is the better at its own weight, the heavier weight's has less energy), and where the
        heavier weight's clip is clearly dominated.
        """
        light, heavy = sorted((weight, neighbour))
        wrong = _energies(self.clips[heavy]) >= _energies(self.clips[light])
        own = self._regularized_scores(self.clips[weight], weight)
        lead = self._regularized_scores(self.clips[neighbour], weight) - own
        rows = (lead > 0) & (wrong | ((weight == heavy) & (lead > _CLEAR_LEAD * self.gains)))
        if not rows.any() or self.maximizer.batchwise:
            return
        clips, latents = self._run(weight, start=self.latents[neighbour])
        rows &= self._regularized_scores(clips, weight) > own
        for i in np.flatnonzero(rows):
            # Whether a gradient has moved a clip shows from its first start, not from the second.
            status = clips[i].status
            status = self.clips[neighbour][i].status if status == "no gradient" else status
            self.clips[weight][i] = replace(clips[i], status=status)
            for old, new in zip(self.latents[weight], latents, strict=True):
                old[i] = new[i]

    def _regularized_scores(self, clips: Sequence[MaximizedClip], weight: float) -> np.ndarray:
        """Scores less the temporal penalty of a weight, `(units,)`."""
        penalties = weight * self.scale * _energies(clips)
        return np.array([each.score for each in clips]) - penalties

    def _run(
        self, weight: float, *, start: list[np.ndarray] | None = None
    ) -> tuple[list[MaximizedClip], list[np.ndarray]]:
        """Clips and their latents, from their own start or another."""
        unit_indices = self.maximizer.restart(self.units, seed=self.seed)
        latents = self.maximizer.latents
        if start is not None:
            for latent, other in zip(latents, start, strict=True):
                latent.assign(other)
        self.penalty.set_clip_weights(weight * self.scale, self.maximizer.batch_size)
        clips = self.maximizer.optimize(unit_indices, self.steps, seed=self.seed)
        return clips, [np.array(ops.convert_to_numpy(latent)) for latent in latents]


def _energies(clips: Sequence[MaximizedClip]) -> np.ndarray:
    return temporal_energy(np.stack([each.clip for each in clips]))
