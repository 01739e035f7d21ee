"""What to raise, to explain or to rank clips by: an objective is a score, higher is better.

An objective names the layers it reads and maps their activations to one number a clip. It holds
one unit or many: `channel("conv3b", range(64))` is 64 objectives at once, one clip each.
Objectives add, subtract and scale: `channel("conv3b", 7) - 0.5 * channel("conv3b", 8)`.
"""

import difflib
import math
import numbers
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Objective", "channel", "logit", "neuron"]

# The class scores before the softmax, of the output whose name follows; no Keras layer has a slash
# in its name.
LOGITS = "logits/"
# Added to a layer's name: what it computes before its own activation function.
BEFORE_ACTIVATION = "/before activation"

Unit = int | str
Position = tuple[int, int, int]


@dataclass(frozen=True)
class Term:
    """One reading of one layer, for one unit or many.

    Attributes:
        layer: Name of the layer read, perhaps with `BEFORE_ACTIVATION`, or `LOGITS`.
        units: Channels, or class indices or names: one a clip.
    """

    layer: str
    units: tuple[Unit, ...]

    def __len__(self) -> int:
        return len(self.units)

    def take(self, indices: Sequence[int]) -> "Term":
        """The same reading for some of the units."""
        return replace(self, units=tuple(self.units[i] for i in indices))

    def features(self, activation):
        """Activation `(N, ..., C)` to the numbers `(N, F)` from which units choose."""
        raise NotImplementedError

    def columns(self, shape: tuple[int | None, ...], class_names: Sequence[str] | None):
        """Which feature each unit reads: int32 `(len(self),)`; refuses units that aren't there.

        Args:
            shape: Of the layer's output, without the batch axis.
            class_names: Names of the network's classes where it has them.
        """
        name = self.layer.removesuffix(BEFORE_ACTIVATION)
        channels = [_index(unit, shape[-1], f"Layer {name!r}") for unit in self.units]
        return np.array(channels, np.int32)


@dataclass(frozen=True)
class Channel(Term):
    """Mean of a channel over all positions of the clip."""

    def features(self, activation):
        from keras import ops

        axes = tuple(range(1, len(activation.shape) - 1))
        return ops.mean(activation, axis=axes) if axes else activation


