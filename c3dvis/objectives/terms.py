"""Terms of objectives: one reading of one layer, for one unit or many."""

import contextlib
import hashlib
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from c3dvis.text import counted, unknown

# Special names of layers; no Keras layer has a slash in its name.
# The logits, of the output whose name follows.
LOGITS = "logits/"
# The clip in [0, 1], before transforms and preprocessing.
CLIP = "clip/"
# Suffix of a layer's name: its output before its own activation function.
BEFORE_ACTIVATION = "/before activation"

Unit = int | str | tuple[int, int]
Position = tuple[int, ...]
# Function of a clip `(T, H, W, C)` and layer names that returns activations `(1, ...)` by name.
Read = Callable[[np.ndarray, Sequence[str]], Mapping]


@dataclass(frozen=True)
class Term:
    """One reading of one layer, for one unit or many.

    Attributes:
        layer: Name of the layer read, perhaps with `BEFORE_ACTIVATION`; or `LOGITS` or `CLIP`.
        units: Channels, class indices or names, or indices of arrays: one per clip.
    """

    layer: str
    units: tuple[Unit, ...]

    # Whether a clip's score depends on the other clips of the batch.
    batchwise = False
    # Whether it reads one position of the layer, so that transforms must move the clip little.
    at_one_place = False

    def __len__(self) -> int:
        return len(self.units)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers read."""
        return (self.layer,)

    def read(self, activations: Mapping) -> Any:
        """The input of `features`, from activations by layer name."""
        return activations[self.layer]

    def take(self, indices: Sequence[int]) -> "Term":
        """The same reading for some of the units."""
        return replace(self, units=tuple(self.units[i] for i in indices))

    def with_targets(self, read: Read) -> "Term":
        """The same term with the activations of its reference clips, if it has some."""
        return self

    def features(self, activation):
        """Activation `(N, ..., C)` to features `(N, F)`, one per unit."""
        raise NotImplementedError

    def chosen(self, activation, unit_indices):
        """The features `(N,)` of the units in `unit_indices`, `(N,)`."""
        from keras import ops

        features = self.features(activation)
        return ops.take_along_axis(features, unit_indices[:, None], axis=-1)[:, 0]

    def needs_activation(self, unit_indices):
        """Whether each clip needs a nonzero activation here, bool `(N,)`: its ReLUs must turn on.

        Args:
            unit_indices: `(N,)`, from the method of that name.
        """
        return unit_indices >= 0

    def unit_indices(
        self, shape: tuple[int | None, ...], class_names: Sequence[str] | None
    ) -> np.ndarray:
        """The index of each unit in `features`: int32 `(len(self),)`.

        Args:
            shape: Shape of the layer's output, without the batch axis.
            class_names: Names of the network's classes where it has them.

        Raises:
            ValueError: A unit that the layer does not have.
        """
        name = self.layer.removesuffix(BEFORE_ACTIVATION)
        channels = [index_of(unit, shape[-1], f"Layer {name!r}") for unit in self.units]
        return np.array(channels, np.int32)


@dataclass(frozen=True)
class WholeTerm(Term):
    """One number per clip, with no units to choose from."""

    units: tuple[Unit, ...] = (0,)

    def unit_indices(self, shape, class_names):
        return np.zeros(1, np.int32)


@dataclass(frozen=True)
class Match(Term):
    """Compares activations with an array of each unit's own: units are indices of arrays."""

    def targets(self):
        """The arrays, `(U, ...)`."""
        raise NotImplementedError

    def match(self, activation, targets):
        """Activations `(N, ..., C)` and targets, `(N, ...)` or `(1, ...)`, to numbers `(N,)`."""
        raise NotImplementedError

    def features(self, activation):
        from keras import ops

        # One target at a time; all at once would need U times the memory.
        each = ops.map(lambda target: self.match(activation, target[None]), self.targets())
        return ops.transpose(each)

    def chosen(self, activation, unit_indices):
        from keras import ops

        return self.match(activation, ops.take(self.targets(), unit_indices, axis=0))

    def unit_indices(self, shape, class_names):
        return np.array(self.units, np.int32)


class Values:
    """A float32 array that never changes and equals one of the same numbers."""

    def __init__(self, array):
        self.array = np.array(array, np.float32)
        self.array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.array)

    def __eq__(self, other) -> bool:
        return isinstance(other, Values) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __repr__(self) -> str:
        """With a digest of the numbers, so that different arrays have different texts."""
        digest = hashlib.sha256(self.array.tobytes()).hexdigest()[:16]
        return f"Values({self.array.shape}, {digest})"


def one_a_clip(function: Callable, argument, kind: str):
    """The values of a user's function: one number per clip, `(N,)`.

    Args:
        function: Function written with `keras.ops`.
        argument: Its argument.
        kind: The argument in words, for errors.
    """
    try:
        values = function(argument)
        shape = tuple(values.shape)
    except AttributeError as error:
        # Such as `clips.mean()`, which only arrays have.
        raise ValueError(
            f"Expected a function of {kind} in the operations of keras.ops, such as "
            f"ops.mean(clips, axis=(1, 2, 3, 4)). Received: one that raises {error}."
        ) from error
    if len(shape) != 1:
        raise ValueError(
            f"Expected a function of {kind} that returns one number per clip, (N,). "
            f"Received: one that returns shape {shape}."
        )
    return values


