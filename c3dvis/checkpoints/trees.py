"""Assigns trees of arrays, as saved by JAX libraries, to a Keras network by their paths.

A path is the names from the root to the leaf: `conv1/kernel`. What comes before the last is the
layer, with dots for slashes, as in this package's networks; the last is the weight, in Flax's words
(`kernel`, `scale`, `bias`, `mean`, `var`) or in Haiku's and Sonnet's (`w`, `b`, `offset`). Flax's
collections `params` and `batch_stats` are laid over each other. A family whose published paths are
others has a function for them (`match.Family.from_flax`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from c3dvis.checkpoints.match import (
    Family,
    LoadReport,
    Place,
    StoredWeight,
    assign_translated,
    weighted_layers,
)
from c3dvis.checkpoints.namings import Naming, best_fit, is_normalization
from c3dvis.text import in_short

Tree = dict[str, Any]  # of trees and arrays

_DEEPEST = 64  # dictionaries in each other
_COLLECTIONS = ("params", "batch_stats")
_NO_WEIGHTS = ("opt_state", "step")  # of a TrainState of Flax
_NORMALIZATION = {
    "scale": "gamma",
    "bias": "beta",
    "offset": "beta",
    "mean": "moving_mean",
    "var": "moving_variance",
}
_OTHERS = {"w": "kernel", "b": "bias", "embedding": "embeddings"}


def plain_tree(saved: Any, array: Callable[[Any], np.ndarray]) -> Any:
    """The contents of a file as nested dictionaries of arrays.

    Args:
        saved: Nested dictionaries, lists and tuples; None is left out.
        array: Function from any other leaf to an array; raises if it is none.

    Raises:
        ValueError: If a dictionary or list lies in two places, or in itself, so that a small file
            could stand for an endless tree; if it is too deep, or a name is not plain text.
    """
    seen: set[int] = set()

    def plain(part: Any, depth: int) -> Any:
        if not isinstance(part, dict | list | tuple):
            return array(part)
        if id(part) in seen and len(part) or depth > _DEEPEST:
            raise ValueError("a tree that holds a part of itself twice, or too deep")
        seen.add(id(part))
        items = part.items() if isinstance(part, dict) else enumerate(part)
        return {_name(key): plain(v, depth + 1) for key, v in items if v is not None}

    return plain(saved, 0)


def _name(key: Any) -> str:
    if type(key) is int:
        return str(key)
    if not isinstance(key, str) or not key.isprintable() or not key:
        raise ValueError(f"a name that is {key!r:.60}" if isinstance(key, str) else "no name")
    return key


def load_tree(
    network,
    path: Path,
    families: Iterable[Family],
    *,
    format: str,
    read: Callable[[Path], Tree],
) -> LoadReport:
    """Loads a file with a tree of arrays into a network, or changes nothing.

    Args:
        network: A Keras model that has been built.
        path: The file.
        families: Those whose names are known.
        format: Its format, in words.
        read: Function of the path that returns the tree.

    Raises:
        ValueError: If a weight has no array or an array no weight, or what `match.assign` refuses.
    """
    targets = {layer.name: layer for layer in weighted_layers(network)}
    arrays, notes = _weights(read(path), path)
    namings: list[Naming] = [(_plain_place, "")]
    namings += [(one.from_flax, one.classifier) for one in families if one.from_flax]
    places, classifier = best_fit(targets, arrays, namings, _NORMALIZATION, _OTHERS)
    weights = [_weight(name, value, targets, places.get(name)) for name, value in arrays.items()]
    return assign_translated(
        network, str(path), format, weights, places.get, classifier=classifier, notes=notes
    )


def _weights(tree: Tree, path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The arrays of a tree by their paths, and a note of what was left out."""
    left_out = [name for name in _NO_WEIGHTS if name in tree] if "params" in tree else []
    arrays: dict[str, np.ndarray] = {}
    for name, part in tree.items():
        if name in left_out:
            continue
        merged = "params" in tree and name in _COLLECTIONS and isinstance(part, dict)
        for leaf, value in _leaves(part, "" if merged else name):
            if leaf in arrays:
                raise ValueError(
                    f"Expected one array for each weight. Received: '{path}' with {leaf!r} twice."
                )
            if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
                raise ValueError(
                    f"Expected weights that are floating-point numbers. Received: {leaf!r} of "
                    f"'{path}', of the type {value.dtype.name}."
                )
            arrays[leaf] = value
    return arrays, (f"left out: {in_short(left_out)}",) if left_out else ()


def _leaves(part: Any, path: str):
    if not isinstance(part, dict):
        yield path, part
        return
    for name, inner in part.items():
        yield from _leaves(inner, f"{path}/{name}" if path else name)


def _plain_place(path: str) -> Place | None:
    layer, _, weight = path.rpartition("/")
    return (layer.replace("/", "."), weight.partition(":")[0]) if layer else None


def _weight(
    name: str, value: np.ndarray, targets: Mapping[str, Any], place: Place | None
) -> StoredWeight:
    vector = value.ndim > 1 and value.shape[:-1] == (1,) * (value.ndim - 1)
    if vector and place is not None and is_normalization(targets.get(place[0])):
        value = value.reshape(-1)  # kept as 1x1x1x1xC, to be laid over a clip
    return StoredWeight(name, value.shape, lambda: value)
