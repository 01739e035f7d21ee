"""Tasks of the machine interpretability score: which of two clips activates a unit more?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Task(NamedTuple):
    """A task, as row indices of clips.

    Attributes:
        pair: A strong and a weak clip.
        strongest: References with a high score.
        weakest: References with a low score.
        some: Random references.
        others: Other random references.
    """

    pair: NDArray[np.intp]
    strongest: NDArray[np.intp]
    weakest: NDArray[np.intp]
    some: NDArray[np.intp]
    others: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class TaskSampler:
    """Draws the tasks of a unit, independently of the explanation.

    Attributes:
        strong: Number of clips that count as strong, and as weak.
        references: Maximum number of references of each kind.
        films: Index of each clip's film; no reference is of a film of the pair.
        rng: Random generator.
    """

    strong: int
    references: int
    films: NDArray[np.intp]
    rng: np.random.Generator

    def tasks(self, scores: NDArray[np.floating], count: int) -> Iterator[Task]:
        """Yields `count` tasks, or none if strong clips score no more than weak ones."""
        mixed = self.rng.permutation(len(scores))  # so that equal scores come in no order
        ranked = mixed[np.argsort(-scores[mixed], kind="stable")]
        top, bottom = ranked[: self.strong], ranked[-self.strong :]
        for _ in range(count if scores[top[-1]] > scores[bottom[0]] else 0):
            top, bottom, any_ = (self.rng.permutation(each) for each in (top, bottom, ranked))
            pair = np.array([top[0], bottom[0]])
            kinds = [self._of_other_films(each, pair) for each in (top, bottom, any_)]
            if min(len(kinds[0]), len(kinds[1]), len(kinds[2]) - 1) < 1:
                raise ValueError(
                    "Expected clips of more films. Received: strong or weak clips of one alone."
                )
            half = min(self.references, len(kinds[2]) // 2)
            yield Task(
                pair,
                strongest=kinds[0][: self.references],
                weakest=kinds[1][: self.references],
                some=kinds[2][:half],
                others=kinds[2][half : 2 * half],
            )

    def _of_other_films(self, rows, pair):
        return rows[~np.isin(self.films[rows], self.films[pair])]
