"""Reads TensorFlow-1 checkpoints of networks built with Sonnet, such as the published I3D.

A checkpoint is a set of files with one prefix: `model.ckpt.index` names the variables, and
`model.ckpt.data-00000-of-00001` (and more shards) holds their values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from c3dvis.checkpoints import tf_index
from c3dvis.checkpoints.checks import damaged
from c3dvis.checkpoints.i3d_names import CLASSIFIER, keras_name, published_name
from c3dvis.checkpoints.match import LoadReport, StoredWeight, assign_translated, weighted_layers
from c3dvis.text import in_short

_EXPECTED = "a TensorFlow checkpoint"
_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})")
_SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})")
_SONNET_VARIABLES = {"kernel": "w", "bias": "b"}
_KERAS_VARIABLES = {"w": "kernel", "b": "bias"}
_COUNTERS = ("global_step",)  # of a training run; no weights
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_LONGEST_INDEX = 64 * 2**20  # bytes; that of a video network has less than one MiB
_MOST_AXES = 254  # of a tensor of TensorFlow
_REFERENCES = 100  # numbers of types above this are those of references, which no file holds


def is_tf_checkpoint(path: Path) -> bool:
    """Whether files of a checkpoint have this prefix, or this is one of them."""
    prefix = _prefix(path)
    if path == prefix and path.is_file():
        return False  # a single file, whatever other files are next to it
    return _index(prefix).is_file() or bool(_shards(prefix))


def load_tf_checkpoint(network, path: Path) -> LoadReport:
    """Loads a checkpoint into a network with the published names, such as `I3D()`.

    Whatever scope the variables lie in (`RGB/inception_i3d/`, `Flow/inception_i3d/`, none) is left
    out, and so are the optimizer's slots; every other name must be the network's.

    Args:
        network: A Keras model that has been built; a layer's name is the published one, with dots
            for slashes.
        path: The prefix, such as `model.ckpt`, or one of the files.

    Raises:
        ValueError: If files are missing, damaged or cut short, or a name, a shape or a value does
            not fit. Nothing is assigned then.
    """
    prefix = _prefix(path)
    reader, shapes, dtypes = _open(prefix)
    # TensorFlow 1 names what an optimizer keeps of a variable as if it lay inside the variable.
    slots = {name for name in shapes if name.rpartition("/")[0] in shapes}
    names = sorted(shapes.keys() - slots - set(_COUNTERS))
    scope = _scope(network, names, prefix)

    def place(name: str) -> tuple[str, str]:
        layer, _, variable = name.removeprefix(scope).rpartition("/")
        return keras_name(layer), _KERAS_VARIABLES.get(variable, variable)

    wrong = [name for name in names if not _is_numeric(dtypes[name])]
    if wrong:
        raise ValueError(
            f"Expected variables that are numbers. Received: '{prefix}' with {in_short(wrong)}, "
            f"of the type {dtypes[wrong[0]].name}."
        )
    weights = [_weight(reader, name, shapes[name], prefix) for name in names]
    notes = (f"{len(slots)} slots of an optimizer left out",) if slots else ()
    format = "TensorFlow 1 checkpoint"
    return assign_translated(
        network, str(prefix), format, weights, place, classifier=CLASSIFIER, notes=notes
    )


def read_variables(prefix: Path) -> tuple[Sequence[Any], dict[str, StoredWeight]]:
    """The objects in a checkpoint of TensorFlow 2, and its numbers by key.

    Objects are nodes of a TrackableObjectGraph, the first of which holds all others.

    Raises:
        ValueError: If files are missing, damaged or cut short.
    """
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    reader, shapes, dtypes = _open(prefix)
    if _OBJECTS in dtypes and dtypes[_OBJECTS].name != "string":
        raise damaged(prefix, _EXPECTED, ValueError(f"objects of the type {dtypes[_OBJECTS].name}"))
    try:
        nodes = TrackableObjectGraph.FromString(reader.get_tensor(_OBJECTS)).nodes
    except Exception as reason:  # as in _open
        raise damaged(prefix, _EXPECTED, reason) from reason
    numbers = [name for name, dtype in dtypes.items() if _is_numeric(dtype)]
    return nodes, {name: _weight(reader, name, shapes[name], prefix) for name in numbers}


def checkpoint_files(path: Path) -> list[Path]:
    """The files of a checkpoint that loading it reads: its index, and its shards."""
    prefix = _prefix(path)
    return [file for file in (_index(prefix), *_shards(prefix)) if file.is_file()]


def _prefix(path: Path) -> Path:
    suffix = "".join(path.suffixes[-1:])
    return path.with_suffix("") if _SUFFIX.fullmatch(suffix) else path


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _shards(prefix: Path) -> dict[Path, re.Match]:
    """The data files of a prefix, each with the number and count in its name."""
    if not prefix.name or not prefix.parent.is_dir():
        return {}
    shards = {
        file: _SHARD.fullmatch(file.name.removeprefix(prefix.name))
        for file in sorted(prefix.parent.iterdir())
        if file.name.startswith(f"{prefix.name}.data-")
    }
    return {file: match for file, match in shards.items() if match is not None}


def _open(prefix: Path) -> tuple[Any, dict[str, tuple[int, ...]], dict[str, Any]]:
    """TensorFlow's reader of a checkpoint, and of each variable the shape and the type."""
    import tensorflow as tf

    if not _index(prefix).is_file():
        raise ValueError(
            f"Expected '{_index(prefix)}', the index of the checkpoint. Received: its data files "
            "only."
        )
    if prefix.is_dir():  # TensorFlow would take the newest checkpoint in it
        raise ValueError(
            f"Expected a checkpoint '{prefix}' without a folder of the same name. Received: both."
        )
    try:
        _check_index(_index(prefix))
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = {name: tuple(n) for name, n in reader.get_variable_to_shape_map().items()}
        dtypes = reader.get_variable_to_dtype_map()
    except Exception as reason:  # TensorFlow raises different classes for different damage
        raise damaged(_index(prefix), _EXPECTED, reason) from reason
    _check_shards(prefix, shapes, dtypes)
    return reader, shapes, dtypes