def layer_name(layer) -> str:
    """The name of a layer, given by its name or as the Keras layer itself."""
    name = layer if isinstance(layer, str) else getattr(layer, "name", None)
    if not isinstance(name, str):
        raise ValueError(f"Expected the name of a layer. Received: {layer!r}.")
    return name


def source(layer, before_activation: bool = False) -> str:
    """The name that a term reads: of a layer's output, before its activation function or after."""
    name = layer_name(layer)
    return name + BEFORE_ACTIVATION if before_activation else name


def units_of(units) -> tuple[Unit, ...]:
    """One channel or class, or several, as a tuple."""
    several = units if isinstance(units, Iterable) and not isinstance(units, str) else [units]
    units = tuple(unit if isinstance(unit, str) else whole(unit) for unit in several)
    if not units:
        raise ValueError("Expected at least one channel or class. Received: none.")
    return units


def whole(unit) -> int:
    """A whole number of any type as a Python one; True and False are none."""
    if not isinstance(unit, (bool, np.bool_)):
        with contextlib.suppress(TypeError):
            return operator.index(unit)
    raise ValueError(f"Expected whole numbers from 0. Received: {unit!r}.")


def as_position(position: Any) -> Any:
    """A list or an array as a tuple, so that objectives of it can be compared."""
    return tuple(position) if isinstance(position, (Sequence, np.ndarray)) else position


def position_in(position: Position | None, extent: tuple[int | None, ...]) -> Position:
    """A position `(t, y, x)` that lies in the extent; None means the centre.

    The centre of 4 places is the third, as there is none in the middle.
    """
    if None in extent:
        raise ValueError(
            f"Expected a layer of fixed size for a position. Received: a layer of extent {extent}."
        )
    if position is None:
        return tuple(n // 2 for n in extent if n is not None)
    inside = (
        isinstance(position, Sequence)
        and len(position) == len(extent)
        and all(isinstance(p, numbers.Integral) for p in position)
        and all(0 <= p < (n or 0) for p, n in zip(position, extent, strict=True))
    )
    if not inside:
        raise ValueError(f"Expected a position (t, y, x) inside {extent}. Received: {position}.")
    return tuple(int(p) for p in position)


def index_of(unit: Unit, count: int | None, owner: str, kind: str = "channel") -> int:
    """A channel or class that is there."""
    # On a GPU, a gather past the end silently returns zeros.
    if not isinstance(unit, int):
        raise ValueError(f"Expected the index of a {kind}. Received: {unit!r}.")
    if count is None:
        raise ValueError(
            f"{owner} has a last axis of any length. Expected a fixed one. Received: {kind} {unit}."
        )
    if not 0 <= unit < count:
        choice = f"an index from 0 to {count - 1}"
        if count == 1 and kind == "class":
            choice = "0, or -objectives.logit(0) for what counts against it"
        raise ValueError(
            f"{owner} has {counted(count, kind)}. Expected {choice}. Received: {unit}."
        )
    return unit


def names_of_classes(network) -> tuple[str, ...] | None:
    """The names of a network's classes, its attribute `class_names`; None if it has none.

    Raises:
        ValueError: What `in_order` refuses, or another number of names than the output's.
    """
    given = getattr(network, "class_names", None)
    if given is None:
        return None
    names = in_order(given)
    outputs = list(getattr(network, "outputs", None) or [])
    count = outputs[0].shape[-1] if len(outputs) == 1 and len(outputs[0].shape) > 1 else None
    if count is not None and names and len(names) != count:
        raise ValueError(
            f"Expected {counted(count, 'class name')}, one per output. Received: {len(names)}."
        )
    return names or None


def in_order(class_names: Any) -> tuple[str, ...]:
    """The names of classes in the order of the outputs.

    Args:
        class_names: A list, a tuple or an array of names in this order; or a dict from names to
            indices or from indices to names.

    Raises:
        ValueError: If it is none of these.
    """
    names = class_names
    if isinstance(names, Mapping):
        by_index = names if 0 in names else {index: name for name, index in names.items()}
        names = [by_index.get(index) for index in range(len(names))]
    no_list = isinstance(names, (str, Set)) or not isinstance(names, Iterable)
    if no_list or None in (names := list(names)):
        raise ValueError(
            "Expected class_names as a list of names in the order of the outputs, or a dict of "
            f"names and indices from 0. Received: {class_names!r:.200}."
        )
    return tuple(map(str, names))


def class_index(name: str, class_names: Sequence[str] | None) -> int:
    """The index of a class by its name."""
    if class_names is None:
        raise ValueError(
            f"Expected the index of a class, as this network has no class names (set its "
            f"`class_names`). Received: {name!r}."
        )
    if name not in class_names:
        raise unknown("the name of a class", name, class_names)
    return list(class_names).index(name)
