"""Objectives of classes: by the scores before the softmax."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from c3dvis.objectives.objective import Objective
from c3dvis.objectives.places import Places, mean, places
from c3dvis.objectives.terms import LOGITS, Term, class_index, index_of, units_of


@dataclass(frozen=True)
class OfClass(Term):
    """A number for each class, by the scores before the softmax.

    Attributes:
        where: Some of the frames or places of an output that has them; None means all.
    """

    where: Places | None = field(default=None, kw_only=True)

    def unit_indices(self, shape, class_names):
        if self.where is not None:
            self.where.check(shape[:-1])
        indices = []
        for unit in self.units:
            if isinstance(unit, str):
                unit = class_index(unit, class_names)
            indices.append(index_of(unit, shape[-1], "The network's output", "class"))
        return np.array(indices, np.int32)


@dataclass(frozen=True)
class Logit(OfClass):
    """The score of a class before the softmax."""

    def features(self, activation):
        return mean(activation, self.where)


@dataclass(frozen=True)
class LogOdds(OfClass):
    """The score of a class before the softmax, less the log-sum-exp of the others'."""

    def features(self, activation):
        from keras import ops

        scores = ops.cast(activation, "float32")
        own = np.eye(scores.shape[-1], dtype=bool)
        others = ops.logsumexp(ops.where(own, -1e30, scores[..., None, :]), axis=-1)
        return mean(scores - others, self.where)

    def unit_indices(self, shape, class_names):
        indices = super().unit_indices(shape, class_names)
        if shape[-1] < 2:
            raise ValueError("Expected two classes or more for log odds. Received: one class.")
        return indices


def logit(
    classes: int | str | Iterable[int | str], *, output: str = "", where: Any = None
) -> Objective:
    """Score of a class before the softmax, also where the network ends in a softmax.

    Where the network scores each frame `(N, T, classes)`, or each place `(N, T, H, W, classes)`, it
    is the mean of these scores over all of them, or over those of `where`.

    Args:
        classes: Index or name of a class, or several: one clip each.
        output: Name of the output, where the network has several.
        where: Positions over which the mean is taken: a frame, such as 3; slices of frames, rows
            and columns, such as `np.s_[2:5, 8:16, 8:16]`; or an array with a weight for each
            position, such as a mask. Positions are in the output's own grid. None means all.

    Example:
        >>> from c3dvis import objectives
        >>> objective = objectives.logit("moving left") - 0.5 * objectives.logit("moving right")
    """
    return Objective.of(Logit(LOGITS + output, units_of(classes), where=places(where)))


def log_odds(
    classes: int | str | Iterable[int | str], *, output: str = "", where: Any = None
) -> Objective:
    """log(p / (1 - p)) of a class by the softmax: its score relative to those of all others.

    A logit alone can rise while that of another class rises more, so that the network predicts the
    other class. Unlike a probability, log odds do not saturate. Where the network ends in a
    sigmoid, a class's log odds are its `logit`.

    Args:
        classes: Index or name of a class, or several: one clip each.
        output: Name of the output, where the network has several.
        where: Frames or places over which the mean is taken, as in `logit`.

    Example:
        >>> from c3dvis import objectives
        >>> objective = objectives.log_odds(range(10))
    """
    return Objective.of(LogOdds(LOGITS + output, units_of(classes), where=places(where)))
