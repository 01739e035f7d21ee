"""Whether an explanation of a unit identifies which of two unseen clips excites it more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips as clips_room
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives.terms import layer_name
from c3dvis.responses.mis_tasks import Task, TaskSampler
from c3dvis.responses.similarity import FeatureSpace
from c3dvis.responses.sweep_result import Sweep
from c3dvis.responses.unit_responses import UnitResponses, checked_units, row_of
from c3dvis.text import unknown

__all__ = ["EXPLANATIONS", "VideoMIS", "video_mis"]

EXPLANATIONS = ("synthetic", "top", "both", "random")
"""What explains a unit: synthetic clips, strongest and weakest real ones, both; any real ones."""


@dataclass(frozen=True, eq=False)
class VideoMIS:
    """How well one kind of explanation shows what excites the units of a layer.

    Attributes:
        layer: Name of the layer.
        channels: Index of each of the C units.
        explanation: One of `EXPLANATIONS`.
        margins: float32 `(C, tasks)`: how much more similar the strong clip of a task is to the
            explanation than the weak one. NaN for units that respond equally to all clips.
        alpha: Steepness of the sigmoid over margins; None counts those above 0.
    """

    layer: str
    channels: tuple[int, ...]
    explanation: str
    margins: NDArray[np.float32]
    alpha: float | None = None

    def __repr__(self) -> str:
        return (
            f"VideoMIS({self.layer!r}, {len(self.channels)} units, {self.explanation}: "
            f"{np.nanmean(self.scores) if np.isfinite(self.margins).any() else np.nan:.2f})"
        )

    @property
    def scores(self) -> NDArray[np.float32]:
        """`(C,)`, from 0 to 1, 0.5 being chance: the mean over the tasks of each unit."""
        if self.alpha is None:
            right = np.where(np.isnan(self.margins), np.nan, (np.sign(self.margins) + 1) / 2)
        else:
            right = 1 / (1 + np.exp(-self.alpha * self.margins))
        return right.mean(axis=1).astype(np.float32)

    def sentence(self, channel: int) -> str:
        """What the score of a unit means, in words."""
        score = float(self.scores[row_of(channel, self.channels)])
        if np.isnan(score):
            return "The unit responds equally to all clips, so it cannot be tested."
        explained, tasks = _IN_WORDS[self.explanation], self.margins.shape[1]
        if self.alpha is not None:
            return f"{explained} score {score:.2f} in {tasks} tasks; chance is 0.5."
        return (
            f"{explained} identify the right one of two unseen clips in {score:.0%} of {tasks} "
            "tasks; chance is 50%."
        )


_IN_WORDS = {
    "synthetic": "The synthetic clips",
    "top": "The unit's strongest and weakest real clips",
    "both": "The synthetic clips and the strongest and weakest real ones",
    "random": "Real clips picked at random",
}


def video_mis(
    network: keras.Model | Sweep,
    layer: str,
    clips: Iterable[ArrayLike],
    *,
    channels: Sequence[int] | int | None = None,
    explanation: str | None = None,
    synthetic: ArrayLike | None = None,
    against: ArrayLike | None = None,
    films: Sequence[object] | None = None,
    similarity: Callable | FeatureSpace | None = None,
    share: float = 0.1,
    references: int | None = None,
    tasks: int = 200,
    alpha: float | None = None,
    seed: int = 0,
    preprocess: Callable | None = None,
    batch_size: int = 8,
) -> VideoMIS:
    """The machine interpretability score of units, with clips (Zimmermann, Klindt, Brendel 2024).

    A task shows a clip that excites the unit strongly and one that does so weakly, and what
    explains the unit: clips for it, `E+`, and clips against it, `E-`. Each of the two is compared
    with the explanation, `d(q) = mean similarity(q, E+) - mean similarity(q, E-)`, and the margin
    is `d(strong) - d(weak)`. The score is the mean over tasks of `sigmoid(alpha * margin)`; the
    paper fitted alpha to people's answers about images, which do not exist for clips, so that the
    share of tasks with a margin above 0 is the score where no alpha is given. The paper compares
    images by DreamSim, a trained network; here it is a fixed bank of features of motion, form and
    colour, `clip_features`. https://openreview.net/forum?id=oYyEsVz6DX

    Args:
        network: Keras model that takes clips `(N, T, H, W, 3)` in [0, 1]; or a sweep of it over
            these clips, whose scores are then used.
        layer: Name of a layer, or the Keras layer itself.
        clips: Real clips `(N, T, H, W, 3)` in [0, 1].
        channels: Indices of the units, or one index; None means all.
        explanation: One of `EXPLANATIONS`; None means "synthetic" where such clips are given, else
            "top".
        synthetic: Clips that excite the units, `(C, T, H, W, 3)`, or several each, `(C, K, ...)`.
        against: Clips that excite the units least, of the same shape; None takes the clips made for
            the other units in their place, since all synthetic clips have a look in common.
        films: The film of each clip: no task explains a clip by its own film. None
            is the sources of the sweep, or that each clip is a film.
        similarity: How clips are compared: a `FeatureSpace` of the clips, such as one of another
            network's layer; or a function of two clips that returns a number, larger for more
            similar clips. None means the space of `clip_features`.
        share: Share of the clips that count as strong, and as weak.
        references: Real clips on each side of an explanation; None means 9, as in the paper, or
            half of the strong clips where these are fewer than 18.
        tasks: Number of tasks per unit.
        alpha: Steepness of the sigmoid over margins.
        seed: Seed of the tasks, which do not depend on the explanation.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Raises:
        ValueError: Clips, units or settings that do not fit, or too few clips.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> clips = MovingEvidence(seed=1).batch(0, 20).clips
        >>> network = models.build("c3d-motion")
        >>> mis = responses.video_mis(network, "conv2", clips, channels=[0, 1])
        >>> mis.margins.shape
        (2, 200)
    """
    kind = ("top" if synthetic is None else "synthetic") if explanation is None else explanation
    if kind not in EXPLANATIONS:
        raise unknown("an explanation", kind, EXPLANATIONS)
    if not 0 < share <= 0.5 or tasks < 1 or not (alpha is None or alpha > 0):
        raise ValueError(
            "Expected a share above 0 and up to 0.5, 1 task or more and alpha above 0. "
            f"Received: share={share}, tasks={tasks}, alpha={alpha}."
        )
    layer = layer_name(layer)
    real = [clips_room.check(clip) for clip in clips]
    scores, units, sources = _scores(network, layer, real, channels, films, preprocess, batch_size)
    strong = int(share * len(real))
    shown = min(9, strong // 2) if references is None else references
    if not 1 <= shown < strong:
        raise ValueError(
            "Expected 1 reference or more, and more strong clips than references. "
            f"Received: {shown} references, {strong} strong clips ({share:g} of {len(real)})."
        )
    compare = _Comparison(real, similarity)
    evidence = _evidence_of_synthetic(kind, synthetic, against, units, compare)
    margins = np.full((len(units), tasks), np.nan, np.float32)
    for i, unit in enumerate(units):
        sampler = TaskSampler(strong, shown, sources, np.random.default_rng([seed, unit]))
        for number, task in enumerate(sampler.tasks(scores[:, i], tasks)):
            margins[i, number] = _margin(task, kind, evidence[i], compare.real)
    return VideoMIS(layer, tuple(units), kind, margins, alpha)


def _scores(network, layer, real, channels, films, preprocess, batch_size):
    """Scores `(N, C)` of the units, the units, and the number of each clip's film."""
    if isinstance(network, Sweep):
        every = np.asarray(network[layer].scores, np.float32)
        films = network.sources if films is None else films
        units = checked_units(layer, every.shape[1], channels)
    else:
        network = one_input(network, scaled=preprocess is None)
        responses = UnitResponses(network, layer, preprocess=preprocess, batch_size=batch_size)
        units = responses.units(channels)
        own = tuple(network.inputs[0].shape[1:])
        if preprocess is None:
            real = [clips_room.check(clip, own) for clip in real]
        every = responses(real) if real else np.zeros((0, responses.count), np.float32)
    names = range(len(real)) if films is None else list(films)
    if not len(every) == len(real) == len(names) or not real:
        raise ValueError(
            "Expected clips, a film of each and, of a sweep, a score of each. "
            f"Received: {len(real)} clips, {len(names)} films, {len(every)} scores."
        )
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return every[:, units], units, np.array([numbers[name] for name in names])


