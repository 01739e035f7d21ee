"""What a weight file holds, matched with the layers of a network: what every reader shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from c3dvis.checkpoints.weight_checks import (
    check_finite,
    check_shape,
    is_dense,
    refuse_unused_normalization,
)
from c3dvis.checkpoints.words import in_short

# What Keras 1 called the weights of a layer (`conv1_W`) and what Keras calls them now.
_OLD_NAMES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}


@dataclass(frozen=True)
class StoredWeight:
    """One array of a weight file, not yet read."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class StoredLayer:
    """A layer of a weight file, as the file names it."""

    name: str
    weights: tuple[StoredWeight, ...]


@dataclass(frozen=True)
class Stored:
    """A weight file: its format in words, and its layers with weights in the file's order."""

    path: str
    format: str
    layers: tuple[StoredLayer, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """What became of a weight file.

    Attributes:
        format: Format of the file, in words.
        assigned: Number of the network's weights (arrays) that the file has set.
        total: Number of the network's weights.
        missing: Layers of the network for which the file has nothing; a warning names them too.
        unused: Layers of the file that the network does not have.
        notes: How the layers were matched, where not simply by name.
    """

    format: str
    assigned: int
    total: int
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.format}: {self.assigned} of {self.total} weights assigned"]
        if self.missing:
            parts.append(f"not in the file: {in_short(self.missing)}")
        if self.unused:
            parts.append(f"unused: {in_short(self.unused)}")
        return "; ".join([*parts, *self.notes])


def weighted_layers(network) -> list:
    """The layers of a network that have weights, in order."""
    found = [layer for layer in network.layers if layer.weights]
    if not found:
        raise ValueError(
            "Expected a network that has been built (call it once on an Input). "
            f"Received: {network.name!r}, which has no weights."
        )
    return found


def assign(network, stored: Stored) -> LoadReport:
    """Puts the weights of a file into a network: all checks first, then all assignments.

    Layers are matched by name where names agree, else by order; weights within a layer likewise.

    Args:
        network: A Keras model that has been built.
        stored: What a reader found; its weights are read here, once their shapes are known to fit.

    Raises:
        ValueError: If no layer matches, a shape differs, a value is not finite, or a layer is
            missing that is neither fully connected nor the last. Nothing is assigned then.
    """
    targets = weighted_layers(network)
    pairs, notes = _pair_layers(targets, stored)
    missing = [layer for layer in targets if layer.name not in pairs]
    _refuse_missing(missing, targets, stored)
    taken = {source.name for source in pairs.values()}
    unused = tuple(source.name for source in stored.layers if source.name not in taken)
    refuse_unused_normalization(network, unused, stored.path)
    chosen = [
        (layer, variable, weight)
        for layer in targets
        if layer.name in pairs
        for variable, weight in _pair_weights(layer, pairs[layer.name], stored.path)
    ]
    values = [_read(layer, variable, weight, stored.path) for layer, variable, weight in chosen]
    for (_, variable, _), value in zip(chosen, values, strict=True):
        variable.assign(value)
    names, notes = tuple(layer.name for layer in missing), stored.notes + notes
    return LoadReport(stored.format, len(chosen), len(network.weights), names, unused, notes)


def _pair_layers(
    targets: Sequence, stored: Stored
) -> tuple[dict[str, StoredLayer], tuple[str, ...]]:
    """The file's layer for each name of a layer of the network, and a note where not by name."""
    by_name = {source.name: source for source in stored.layers}
    pairs = {layer.name: by_name[layer.name] for layer in targets if layer.name in by_name}
    rest = [layer for layer in targets if layer.name not in pairs]
    spare = [source for source in stored.layers if source.name not in pairs]
    # Where some names agree, the others must be as many; where none agrees, only fully connected
    # layers may be left over on one side.
    comparable = len(rest) == len(spare) if pairs else all(map(is_dense, rest[len(spare) :]))
    in_order = list(zip(rest, spare, strict=False))
    if in_order and comparable and all(_fits(layer, source) for layer, source in in_order):
        pairs |= {layer.name: source for layer, source in in_order}
        note = f"matched by order, as the names differ: {in_short(source.name for source in spare)}"
        return pairs, (note,)
    if not pairs:
        raise ValueError(
            f"Expected weights for layers {in_short(layer.name for layer in targets)}. Received: "
            f"'{stored.path}' with layers {in_short(by_name)}; no name matches, and the shapes do "
            "not match in order either."
        )
    return pairs, ()


def _fits(layer, source: StoredLayer) -> bool:
    stored_shapes = sorted(weight.shape for weight in source.weights)
    return stored_shapes == sorted(tuple(variable.shape) for variable in layer.weights)


def _refuse_missing(missing: Sequence, targets: Sequence, stored: Stored) -> None:
    """Only fully connected layers and the last layer may be missing; a warning names them."""
    wrong = [layer.name for layer in missing if not is_dense(layer) and layer is not targets[-1]]
    if wrong:
        raise ValueError(
            f"Expected weights for layers {in_short(layer.name for layer in targets)}. Received: "
            f"'{stored.path}' with layers {in_short(layer.name for layer in stored.layers)}, "
            f"without {in_short(wrong)}."
        )


def _pair_weights(layer, source: StoredLayer, path: str) -> list[tuple[Any, StoredWeight]]:
    """The variables of a layer and the file's array for each, their shapes compared."""
    variables = list(layer.weights)
    if len(source.weights) != len(variables):
        raise ValueError(
            f"Expected {len(variables)} weights for layer {layer.name!r}: "
            f"{', '.join(variable.name for variable in variables)}. Received: "
            f"{len(source.weights)} in layer {source.name!r} of '{path}': "
            f"{in_short(weight.name for weight in source.weights)}."
        )
    names = sorted(variable.name for variable in variables)
    by_name = {_name_today(weight.name, names): weight for weight in source.weights}
    if sorted(by_name) == names:
        pairs = [(variable, by_name[variable.name]) for variable in variables]
    else:
        pairs = list(zip(variables, source.weights, strict=True))
    for variable, weight in pairs:
        check_shape(layer.name, variable, weight.name, weight.shape, path)
    return pairs


def _name_today(stored: str, names: Sequence[str]) -> str:
    """The one of a layer's weight names that is meant: kernel by `conv1_W:0`, `conv1/kernel:0`."""
    last = stored.rpartition("/")[2].partition(":")[0]
    known = {name: name for name in names} | _OLD_NAMES
    # The longest first: `cell_recurrent_kernel` ends as `kernel` does, too.
    for ending in sorted(known, key=len, reverse=True):
        if last == ending or last.endswith(f"_{ending}"):
            return known[ending]
    return last


def _read(layer, variable, weight: StoredWeight, path: str) -> np.ndarray:
    value = np.asarray(weight.read())
    # A float64 that float32 cannot hold becomes infinite, and is refused as such.
    with np.errstate(over="ignore"):
        value = value.astype("float64" if variable.dtype == "float64" else "float32")
    check_finite(layer.name, value, path)
    return value
