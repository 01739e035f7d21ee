"""Objectives: weighted sums of terms, with arithmetic."""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from c3dvis.objectives.terms import CLIP, Read, Term


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; made by `channel`, `neuron`, `logit` and so on.

    Attributes:
        terms: `(weight, term)` pairs. Terms of one unit serve every clip of the others.
    """

    terms: tuple[tuple[float, Term], ...]

    # NumPy's numbers would take an objective for a sequence and multiply its units one by one.
    __array_ufunc__ = None

    def __post_init__(self):
        lengths = {len(term) for _, term in self.terms} - {1}
        if len(lengths) > 1:
            raise ValueError(
                "Expected objectives with the same number of units, or with one. "
                f"Received: {sorted(lengths)} units."
            )

    @classmethod
    def of(cls, term: Term) -> "Objective":
        """The objective of one term with weight 1."""
        return cls(((1.0, term),))

    def __len__(self) -> int:
        """Number of clips that this objective needs."""
        return max(len(term) for _, term in self.terms)

    def __add__(self, other: "Objective") -> "Objective":
        if not isinstance(other, Objective):
            return NotImplemented
        return Objective(self.terms + other.terms)

    def __mul__(self, factor: float) -> "Objective":
        if not isinstance(factor, numbers.Real):
            return NotImplemented
        if not math.isfinite(factor):
            raise ValueError(f"Expected a finite weight. Received: {factor}.")
        factor = float(factor)
        return Objective(tuple((factor * weight, term) for weight, term in self.terms))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Objective":
        if not isinstance(divisor, numbers.Real):
            return NotImplemented
        return self * (1 / divisor if divisor else math.inf)

    def __radd__(self, other: int) -> "Objective":
        """The same for 0, with which `sum` begins."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __neg__(self) -> "Objective":
        return -1 * self

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -other if isinstance(other, Objective) else NotImplemented

    def __getitem__(self, index: int | slice | Sequence[int]) -> "Objective":
        """The objective of one clip, or of some of them."""
        every = range(len(self))
        chosen = [every[i] for i in index] if isinstance(index, Sequence) else every[index]
        indices = [chosen] if isinstance(chosen, int) else chosen
        if not len(indices):
            raise ValueError(f"Expected a choice among {len(self)} units. Received: {index}.")
        terms = [(w, t if len(t) == 1 else t.take(indices)) for w, t in self.terms]
        return Objective(tuple(terms))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers read, each once, in the order of the terms."""
        return tuple(dict.fromkeys(name for _, term in self.terms for name in term.layers))

    @property
    def signature(self) -> tuple:
        """Objectives with equal signatures can share one compiled step."""
        return tuple((weight, replace(term, units=())) for weight, term in self.terms)

    @property
    def batchwise(self) -> bool:
        """Whether a clip's score depends on the other clips, so that all must be made together."""
        return any(term.batchwise for _, term in self.terms)

    def with_targets(self, read: Read) -> "Objective":
        """The same objective for one network, with the activations of its reference clips there.

        Args:
            read: Function of a clip `(T, H, W, C)` and layer names that gives the clip's
                activations `(1, ...)` by name.
        """
        return Objective(tuple((weight, term.with_targets(read)) for weight, term in self.terms))

    def unit_indices(
        self,
        shapes: Mapping[str, tuple[int | None, ...]],
        class_names: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Index of each clip's unit in each term's features: int32 `(len(self), terms)`."""
        each = [t.unit_indices(shapes[t.layer], class_names) for _, t in self.terms]
        return np.stack([np.broadcast_to(indices, len(self)) for indices in each], axis=-1)

    def features(self, activations: Mapping) -> list:
        """The features `(N, F)` of each term."""
        return [term.features(term.read(activations)) for _, term in self.terms]

    def term_scores(self, activations: Mapping, unit_indices) -> list:
        """The weighted score of each term, a list of `(N,)`."""
        from keras import ops

        each = []
        for i, (weight, term) in enumerate(self.terms):
            chosen = term.chosen(term.read(activations), unit_indices[:, i])
            each.append(weight * ops.cast(chosen, "float32"))
        return each

    def score(self, activations: Mapping, unit_indices):
        """The score of each clip, `(N,)`; clip `i` is scored by the unit in `unit_indices[i]`."""
        return sum(self.term_scores(activations, unit_indices))

    def needs_activation(self, unit_indices):
        """Which terms need a nonzero activation for each clip, bool `(N, terms)`; no penalties."""
        from keras import ops

        each = []
        for i, (weight, term) in enumerate(self.terms):
            of_network = weight > 0 and term.layer != CLIP
            each.append(ops.logical_and(term.needs_activation(unit_indices[:, i]), of_network))
        return ops.stack(each, axis=-1)
