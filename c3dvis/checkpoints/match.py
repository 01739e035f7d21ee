"""Matches the arrays of a weight file with the layers of a network, and assigns all or none.

Layers are matched by name or order (`assign`), or by translated names of another library
(`assign_translated`). The latter needs a known name for each array and an array for each weight, as
several layers of a network have the same shapes, and the file's order need not be the network's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from c3dvis.checkpoints.checks import (
    check_finite,
    check_shape,
    is_dense,
    refuse_unused_normalization,
)
from c3dvis.text import in_short

# What Keras 1 called the weights of a layer (`conv1_W`) and what Keras calls them now.
_OLD_NAMES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}

# Of batch normalization; not changed by the optimizer.
_STATISTICS = ("moving_mean", "moving_variance")

Place = tuple[str, str]  # name of a layer here, and of its variable


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
class WeightFile:
    """A weight file: its format in words, and its layers with weights in the file's order."""

    path: str
    format: str
    layers: tuple[StoredLayer, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """How a family of networks names its weights in the files of other libraries.

    Attributes:
        classifier: The layer that a network without its top does not have; its arrays may be left
            over.
        from_pytorch: From the name of a tensor, without a wrapper's prefix (`module.`), to the
            layer and its weight in PyTorch's words (`weight`, `bias`, `running_mean`,
            `running_var`), or None; None for no such names.
        from_flax: From the path of an array in a tree, such as `conv1/kernel`, to the layer and its
            weight in the file's words, or None; None for no such names.
    """

    classifier: str = ""
    from_pytorch: Callable[[str], Place | None] | None = None
    from_flax: Callable[[str], Place | None] | None = None


@dataclass(frozen=True)
class LoadReport:
    """The result of loading a weight file.

    Attributes:
        format: Format of the file, in words.
        assigned: Number of the network's weights (arrays) that the file has set.
        total: Number of the network's weights.
        missing: Layers of the network that the file lacks; a warning names them too.
        unused: Layers of the file that the network does not have.
        notes: How layers were matched, if not by name.
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
    layers = [layer for layer in network.layers if layer.weights]
    if not layers:
        raise ValueError(
            "Expected a network that has been built (call it once on an Input). "
            f"Received: {network.name!r}, which has no weights."
        )
    return layers


def assign(network, stored: WeightFile) -> LoadReport:
    """Assigns the weights of a file to a network, after all checks.

    Layers are matched by name where names agree, else by order; weights within a layer likewise.

    Args:
        network: A Keras model that has been built.
        stored: The file; its weights are read here, once their shapes are known to fit.

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
    targets: Sequence, stored: WeightFile
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


def _refuse_missing(missing: Sequence, targets: Sequence, stored: WeightFile) -> None:
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
    by_name = {_current_name(weight.name, names): weight for weight in source.weights}
    if sorted(by_name) == names:
        pairs = [(variable, by_name[variable.name]) for variable in variables]
    else:
        pairs = _pair_several(variables, source.weights)
    for variable, weight in pairs:
        check_shape(layer.name, variable, weight.name, weight.shape, path)
    return pairs


def _pair_several(
    variables: Sequence, weights: Sequence[StoredWeight]
) -> list[tuple[Any, StoredWeight]]:
    """The file's array for each variable of a model or wrapper, in which names come again.

    By the names of its layers where these say it, else in an order: Keras 1 and 2 wrote what is
    trained first, of all layers inside, and then the statistics.
    """
    own = {_last_two(variable.path): variable for variable in variables}
    stored = {_last_two(weight.name): weight for weight in weights}
    if len(own) == len(variables) and own.keys() == stored.keys():
        return [(variable, stored[name]) for name, variable in own.items()]
    trained_first = sorted(variables, key=lambda variable: variable.name in _STATISTICS)
    names = {variable.name for variable in variables}
    names_in_file = [_current_name(weight.name, sorted(names)) for weight in weights]
    shapes = [weight.shape for weight in weights]
    orders = [trained_first, list(variables)]
    of_these_shapes = [o for o in orders if [tuple(v.shape) for v in o] == shapes] or orders[1:]
    as_named = [order for order in of_these_shapes if [v.name for v in order] == names_in_file]
    return list(zip((as_named or of_these_shapes)[0], weights, strict=True))


def _last_two(path: str) -> tuple[str, ...]:
    """A weight's layer and its own name: `base/bn/gamma` and `bn/gamma:0` are the same."""
    return tuple(path.partition(":")[0].split("/")[-2:])


def _current_name(stored: str, names: Sequence[str]) -> str:
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


def assign_translated(
    network,
    path: str,
    format: str,
    weights: Iterable[StoredWeight],
    translate: Callable[[str], Place | None],
    *,
    classifier: str,
    notes: Sequence[str] = (),
) -> LoadReport:
    """Assigns arrays to a network by their translated names, all or none.

    Args:
        network: A Keras model that has been built.
        path: The file, as messages show it.
        format: Its format, in words.
        weights: Its arrays under its own names, in the shapes that Keras gives them.
        translate: Name of an array to layer and variable; None for one that is not known.
        classifier: The layer that a network without its top does not have; it may be left over.
        notes: Notes for the report.

    Raises:
        ValueError: If a weight has no array or an array no weight, with their names; or what
            `assign` refuses.
    """
    wanted = {
        (layer.name, variable.name): tuple(variable.shape)
        for layer in weighted_layers(network)
        for variable in layer.weights
    }
    by_place, surplus = _places(weights, translate, path)
    by_place, left_out = _without_unit_gammas(by_place, wanted, path)
    topless = classifier not in {layer for layer, _ in wanted}
    surplus += [
        weight.name
        for place, weight in by_place.items()
        if place not in wanted and not (topless and place[0] == classifier)
    ]
    missing = ["/".join(place) for place in wanted if place not in by_place]
    if missing or surplus:
        raise ValueError(
            f"Expected an array for each weight of {network.name!r}, and no others. Received: "
            f"'{path}' without {in_short(missing)}, and with {in_short(surplus)} besides."
        )
    return assign(network, WeightFile(path, format, _by_layer(by_place), (*notes, *left_out)))


def _places(
    weights: Iterable[StoredWeight], translate: Callable[[str], Place | None], path: str
) -> tuple[dict[Place, StoredWeight], list[str]]:
    """The array of each place, and the names of unknown arrays."""
    by_place: dict[Place, StoredWeight] = {}
    unknown = []
    for weight in weights:
        place = translate(weight.name)
        if place is None:
            unknown.append(weight.name)
        elif place in by_place:
            raise ValueError(
                f"Expected one array for each weight. Received: '{path}' with "
                f"{by_place[place].name!r} and {weight.name!r} for the same."
            )
        else:
            by_place[place] = weight
    return by_place, unknown


def _without_unit_gammas(
    by_place: dict[Place, StoredWeight], wanted: Mapping[Place, tuple[int, ...]], path: str
) -> tuple[dict[Place, StoredWeight], tuple[str, ...]]:
    """Drops gammas that the network's batch normalization lacks, which must be ones."""
    gammas = {
        place: weight
        for place, weight in by_place.items()
        if place[1] == "gamma" and place not in wanted and (place[0], "beta") in wanted
    }
    for (layer, _), weight in gammas.items():
        # Read only where it is as long as its beta: a file can claim any length.
        fits = weight.shape == wanted[layer, "beta"]
        if not fits or not np.array_equal(weight.read(), np.ones(weight.shape)):
            raise ValueError(
                f"Expected a gamma of ones for layer {layer!r}, as the network has none (I3D: "
                f"gamma=True gives it one). Received: other values in {weight.name!r} of '{path}'."
            )
    note = (f"{len(gammas)} gammas left out, all ones",) if gammas else ()
    return {place: weight for place, weight in by_place.items() if place not in gammas}, note


def _by_layer(by_place: dict[Place, StoredWeight]) -> tuple[StoredLayer, ...]:
    layers: dict[str, list[StoredWeight]] = {}
    for (layer, variable), weight in by_place.items():
        # Under the name that Keras gives it: by its own, an array might be taken for another.
        named = StoredWeight(f"{layer}/{variable}", weight.shape, weight.read)
        layers.setdefault(layer, []).append(named)
    return tuple(StoredLayer(name, tuple(weights)) for name, weights in layers.items())
