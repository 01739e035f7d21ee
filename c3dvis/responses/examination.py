"""The tasks by which explanations are judged: which of two clips excites a unit more?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Task(NamedTuple):
    """A strong and a weak clip; real clips for and against the unit, and any others, as rows."""

    asked: NDArray[np.intp]
    strongest: NDArray[np.intp]
    weakest: NDArray[np.intp]
    some: NDArray[np.intp]
    others: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Examination:
    """The tasks of a unit: a draw of clips that does not depend on what explains the unit."""

    strong: int
    references: int
    films: NDArray[np.intp]
    rng: np.random.Generator

    def tasks(self, scores: NDArray[np.floating], count: int) -> Iterator[Task]:
        """None of a unit whose strong clips excite it no more than its weak ones."""
        mixed = self.rng.permutation(len(scores))  # so that equal scores come in no order
        ranked = mixed[np.argsort(-scores[mixed], kind="stable")]
        top, bottom = ranked[: self.strong], ranked[-self.strong :]
        for _ in range(count if scores[top[-1]] > scores[bottom[0]] else 0):
            top, bottom, any_ = (self.rng.permutation(each) for each in (top, bottom, ranked))
            asked = np.array([top[0], bottom[0]])
            kinds = [self._of_other_films(each, asked) for each in (top, bottom, any_)]
            if min(len(kinds[0]), len(kinds[1]), len(kinds[2]) - 1) < 1:
                raise ValueError(
                    "Expected clips of more films. Received: strong or weak clips of one alone."
                )
            half = min(self.references, len(kinds[2]) // 2)
            yield Task(
                asked,
                strongest=kinds[0][: self.references],
                weakest=kinds[1][: self.references],
                some=kinds[2][:half],
                others=kinds[2][half : 2 * half],
            )

    def _of_other_films(self, rows, asked):
        return rows[~np.isin(self.films[rows], self.films[asked])]
