"""Converts the configuration of a model of Keras 1 or 2, so that Keras 3 builds the same network.

Settings that Keras 3 renamed are renamed, needless ones are dropped, and unknown ones, which could
change the network, are refused by name. Nothing is built here, and no code of a file runs.
Initializers, regularizers and constraints are dropped, as only training needs them.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from c3dvis.checkpoints.keras1_names import current_class_name, current_settings

_TRAINING = ("_initializer", "_regularizer", "_constraint")  # endings of keys
# Settings of the base class, for layers of Keras 3 that accept **kwargs.
_COMMON = ("name", "dtype", "trainable")
# Keys that Keras 3 infers, or that only say how the same is computed.
_NEEDLESS = (
    *("batch_input_shape", "input_shape", "input_dtype", "batch_size", "trainable", "dtype"),
    *("query_shape", "key_shape", "value_shape", "implementation", "autocast"),
)
_ACTIVATIONS = ("activation", "recurrent_activation")
_INNER = ("layer", "forward_layer", "backward_layer", "cell")
_OPERATIONS = ("TFOpLambda", "TensorFlowOpLayer", "SlicingOpLambda", "ClassMethod")
_MODELS = ("Model", "Functional", "Sequential")
_SAVE_AGAIN = (
    "change that with the Keras that wrote the file (`pip install tf-keras` opens those of Keras 2)"
    " and save the model again"
)


@dataclass(frozen=True)
class Origin:
    """The file of a configuration, and the version of Keras that wrote it."""

    path: Path
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """Major and minor version; Keras 1 began without writing any."""
        return tuple(map(int, re.findall(r"\d+", self.version)[:2])) or (1,)

    def __str__(self) -> str:
        return f"'{self.path}' of Keras {self.version or '1'}"


def converted(part: dict, origin: Origin) -> dict[str, Any]:
    """The configuration of a layer or model as Keras 3 saves it.

    Args:
        part: Its configuration, with `class_name` and `config`.
        origin: Its file, for messages and for the defaults of that version.

    Raises:
        ValueError: A class or a setting that Keras 3 does not have.
    """
    kind, config = part["class_name"], part["config"]
    if kind == "Sequential":
        return _saved("keras", kind, _sequential(config, origin))
    if kind in _MODELS:
        return _saved("keras", "Model", _functional(config, origin))
    return _layer(kind, config, origin)


def _saved(module: str | None, kind: str, config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": kind}


def _sequential(config: Any, origin: Origin) -> dict[str, Any]:
    """Before 2.2.3 the configuration is the list of layers; before 2.4 no InputLayer is in it."""
    if isinstance(config, list):
        config = {"layers": config}
    parts = config["layers"]
    layers = [converted(part, origin) for part in parts]
    shape = _input_shape(parts[0]) if parts else None
    shape = shape or config.get("build_input_shape")
    if layers and layers[0]["class_name"] != "InputLayer" and shape:
        layers.insert(0, _saved("keras.layers", "InputLayer", {"batch_shape": shape}))
    return {"name": config.get("name", "sequential"), "layers": layers}


def _input_shape(part: dict) -> list | None:
    """The shape, with batch, that a layer was given as the first of a Sequential."""
    config = part["config"]
    if isinstance(config, list) or "layers" in config:
        layers = config if isinstance(config, list) else config["layers"]
        return _input_shape(layers[0]) if layers else None
    shape = config.get("batch_input_shape")
    if shape is None and isinstance(config.get("input_dim"), int) and "units" not in config:
        shape = [None, config["input_dim"]]  # of Keras 1
    return shape


def _functional(config: dict, origin: Origin) -> dict[str, Any]:
    layers = []
    for part in config["layers"]:
        nodes = [_node(node) for node in part["inbound_nodes"]]
        layers.append(converted(part, origin) | {"name": part["name"], "inbound_nodes": nodes})
    outputs = copy.deepcopy(config["output_layers"])
    _renumber_calls(layers, outputs)
    return {
        "name": config.get("name"),
        "trainable": config.get("trainable", True),
        "layers": layers,
        "input_layers": _alone(config["input_layers"]),
        "output_layers": _alone(outputs),
    }


def _renumber_calls(layers: list[dict], outputs: list) -> None:
    """Numbers the calls of models inside as Keras 3 does, in place.

    In Keras 2 making a functional model is its call 0, in Keras 3 only as outputs are listed.
    """
    for layer in layers:
        if layer["class_name"] not in _MODELS:
            continue
        inside = list(_origins([other["inbound_nodes"] for other in layers], layer))
        ends = list(_origins(outputs, layer))
        first = min((one[1] for one in [*inside, *ends]), default=0)
        for one in inside:
            one[1] -= first
        for one in ends:
            one[1] += (layer["class_name"] == "Functional") - first


def _origins(part: Any, layer: dict) -> Iterator[list]:
    """The lists [layer, call, tensor] in nodes or outputs that name a layer."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list) and len(part) == 3 and part[0] == layer["name"]:
        yield part
    elif isinstance(part, list):
        for one in part:
            yield from _origins(one, layer)


def _alone(ends: list) -> list:
    """A single input or output without the list around it: Keras 3 would ask for a list."""
    return ends[0] if len(ends) == 1 and isinstance(ends[0], list) else ends