class _Comparison:
    """How similar the real clips are to each other, and to synthetic ones."""

    def __init__(self, real, similarity):
        self._real = real
        self._similarity = FeatureSpace(real) if similarity is None else similarity
        if isinstance(self._similarity, FeatureSpace):
            known = self._similarity.known
            if len(known) != len(real):
                raise ValueError(
                    f"Expected a space of the {len(real)} clips. Received: one of {len(known)}."
                )
            self.real = known @ known.T
            return
        self.real = np.zeros((len(real), len(real)), np.float32)
        for i, j in zip(*np.triu_indices(len(real)), strict=True):
            self.real[i, j] = self.real[j, i] = self._similarity(real[i], real[j])

    def to(self, synthetic) -> NDArray[np.float32]:
        """`(N,)`: of each real clip, the mean over synthetic ones."""
        if isinstance(self._similarity, FeatureSpace):
            return (self._similarity.known @ self._similarity(synthetic).T).mean(axis=1)
        pairs = [[self._similarity(clip, one) for one in synthetic] for clip in self._real]
        return np.mean(pairs, axis=1)


def _evidence_of_synthetic(kind, synthetic, against, units, compare):
    """`(C, N)`: how much more similar real clips are to the clips for a unit than against it."""
    evidence = np.zeros((len(units), len(compare.real)), np.float32)
    if kind not in ("synthetic", "both"):
        return evidence
    if synthetic is None:
        raise ValueError(f"Expected synthetic clips to explain by {kind!r}. Received: none.")
    for sign, given in ((1, synthetic), (-1, against)):
        if given is None:
            continue
        each = np.asarray(given, np.float32)
        several = each[:, None] if each.ndim == 5 else each
        if several.ndim != 6 or len(several) != len(units):
            raise ValueError(
                "Expected synthetic clips (C, T, H, W, 3) or (C, K, T, H, W, 3) of "
                f"{len(units)} units. "
                f"Received: shape {each.shape}."
            )
        for row, clips_of_unit in zip(evidence, several, strict=True):
            row += sign * compare.to([clips_room.check(clip) for clip in clips_of_unit])
    if against is None and len(units) > 1:
        others = (evidence.sum(axis=0) - evidence) / (len(units) - 1)
        evidence = evidence - others
    return evidence


def _margin(task: Task, kind: str, synthetic: NDArray, real: NDArray) -> float:
    """How much more similar the strong clip of a task is to the explanation than the weak one.

    Args:
        task: The clips of it.
        kind: What explains the unit.
        synthetic: `(N,)`, similarity of each real clip to the synthetic clips.
        real: `(N, N)`, similarity of real clips.
    """
    evidence = np.zeros(2)
    if kind in ("synthetic", "both"):
        evidence = evidence + synthetic[task.pair]
    if kind != "synthetic":
        pair = (task.some, task.others) if kind == "random" else (task.strongest, task.weakest)
        positive, negative = (real[np.ix_(task.pair, each)].mean(axis=1) for each in pair)
        evidence = evidence + positive - negative
    return float(evidence[0] - evidence[1])
