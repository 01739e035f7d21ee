"""Weights under the names of another library: translated, all accounted for, then assigned.

Shapes are not enough here, as several units of a network have the same, and the order of a file
need not be the network's. So each array needs a name that is known, and each weight an array.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from c3dvis.checkpoints.stored import (
    LoadReport,
    Stored,
    StoredLayer,
    StoredWeight,
    assign,
    weighted_layers,
)
from c3dvis.checkpoints.words import in_short

Place = tuple[str, str]  # name of a layer here, and of its variable


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
    """Puts arrays into a network by their translated names, all or nothing.

    Args:
        network: A Keras model that has been built.
        path: The file, as messages show it.
        format: Its format, in words.
        weights: Its arrays under its own names, in the shapes that Keras gives them.
        translate: Name of an array to layer and variable; None for one that is not known.
        classifier: The layer that a network without its top does not have; it may be left over.
        notes: For the report.

    Raises:
        ValueError: If a weight has no array or an array no weight, with their names; or what
            `stored.assign` refuses.
    """
    wanted = {
        (layer.name, variable.name): None
        for layer in weighted_layers(network)
        for variable in layer.weights
    }
    found, surplus = _places(weights, translate, path)
    found, left_out = _without_ones(found, wanted, path)
    topless = classifier not in {layer for layer, _ in wanted}
    surplus += [
        weight.name
        for place, weight in found.items()
        if place not in wanted and not (topless and place[0] == classifier)
    ]
    missing = ["/".join(place) for place in wanted if place not in found]
    if missing or surplus:
        raise ValueError(
            f"Expected an array for each weight of {network.name!r}, and no others. Received: "
            f"'{path}' without {in_short(missing)}, and with {in_short(surplus)} besides."
        )
    return assign(network, Stored(path, format, _by_layer(found), (*notes, *left_out)))


def families(function: str) -> Iterator[Any]:
    """The modules of the table of networks, each once, that have a function of this name."""
    from c3dvis.models import NETWORKS

    for name in dict.fromkeys(entry.module for entry in NETWORKS):
        module = importlib.import_module(name)
        if hasattr(module, function):
            yield module


def best_fit(
    targets: Mapping[str, Any], ways: Iterable[tuple[dict[str, Place], str]]
) -> tuple[dict[str, Place], str]:
    """The one of several translations of a file's names that finds a place for the most of them.

    Args:
        targets: The network's layers by name.
        ways: Each a place for each name that it knows, and the family's classifier.

    Returns:
        The best of the ways; ({}, "") where none fits any name.
    """
    known = {(layer, weight.name) for layer, own in targets.items() for weight in own.weights}
    best: tuple[dict[str, Place], str] = ({}, "")
    most = 0
    for places, classifier in ways:
        fitting = len(known.intersection(places.values()))
        if fitting > most:
            best, most = (places, classifier), fitting
    return best


def _places(
    weights: Iterable[StoredWeight], translate: Callable[[str], Place | None], path: str
) -> tuple[dict[Place, StoredWeight], list[str]]:
    """Where each array belongs, and the names of those that are not known."""
    found: dict[Place, StoredWeight] = {}
    unknown = []
    for weight in weights:
        place = translate(weight.name)
        if place is None:
            unknown.append(weight.name)
        elif place in found:
            raise ValueError(
                f"Expected one array for each weight. Received: '{path}' with "
                f"{found[place].name!r} and {weight.name!r} for the same."
            )
        else:
            found[place] = weight
    return found, unknown


def _without_ones(
    found: dict[Place, StoredWeight], wanted: Iterable[Place], path: str
) -> tuple[dict[Place, StoredWeight], tuple[str, ...]]:
    """Leaves out the gammas of batch normalization that the network lacks: they must be ones."""
    wanted = set(wanted)
    gammas = {
        place: weight
        for place, weight in found.items()
        if place[1] == "gamma" and place not in wanted and (place[0], "beta") in wanted
    }
    for (layer, _), weight in gammas.items():
        if not np.array_equal(weight.read(), np.ones(weight.shape)):
            raise ValueError(
                f"Expected a gamma of ones for layer {layer!r}, as the network has none (I3D: "
                f"gamma=True gives it one). Received: other values in {weight.name!r} of '{path}'."
            )
    note = (f"{len(gammas)} gammas left out, all ones",) if gammas else ()
    return {place: weight for place, weight in found.items() if place not in gammas}, note


def _by_layer(found: dict[Place, StoredWeight]) -> tuple[StoredLayer, ...]:
    layers: dict[str, list[StoredWeight]] = {}
    for (layer, variable), weight in found.items():
        # Under the name that Keras gives it: by its own, an array might be taken for another.
        named = StoredWeight(f"{layer}/{variable}", weight.shape, weight.read)
        layers.setdefault(layer, []).append(named)
    return tuple(StoredLayer(name, tuple(weights)) for name, weights in layers.items())