@dataclass(frozen=True)
class Neuron(Term):
    """One position `(t, y, x)` of a channel; None is the centre."""

    position: Position | None = None

    def features(self, activation):
        from keras import ops

        return ops.reshape(activation, (-1, math.prod(activation.shape[1:])))

    def columns(self, shape, class_names):
        channels = super().columns(shape, class_names)
        extent = shape[:-1]
        if None in extent:
            raise ValueError(
                f"Expected a layer of fixed size for a neuron. Received: a layer of shape {shape}."
            )
        position = tuple(n // 2 for n in extent) if self.position is None else self.position
        inside = len(position) == len(extent) and all(
            0 <= p < n for p, n in zip(position, extent, strict=True)
        )
        if not inside:
            raise ValueError(
                f"Expected a position (t, y, x) inside {extent}. Received: {position}."
            )
        return (np.ravel_multi_index(position, extent) * shape[-1] + channels).astype(np.int32)


@dataclass(frozen=True)
class Logit(Term):
    """The score of a class before the softmax."""

    def features(self, activation):
        return activation

    def columns(self, shape, class_names):
        if len(shape) != 1:
            raise ValueError(f"Expected an output of one score a class. Received: shape {shape}.")
        found = []
        for unit in self.units:
            if isinstance(unit, str):
                unit = _class_index(unit, class_names)
            found.append(_index(unit, shape[-1], "The network's output", "class"))
        return np.array(found, np.int32)


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; make one with `channel`, `neuron` or `logit`.

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

    def __len__(self) -> int:
        """Number of clips that this objective asks for."""
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

    def __neg__(self) -> "Objective":
        return -1 * self

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -other if isinstance(other, Objective) else NotImplemented

    def __getitem__(self, index: int | slice) -> "Objective":
        """The objective of one clip, or of some of them."""
        chosen = range(len(self))[index]
        indices = [chosen] if isinstance(chosen, int) else chosen
        if not len(indices):
            raise ValueError(f"Expected a choice among {len(self)} units. Received: {index}.")
        terms = [(w, t if len(t) == 1 else t.take(indices)) for w, t in self.terms]
        return Objective(tuple(terms))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers read, each once, in the order of the terms."""
        return tuple(dict.fromkeys(term.layer for _, term in self.terms))

    @property
    def template(self) -> tuple:
        """What two objectives must share to be computed by one compiled step."""
        return tuple((weight, replace(term, units=())) for weight, term in self.terms)

    def columns(
        self,
        shapes: Mapping[str, tuple[int | None, ...]],
        class_names: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Which feature of each term each clip reads, int32 `(len(self), terms)`."""
        each = [t.columns(shapes[t.layer], class_names) for _, t in self.terms]
        return np.stack([np.broadcast_to(columns, len(self)) for columns in each], axis=-1)

    def features(self, activations: Mapping) -> list:
        """For each term the numbers `(N, F)` from which its units choose."""
        return [term.features(activations[term.layer]) for _, term in self.terms]

    def score(self, activations: Mapping, columns):
        """One number a clip, `(N,)`, where clip `i` is scored by the unit in `columns[i]`."""
        from keras import ops

        total = 0.0
        for i, ((weight, _), features) in enumerate(
            zip(self.terms, self.features(activations), strict=True)
        ):
            chosen = ops.take_along_axis(features, columns[:, i : i + 1], axis=-1)[:, 0]
            total = total + weight * ops.cast(chosen, "float32")
        return total


def channel(layer: str, channels: int | Iterable[int]) -> Objective:
    """Mean activation of a channel over time and space (of a unit, where a layer has no positions).

    Args:
        layer: Name of the layer.
        channels: One index from 0, or several: one clip each.

    Example:
        >>> from c3dvis import objectives
        >>> len(objectives.channel("conv3b", range(8)))
        8
    """
    return Objective(((1.0, Channel(_layer(layer), _units(channels))),))


def neuron(
    layer: str, channels: int | Iterable[int], *, position: Position | None = None
) -> Objective:
    """Activation of a channel at one position, before the layer's own activation function.

    Behind a ReLU about half of all neurons are off at the start and would have no gradient; in
    front of it they have one, and where it is on the value is the same.

    Args:
        layer: Name of the layer.
        channels: One index from 0, or several: one clip each.
        position: `(t, y, x)` in the layer's own grid; None is the centre.
    """
    reading = Neuron(_layer(layer) + BEFORE_ACTIVATION, _units(channels), position)
    return Objective(((1.0, reading),))


def logit(classes: Unit | Iterable[Unit], *, output: str = "") -> Objective:
    """Score of a class before the softmax, also where the network ends in a softmax.

    Args:
        classes: Index or name of a class, or several: one clip each.
        output: Name of the output, where the network has several.
    """
    return Objective(((1.0, Logit(LOGITS + output, _units(classes))),))


def _layer(name: str) -> str:
    if not isinstance(name, str):
        raise ValueError(f"Expected the name of a layer. Received: {name!r}.")
    return name


def _units(units) -> tuple[Unit, ...]:
    several = isinstance(units, Iterable) and not isinstance(units, str)
    made = tuple(u if isinstance(u, str) else _whole(u) for u in (units if several else [units]))
    if not made:
        raise ValueError("Expected at least one channel or class. Received: none.")
    return made


def _whole(unit) -> int:
    try:
        return operator.index(unit)
    except TypeError:
        raise ValueError(f"Expected whole numbers from 0. Received: {unit!r}.") from None


def _index(unit: Unit, count: int | None, owner: str, kind: str = "channel") -> int:
    # A gather past the end gives zeros on a GPU, without a word.
    if isinstance(unit, str):
        raise ValueError(f"Expected the index of a {kind}. Received: {unit!r}.")
    if count is None:
        raise ValueError(f"{owner} has no fixed number of {kind}s. Expected one that has.")
    if not 0 <= unit < count:
        raise ValueError(
            f"{owner} has {count} {kind}{'s' if kind == 'channel' else 'es'}. "
            f"Expected an index from 0 to {count - 1}. Received: {unit}."
        )
    return unit


def _class_index(name: str, class_names: Sequence[str] | None) -> int:
    if class_names is None:
        raise ValueError(
            f"Expected the index of a class, as this network has no class names (set its "
            f"`class_names`). Received: {name!r}."
        )
    if name not in class_names:
        near = difflib.get_close_matches(name, class_names, 3, 0.4) or list(class_names)[:3]
        raise ValueError(
            f"Expected the name of a class, such as {', '.join(map(repr, near))}. "
            f"Received: {name!r}."
        )
    return list(class_names).index(name)