def _check_index(path: Path) -> None:
    """Goes through an index, as TensorFlow ends the process where it cannot read a record."""
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    length = path.stat().st_size
    if length > _LONGEST_INDEX:
        raise ValueError(f"an index of {length:,} bytes")
    for name, record in tf_index.records(path.read_bytes()):
        if not name:
            continue  # the header, of which TensorFlow says itself what is wrong
        entry = BundleEntryProto.FromString(record)
        sizes = [dim.size for dim in entry.shape.dim]
        if entry.shape.unknown_rank or len(sizes) > _MOST_AXES or min(sizes, default=0) < 0:
            raise ValueError(f"a variable of shape {sizes!r:.60}")
        if entry.dtype > _REFERENCES:
            raise ValueError(f"a variable of the type {entry.dtype}")
        if math.prod(size or 1 for size in sizes) >= 2**63:
            raise ValueError(f"a variable of shape {sizes!r:.60}")
        if len(set(map(_extents, entry.slices))) != len(entry.slices):
            raise ValueError("a part of a variable that is listed twice")


def _extents(part) -> tuple[tuple[int, int], ...]:
    """Start and length on each axis of a part of a variable; -1 is the whole length."""
    return tuple((e.start, e.length if e.HasField("length") else -1) for e in part.extent)


def _is_numeric(dtype) -> bool:
    return dtype.is_floating or dtype.is_integer


def _check_shards(prefix: Path, shapes: Mapping[str, tuple], dtypes: Mapping[str, Any]) -> None:
    """Compares the sizes of the data files with what the index says they hold.

    TensorFlow itself complains only where it reads past the end of a file.
    """
    shards = _shards(prefix)
    counts = {int(match[2]) for match in shards.values()}
    if len(counts) != 1 or counts != {len(shards)}:
        names = ", ".join(file.name for file in shards) or "none"
        raise ValueError(
            f"Expected all data files of the checkpoint '{prefix}'. Received: {names}."
        )
    needed = sum(math.prod(shape) * dtypes[name].size for name, shape in shapes.items())
    present = sum(file.stat().st_size for file in shards)
    if present < needed:
        raise ValueError(
            f"Expected {needed:,} bytes of data, as the index of '{prefix}' lists them. Received: "
            f"{present:,} bytes in {', '.join(file.name for file in shards)}; the download or copy "
            "was cut short."
        )


def _scope(network, names: Iterable[str], prefix: Path) -> str:
    """What stands before the network's own names in a checkpoint."""
    layer = weighted_layers(network)[0]
    variable = layer.weights[0].name
    first = f"{published_name(layer.name)}/{_SONNET_VARIABLES.get(variable, variable)}"
    scopes = [name.removesuffix(first) for name in names if f"/{name}".endswith(f"/{first}")]
    if len(scopes) > 1:
        raise ValueError(
            f"Expected the variables of one network. Received: '{prefix}' with those of "
            f"{' and '.join(map(repr, scopes))}."
        )
    return scopes[0] if scopes else ""


def _weight(reader, name: str, shape: tuple[int, ...], prefix: Path) -> StoredWeight:
    # Later versions of Sonnet keep the vectors of batch normalization as 1x1x1x1xC.
    if len(shape) == 5 and "/batch_norm/" in f"/{name}" and shape[:-1] == (1, 1, 1, 1):
        shape = shape[-1:]

    def read() -> np.ndarray:
        try:
            return np.reshape(reader.get_tensor(name), shape)
        except Exception as reason:  # as in _open
            raise damaged(prefix, _EXPECTED, reason) from reason

    return StoredWeight(name, shape, read)
