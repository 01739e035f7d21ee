"""Which of several ways to name weights a file follows: those of the families of networks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from c3dvis.checkpoints.match import Place

# From the name of an array to its layer and weight, and the classifier of the family.
Naming = tuple[Callable[[str], Place | None], str]


def best_fit(
    targets: Mapping[str, Any],
    names: Collection[str],
    namings: Iterable[Naming],
    of_normalization: Mapping[str, str],
    of_others: Mapping[str, str],
) -> tuple[dict[str, Place], str]:
    """The places of a file's arrays, by the naming that places most of them.

    Args:
        targets: The network's layers by name.
        names: Names of the arrays.
        namings: Those to try.
        of_normalization: What Keras calls the weights of batch normalization, by the file's words.
        of_others: The same of all other layers.

    Returns:
        Layer and variable of each name that is known, and the classifier; ({}, "") where no naming
        fits any name.
    """
    known = {(layer, weight.name) for layer, own in targets.items() for weight in own.weights}
    best: tuple[dict[str, Place], str] = ({}, "")
    most = 0
    for translate, classifier in namings:
        places = {}
        for name, place in ((name, translate(name)) for name in names):
            if place:
                layer, weight = place
                words = of_normalization if is_normalization(targets.get(layer)) else of_others
                places[name] = layer, words.get(weight, weight)
        fitting = len(known.intersection(places.values()))
        if fitting > most:
            best, most = (places, classifier), fitting
    return best


def is_normalization(layer: Any) -> bool:
    """Whether it is a batch normalization, whose weights have names of their own."""
    return type(layer).__name__ == "BatchNormalization"