def _node(node: Any) -> Any:
    """A call of a layer: Keras 2 lists [layer, node, tensor, keywords] of each tensor it takes."""
    if not isinstance(node, list):  # as Keras 3 has it
        return node
    node = [node] if isinstance(node[0], str) else node
    tensors = [_tensor(*given[:3]) for given in node]
    keywords = node[0][3] if len(node[0]) > 3 else {}
    return {
        "args": tensors if len(tensors) == 1 else [tensors],
        "kwargs": {key: _argument(value) for key, value in keywords.items() if value is not None},
    }


def _argument(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return value[2] if value[0] == "_CONSTANT_VALUE" else _tensor(*value)
    return [_argument(one) for one in value] if isinstance(value, list) else value


def _tensor(layer: str, node: int, tensor: int) -> dict[str, Any]:
    # Keras 3 looks up its origin only; the shape is not used.
    history = {"shape": [None], "dtype": "float32", "keras_history": [layer, node, tensor]}
    return {"class_name": "__keras_tensor__", "config": history}


def _layer(kind: str, config: dict, origin: Origin) -> dict[str, Any]:
    if keras.saving.get_registered_object(kind) is not None:
        return _saved(None, kind, config)
    kind = current_class_name(kind, config)
    layer = getattr(keras.layers, kind, None)
    if not isinstance(layer, type):
        raise _unknown(kind, config, origin)
    config = current_settings(kind, config)
    if kind == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if kind == "LeakyReLU" and "alpha" in config:
        config["negative_slope"] = config.pop("alpha")
    config = _with_defaults(kind, _without_needless(layer, config, origin), origin)
    for key in config:
        config[key] = _value(key, config[key], origin)
    return _saved("keras.layers", kind, config)


def _unknown(kind: str, config: dict, origin: Origin) -> ValueError:
    if kind in _OPERATIONS:
        what = f"an operation of TensorFlow, {config.get('function', config.get('name'))!r}"
        advice = f"layers such as Rescaling, Add and Reshape can be read: {_SAVE_AGAIN}"
    else:
        what = f"a layer {config.get('name')!r} of class {kind!r}"
        advice = (
            "if that class is yours, register it with keras.saving.register_keras_serializable "
            f"first; if it was of Keras, {_SAVE_AGAIN}"
        )
    return ValueError(
        f"Expected layers of Keras 3. Received: {origin}, with {what}, which Keras 3 does not "
        f"have; {advice}."
    )


def _without_needless(layer: type, config: dict, origin: Origin) -> dict[str, Any]:
    """Drops the settings that Keras 3 does not take, if they say nothing."""
    # Of `__init__`, as a layer's `__new__` takes anything; `layer` is a class, not an instance.
    parameters = inspect.signature(layer.__init__).parameters  # type: ignore[misc]
    common = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    taken = {*parameters, *(_COMMON if common else ())}
    kept = {}
    for key, value in config.items():
        if key in taken and not key.endswith(_TRAINING):
            kept[key] = value
        elif key in _NEEDLESS or key.endswith(_TRAINING):
            continue
        elif not (value is None or value is False or (key, value) == ("groups", 1)):
            raise ValueError(
                f"Expected settings of Keras 3. Received: {origin}, whose {layer.__name__} "
                f"{config.get('name')!r} has {key}={value!r:.80}, which Keras 3 does not have; "
                f"{_SAVE_AGAIN}."
            )
    return kept


def _with_defaults(kind: str, config: dict, origin: Origin) -> dict[str, Any]:
    """States what a file leaves out where the default was another one."""
    old = origin.numbers < (2, 3)
    if kind.startswith("ConvLSTM") or (old and kind.startswith(("LSTM", "GRU"))):
        config = {"recurrent_activation": "hard_sigmoid"} | config
    if kind in ("GRU", "GRUCell"):
        config = {"reset_after": False} | config
    return config


def _value(key: str, value: Any, origin: Origin) -> Any:
    """A setting as Keras 3 takes it."""
    if key in _ACTIVATIONS:
        return _activation(value, origin)
    if key in _INNER and isinstance(value, dict):
        return converted(value, origin)
    if key == "cells":
        return [converted(cell, origin) for cell in value]
    if key == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    if key == "dtype" and isinstance(value, dict):  # a policy of mixed precision
        return value["config"]["name"]
    return value


def _activation(value: Any, origin: Origin) -> Any:
    if isinstance(value, dict) and isinstance(value["config"], dict):  # a layer, such as LeakyReLU
        return converted(value, origin)
    name = value["config"] if isinstance(value, dict) else value
    if name == "hard_sigmoid":
        name = keras.saving.get_registered_name(keras2_hard_sigmoid)
    if name is None or keras.saving.get_registered_object(name) is None:
        return name
    return {"module": None, "class_name": "function", "config": name, "registered_name": name}


@keras.saving.register_keras_serializable(package="c3dvis")
def keras2_hard_sigmoid(x):
    """The `hard_sigmoid` of Keras 1 and 2: `clip(0.2 * x + 0.5, 0, 1)`.

    Keras 3's is `relu6(x + 3) / 6`, of slope 1/6. A network trained with the old one, as every
    ConvLSTM2D of Keras 2 is by default, needs the old one.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the same shape, in [0, 1].

    Example:
        >>> import numpy as np
        >>> from c3dvis.models import keras2_hard_sigmoid
        >>> np.asarray(keras2_hard_sigmoid(np.float32([-3, 0, 1, 3]))).round(2).tolist()
        [0.0, 0.5, 0.7, 1.0]
    """
    return keras.ops.clip(0.2 * keras.ops.convert_to_tensor(x) + 0.5, 0, 1)
