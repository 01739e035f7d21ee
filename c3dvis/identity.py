"""The identity of settings and networks, as JSON values and as SHA-256."""

from __future__ import annotations

import hashlib
import json
import math
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def described(value: Any) -> Any:
    """Describes a setting as a JSON value that differs whenever the setting differs.

    Numbers, text and containers are unchanged. Objects with a `get_config`, as Keras's, are
    described by it, other objects by their attributes, arrays by their content, and functions by
    their code, defaults and closure; globals that a function reads are ignored.

    Raises:
        ValueError: An object that can't be described.

    >>> described({"size": (48, 64), "steps": np.int64(8)})
    {'size': [48, 64], 'steps': 8}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): described(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [described(one) for one in value]
    if isinstance(value, np.ndarray):
        return {"array": list(value.shape), "sha256": _sha256(value)}
    if isinstance(value, np.ufunc):
        return value.__name__
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return _name(value)
    if isinstance(value, types.FunctionType):
        return {"function": _name(value), "sha256": sha256(_code(value))}
    return {"class": _name(type(value)), **_state(value)}


def sha256(value: Any) -> str:
    """SHA-256, in hexadecimal, of a setting as `described` gives it."""
    return hashlib.sha256(json.dumps(described(value), sort_keys=True).encode()).hexdigest()


def weights_sha256(network: keras.Model) -> str:
    """SHA-256, in hexadecimal, of a network's weights, in order, with their types and shapes."""
    digest = hashlib.sha256()
    for variable in network.weights:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def architecture_sha256(network: keras.Model) -> str:
    """SHA-256, in hexadecimal, of a network's layers, their settings and connections.

    Names are ignored, as Keras numbers default names by the layers created before.
    """
    try:
        config = network.get_config()
    except NotImplementedError:  # a custom layer without a `get_config`
        config = [type(layer).__name__ for layer in network.layers]
    config = json.loads(json.dumps(config, sort_keys=True, default=_plain))
    numbers = {name: f"#{i}" for i, name in enumerate(dict.fromkeys(_names(config)))}
    return hashlib.sha256(json.dumps(_renamed(config, numbers)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Replaces values of a Keras configuration that JSON lacks; objects by their class name."""
    return list(value) if isinstance(value, (tuple, set)) else type(value).__name__


def _names(config: Any) -> Iterator[str]:
    """Names of layers in a configuration, in order."""
    if isinstance(config, dict):
        for key in ("name", "layers"):
            if isinstance(config.get(key), str):
                yield config[key]
        for value in config.values():
            yield from _names(value)
    elif isinstance(config, list):
        for value in config:
            yield from _names(value)


def _renamed(config: Any, numbers: Mapping[str, str], *, refers: bool = False) -> Any:
    """A configuration with layer names replaced by numbers: under "name" and in lists."""
    if isinstance(config, dict):
        return {k: _renamed(v, numbers, refers=k == "name") for k, v in config.items()}
    if isinstance(config, list):
        return [_renamed(value, numbers, refers=True) for value in config]
    return numbers.get(config, config) if refers and isinstance(config, str) else config


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _state(value: Any) -> dict[str, Any]:
    """The configuration or attributes of an object."""
    if hasattr(value, "get_config"):
        # Keras numbers default names of layers.
        return {k: described(v) for k, v in value.get_config().items() if k != "name"}
    try:
        return described(vars(value))
    except (TypeError, RecursionError):
        raise ValueError(
            "Expected a setting that can be distinguished from others of its class. Received: "
            f"{value!r}."
        ) from None


def _code(function: types.FunctionType) -> list[Any]:
    enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
    own = [function.__defaults__, function.__kwdefaults__, enclosed]
    return [_instructions(function.__code__), described(own)]


def _instructions(code: types.CodeType) -> list[Any]:
    return [code.co_code.hex(), list(code.co_names), [_constant(one) for one in code.co_consts]]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _instructions(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype}".encode() + array.tobytes()).hexdigest()
