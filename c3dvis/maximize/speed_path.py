"""The slow/fast knob: one unit shown from near-still to as fast as it likes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from c3dvis import autodiff
from c3dvis.maximize import batching
from c3dvis.maximize.maximizer import Made, Maximizer, check_run
from c3dvis.maximize.regularizers import TemporalSmoothness
from c3dvis.objectives import Objective

__all__ = ["SlowToFast", "slow_to_fast", "temporal_energy"]

_energy = TemporalSmoothness(first=1.0)
# Of what the free clip gained: by how much a clip is outdone before it is made again.
_CLEARLY = 0.01


@dataclass(frozen=True)
class SlowToFast:
    """What `slow_to_fast` made; the first axis is that of the weights.

    Attributes:
        weights: As they were asked for.
        clips: float32 `(weights, units, T, H, W, C)` in [0, 1].
        scores: float32 `(weights, units)`, without penalty or transforms.
        energies: float32 `(weights, units)`, the clips' `temporal_energy`.
        statuses: `(weights, units)`, as in `Made`.
    """

    weights: tuple[float, ...]
    clips: np.ndarray
    scores: np.ndarray
    energies: np.ndarray
    statuses: np.ndarray


def temporal_energy(clips: np.ndarray) -> np.ndarray:
    """Mean squared difference of neighbouring frames, float32 `(N,)`.

    Args:
        clips: `(N, T, H, W, C)` in [0, 1]; where frames are black and white in turn it is 1.

    Returns:
        float32 `(N,)`, from 0 to 1.

    Example:
        >>> temporal_energy(np.array([0, 1, 0, 1.0]).reshape(1, 4, 1, 1, 1)).tolist()
        [1.0]
    """
    return np.square(np.diff(clips, axis=1), dtype=np.float32).mean(axis=(1, 2, 3, 4))


def slow_to_fast(
    network: keras.Model,
    objective: Objective,
    *,
    weights: Sequence[float] = (10.0, 3.0, 1.0, 0.3, 0.1, 0.0),
    steps: int = 128,
    seed: int = 0,
    regularizers: Sequence = (),
    **options,
) -> SlowToFast:
    """Clips of the same units under temporal penalties from heavy to none.

    A unit of a video network can like several speeds, or one, or not care; the free clip shows
    only what is strongest. Here each unit is shown with a penalty on its `temporal_energy` E,

        score(clip) - weight * (score(free) - score(start)) * E(clip) / E(free),

    where "free" is the clip without it. So a weight is a share: of what the free clip gained, so
    much is paid for moving as the free clip does. It means the same for every unit, layer and
    network, and the best clip at a weight loses at most that share of the gain. (Feichtenhofer et
    al. 2018, https://arxiv.org/abs/1801.01415, and 2020,
    https://doi.org/10.1007/s11263-019-01225-w, set a weight of temporal variation by hand.)

    All clips of a unit have the same start and transforms, so what differs between them is the
    weight's doing. Where a clip is outdone at its own weight by that of the next one, it is made
    again from there: so what a weight costs is at most its share, as far as the search finds it.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to raise; all units are shown at all weights.
        weights: Shares, 0 or more, in any order; 0 is the clip that `maximize` makes, unless a
            better one is found on the way.
        steps: Steps of the optimizer for each clip.
        seed: The same seed makes the same clips, whatever units are made beside them.
        regularizers: Functions of clips that give penalties, besides the temporal one.
        **options: Those of `Maximizer`.

    Returns:
        The clips, their scores and temporal energies. One trace serves all weights.

    Raises:
        ValueError: No weights, one below 0, clips of one frame, or what `Maximizer` refuses.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import slow_to_fast
        >>> network = models.build("c3d-motion")
        >>> made = slow_to_fast(network, objectives.channel("conv1", 0), weights=(1, 0), steps=2)
        >>> made.clips.shape, made.scores.shape
        ((2, 1, 16, 64, 64, 3), (2, 1))
    """
    weights = tuple(float(weight) for weight in weights)
    if not weights or not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(f"Expected weights of 0 or more. Received: {weights}.")
    check_run(steps, seed)
    price = _Price()
    maximizer = Maximizer(network, objective, regularizers=[*regularizers, price], **options)
    clips_shape = maximizer.parametrization.clips_shape
    if clips_shape[1] < 2:
        raise ValueError(f"Expected clips of 2 frames or more. Received: {clips_shape[1]}.")
    price.build(clips_shape)
    try:
        batches = [
            _at_all_weights(_Batch(maximizer, price, part, steps=steps, seed=seed), weights)
            for part in _groups(objective, maximizer.batch_size)
        ]
    except Exception as error:
        least = maximizer.joint or maximizer.batch_size <= maximizer.least
        if least or not batching.is_out_of_memory(error):
            raise
        return slow_to_fast(
            network,
            objective,
            weights=weights,
            steps=steps,
            seed=seed,
            regularizers=regularizers,
            **{**options, "batch_size": maximizer.batch_size // 2},
        )
    return _collected(weights, batches)


def _collected(weights: tuple[float, ...], batches: list[list[list[Made]]]) -> SlowToFast:
    """Batches of weights of units to weights of all units."""
    made = [[one for batch in batches for one in batch[i]] for i in range(len(weights))]
    clips = np.stack([[one.clip for one in row] for row in made])
    return SlowToFast(
        weights=weights,
        clips=clips,
        scores=np.array([[one.score for one in row] for row in made], np.float32),
        energies=np.stack([temporal_energy(row) for row in clips]),
        statuses=np.array([[one.status for one in row] for row in made]),
    )


class _Price(keras.layers.Layer):
    """A penalty on temporal energy, with a price a clip that changes without a new trace."""

    def __init__(self):
        super().__init__(dtype="float32")

    def build(self, clips_shape):
        self.price = self.add_weight(
            shape=(clips_shape[0],), initializer="zeros", trainable=False, name="price"
        )

    def call(self, clips):
        return self.price * _energy(clips)

    def set(self, prices: np.ndarray) -> None:
        # As the maximizer fills a batch: units over again.
        self.price.assign(np.resize(prices, self.price.shape))


def _groups(objective: Objective, size: int) -> Iterator[Objective]:
    for first in range(0, len(objective), size):
        yield objective[first : first + size]


class _Batch:
    """One batch of units, its clips at each weight, and what is needed to go on from them."""

    def __init__(
        self, maximizer: Maximizer, price: _Price, part: Objective, *, steps: int, seed: int
    ):
        self.maximizer, self.price, self.part = maximizer, price, part
        self.steps, self.seed = steps, seed
        self.made: dict[float, list[Made]] = {}
        self.parts: dict[float, list[np.ndarray]] = {}
        start = maximizer.results(maximizer.restart(part, seed=seed))
        self.worth = np.zeros(len(part))
        self.make(0.0)
        free = self.made[0.0]
        # A unit that stands still by itself is compared with the start, which does not; one that
        # gained nothing has nothing to pay with.
        gained = np.array([f.score - s.score for f, s in zip(free, start, strict=True)])
        self.gained = np.maximum(gained, 0)
        energy = np.maximum(_energies(free), _energies(start))
        paying = (energy > 0) & (gained > 0)
        self.worth = np.where(paying, gained / np.where(paying, energy, 1), 0)

    def make(self, weight: float) -> None:
        """Clips at one weight, from the start."""
        if weight not in self.made:
            self.made[weight], self.parts[weight] = self._run(weight)

    def improve(self, weight: float, neighbour: float) -> None:
        """Makes those clips again that the neighbour's outdo at their own weight, starting there.

        So no unit is shown by a poor clip where a better one is known. It is done where the
        energies are in the wrong order, which is only where one of the two clips is outdone (if
        each is the better at its own weight, the heavier weight's has less energy), and where the
        heavier weight's clip is clearly outdone.
        """
        light, heavy = sorted((weight, neighbour))
        wrong = _energies(self.made[heavy]) >= _energies(self.made[light])
        lead = self._net(neighbour, weight) - self._net(weight, weight)
        rows = (lead > 0) & (wrong | ((weight == heavy) & (lead > _CLEARLY * self.gained)))
        if not rows.any() or self.maximizer.joint:
            return
        made, parts = self._run(weight, start=self.parts[neighbour])
        rows &= _net(made, weight * self.worth) > self._net(weight, weight)
        for i in np.flatnonzero(rows):
            # Whether a gradient has moved it is told from its first start, not from the second.
            status = made[i].status
            status = self.made[neighbour][i].status if status == "no gradient" else status
            self.made[weight][i] = replace(made[i], status=status)
            for old, new in zip(self.parts[weight], parts, strict=True):
                old[i] = new[i]

    def _net(self, made_at: float, weight: float) -> np.ndarray:
        return _net(self.made[made_at], weight * self.worth)

    def _run(
        self, weight: float, *, start: list[np.ndarray] | None = None
    ) -> tuple[list[Made], list[np.ndarray]]:
        """Clips and their weights, from their own start or another."""
        parts = self.maximizer.parametrization.parts
        columns = self.maximizer.restart(self.part, seed=self.seed)
        if start is not None:
            for part, other in zip(parts, start, strict=True):
                part.assign(other)
        self.price.set(weight * self.worth)
        rows = self.maximizer.steps_of(columns, self.steps, seed=self.seed)
        size = self.maximizer.batch_size
        autodiff.fit(self.maximizer, rows, batch_size=size, verbose=0)
        made = self.maximizer.results(columns)
        return made, [np.array(ops.convert_to_numpy(part)) for part in parts]


def _at_all_weights(batch: _Batch, weights: Sequence[float]) -> list[list[Made]]:
    for weight in weights:
        batch.make(weight)
    rising = sorted(batch.made)
    for heavy, light in reversed(list(zip(rising[1:], rising, strict=False))):
        batch.improve(light, heavy)
    for light, heavy in zip(rising, rising[1:], strict=False):
        batch.improve(heavy, light)
    return [batch.made[weight] for weight in weights]


def _energies(made: Sequence[Made]) -> np.ndarray:
    return temporal_energy(np.stack([one.clip for one in made]))


def _net(made: Sequence[Made], price: np.ndarray) -> np.ndarray:
    """Scores less what the clips pay for their energy."""
    return np.array([one.score for one in made]) - price * _energies(made)
