"""Assigns PyTorch's tensors to a Keras network: names, order of axes, hash of the file.

A family of networks (`match.Family.from_pytorch`) says which layer a tensor belongs to. All
families are tried, and the one that places the most tensors is taken; so your own network loads
too, if its layers have PyTorch's names. Then each tensor needs its place and each weight its
tensor; only those of the family's classifier may be left over, where the network was built without
its top.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from c3dvis import graph
from c3dvis.checkpoints import pytorch_files
from c3dvis.checkpoints.match import (
    Family,
    LoadReport,
    Place,
    StoredWeight,
    assign_translated,
    weighted_layers,
)
from c3dvis.checkpoints.namings import best_fit

# Wrappers around a network that put their own name before each of its names.
_PREFIXES = ("module.", "model.", "network.", "net.", "_orig_mod.")
_NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_OTHERS = {"weight": "kernel", "bias": "bias"}
# Counts the steps of training for a running mean without momentum; no network here has one.
_NO_WEIGHT = "num_batches_tracked"
# PyTorch's published files carry the first digits of their SHA-256: r3d_18-b3b3357e.pth. Eight
# digits that read as a date are a date.
_HASH = re.compile(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8,64})\.[a-z]")


def pytorch_tensors(path: Path) -> dict[str, StoredWeight]:
    """The tensors of a PyTorch file (.pth, .pt) by name."""
    tensors = pytorch_files.read_tensors(path)
    return {
        name: StoredWeight(name, value.shape, partial(np.asarray, value))
        for name, value in tensors.items()
    }


def load_tensors(
    network,
    path: Path,
    families: Iterable[Family],
    *,
    format: str,
    read: Callable[[Path], Mapping[str, StoredWeight]],
) -> LoadReport:
    """Loads a file of tensors with PyTorch's names into a network, or changes nothing.

    Args:
        network: A Keras model that has been built.
        path: The file.
        families: Those whose names are known.
        format: Its format, in words.
        read: Function of the path that returns its tensors by name.

    Raises:
        ValueError: If a weight has no tensor or a tensor no weight, or what `match.assign` refuses.
    """
    _check_hash(path)
    targets = {layer.name: layer for layer in weighted_layers(network)}
    tensors = _unwrapped(read(path))
    namings = [(one.from_pytorch, one.classifier) for one in families if one.from_pytorch]
    places, classifier = best_fit(targets, tensors, namings, _NORMALIZATION, _OTHERS)
    weights = [_weight(name, value, targets, places.get(name)) for name, value in tensors.items()]
    return assign_translated(network, str(path), format, weights, places.get, classifier=classifier)


def _check_hash(path: Path) -> None:
    """Refuses a file that is not the one whose hash its name carries."""
    match = _HASH.search(path.name)
    if match is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(match[1]):
        raise ValueError(
            f"Expected a file whose SHA-256 begins with {match[1]}, as its name says. Received: "
            f"'{path}', whose SHA-256 is {digest}; it is damaged or another file."
        )


def _unwrapped(tensors: Mapping[str, StoredWeight]) -> dict[str, StoredWeight]:
    """Tensors by their names in the network itself, without those that are not weights."""
    kept = {name: value for name, value in tensors.items() if name.rpartition(".")[2] != _NO_WEIGHT}
    while kept:
        common = [prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in kept)]
        if not common:
            break
        kept = {name.removeprefix(common[0]): value for name, value in kept.items()}
    return kept


def _weight(
    name: str, tensor: StoredWeight, targets: Mapping[str, Any], place: Place | None
) -> StoredWeight:
    """A tensor with its axes in Keras's order."""
    if place is None or place[0] not in targets or place[1] != "kernel":
        return StoredWeight(name, tensor.shape, tensor.read)
    convert = partial(_kernel, targets[place[0]])
    # The shape is that of a number laid out as the tensor, so that nothing is read for it.
    shape = convert(np.broadcast_to(np.float32(0), tensor.shape)).shape
    return StoredWeight(name, shape, lambda: convert(tensor.read()))


def _kernel(layer, value: np.ndarray) -> np.ndarray:
    """A kernel from (out, in, frames, rows, columns) to (frames, rows, columns, in, out)."""
    if value.ndim < 2:
        return value  # of no layer here; its shape will be refused
    if value.ndim == 4 and len(layer.kernel.shape) == 5:
        value = value[:, :, None]  # a 2-D convolution, which is a 3-D one of a single frame
    value = value.transpose(*range(2, value.ndim), 1, 0)
    flattened = _flattened(layer) if value.ndim == 2 else ()
    if len(flattened) > 1 and len(value) == math.prod(flattened):
        # PyTorch flattens channels first: (C, T, H, W) before a fully connected layer.
        *places, channels = flattened
        value = value.reshape(channels, *places, -1)
        value = np.moveaxis(value, 0, -2).reshape(math.prod(flattened), -1)
    return value


def _flattened(layer) -> Sequence[int]:
    """Shape, without the batch, of what was flattened to be a layer's input; () if nothing was."""
    source = _source(layer)
    while type(source).__name__ in ("Dropout", "Identity"):
        source = _source(source)
    return source.input.shape[1:] if type(source).__name__ == "Flatten" else ()


def _source(layer):
    """The layer that made what a layer reads."""
    call, _ = graph.producer(layer.input)
    return call.layer
