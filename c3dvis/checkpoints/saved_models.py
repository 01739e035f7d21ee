"""Reads the layers and weights of a Keras 2 model that was saved as a TensorFlow SavedModel.

Such a folder holds a program, the graph in `saved_model.pb`, which may read and write files: it is
never opened. Keras 2 keeps the configuration of the layers next to it, in `keras_metadata.pb`, and
their values in `variables/`, by the attributes that lead to them. These are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from c3dvis.checkpoints import tf_checkpoint
from c3dvis.checkpoints.checks import check_shape
from c3dvis.checkpoints.keras_weights import one_line

_GRAPH, _METADATA, _VARIABLES = "saved_model.pb", "keras_metadata.pb", "variables/variables"
_LONGEST_METADATA = 64 * 2**20  # bytes; that of a large video network has less than one MiB
_ROOT = "root"  # path of the model itself


def is_saved_model(path: Path) -> bool:
    """Whether a folder is a TensorFlow SavedModel."""
    return (path / _GRAPH).is_file()


def read_config(path: Path) -> tuple[Any, str]:
    """The configuration of a SavedModel's layers, and the version of Keras that wrote it.

    Raises:
        ValueError: If there is none, as in those of Keras 3 and of TensorFlow itself, or it is
            damaged.
    """
    file = path / _METADATA
    if not file.is_file():
        raise _graph_only(path, "no layers of Keras 2 besides its graph")
    length = file.stat().st_size
    if length > _LONGEST_METADATA:
        raise ValueError(
            f"Expected a {_METADATA} of at most {_LONGEST_METADATA:,} bytes. "
            f"Received: '{file}' with {length:,}."
        )
    try:
        metadata = _root_metadata(file.read_bytes())
        config = {name: metadata[name] for name in ("class_name", "config")}
        version = str(metadata.get("keras_version", "2"))
    except Exception as reason:  # of protobuf, of JSON, and of what is in it
        raise ValueError(
            f"Expected a SavedModel of Keras. Received: '{path}', whose {_METADATA} is damaged "
            f"({one_line(reason)})."
        ) from reason
    if not isinstance(config["config"], dict) or "layers" not in config["config"]:
        raise _graph_only(path, f"a model of class {config['class_name']!r:.80}, defined in code")
    return config, version


def _graph_only(path: Path, what: str) -> ValueError:
    return ValueError(
        "Expected a SavedModel of a functional or Sequential model of Keras 2. "
        f"Received: '{path}', with {what}; a graph is a program, and none of a file is run. If you "
        f"trust it, {run_it_yourself(path)}."
    )


def run_it_yourself(path: Path) -> str:
    """How a user can run the graph of a SavedModel."""
    return (
        f"call keras.layers.TFSMLayer({str(path)!r}, call_endpoint='serving_default') on a "
        "keras.Input, and pass the keras.Model of the two"
    )


def _root_metadata(content: bytes) -> dict:
    """What `keras_metadata.pb` says of the model itself, as Keras's older files have it."""
    (text,) = [
        one.json for one in _metadata_type().FromString(content).objects if one.path == _ROOT
    ]
    return _plain(json.loads(text))


def _metadata_type() -> Any:
    """The part that is read here of the message that Keras 2 calls SavedMetadata."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=_METADATA, package="keras2", syntax="proto3")
    one = file.message_type.add(name="Object")
    for name, number in (("path", 3), ("json", 5)):
        one.field.add(name=name, number=number, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    file.message_type.add(name="Metadata").field.add(
        name="objects",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".keras2.Object",
        label=kinds.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("keras2.Metadata"))


def _plain(value: Any) -> Any:
    """A configuration with lists where the file marks tuples and shapes."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
            return _plain(value["items"])
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def assign_variables(network, path: Path) -> None:
    """Assigns the weights in a SavedModel to the network that was built from its configuration.

    Raises:
        ValueError: If files are missing or damaged, or a weight is missing or of another shape.
    """
    prefix = path / _VARIABLES
    nodes, variables = tf_checkpoint.read_variables(prefix)
    try:
        for layer, variable, key in list(_pairs(network, nodes[0], nodes)):
            stored = variables[key]
            check_shape(layer.name, variable, key, stored.shape, str(path))
            variable.assign(np.asarray(stored.read()))
    except (KeyError, IndexError) as reason:
        raise ValueError(
            f"Expected all weights of the model. Received: '{path}' without {reason}."
        ) from reason


def _pairs(layer, node, nodes) -> Iterator[tuple[Any, Any, str]]:
    """A layer, a weight of it and the weight's key, for it and all layers in it.

    A node's children have the names of attributes in Keras 2, which Keras 3 has kept.
    """
    children = {child.local_name: nodes[child.node_id] for child in node.children}
    inner = dict(_inner(layer))
    theirs = {id(weight) for one in inner.values() for weight in one.weights}
    for weight in layer.weights:
        if id(weight) not in theirs:
            yield layer, weight, children[weight.name].attributes[0].checkpoint_key
    for name, one in inner.items():
        yield from _pairs(one, children[name], nodes)


def _inner(layer) -> Iterator[tuple[str, Any]]:
    """The layers with weights in a layer, by what a SavedModel calls them."""
    if isinstance(layer, keras.Model):
        weighted = [one for one in layer.layers if one.weights]
        yield from ((f"layer_with_weights-{i}", one) for i, one in enumerate(weighted))
        return
    for name, value in vars(layer).items():
        if isinstance(value, keras.layers.Layer) and value.weights:
            yield name, value
