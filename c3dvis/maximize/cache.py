"""Made clips kept in a folder, so that the same clip is never made twice.

A clip's file is named by a SHA-256 of everything that decides its bits: the network's weights and
layers as far as they are read, the unit, and all settings. So another weight or setting is another
file, and nothing has to be checked or thrown away.
"""

import dataclasses
import hashlib
import json
import numbers
import os
import types
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from c3dvis.receptive_field import Flat

# Raised for what is not a whole .npz file of ours.
_DAMAGED = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


class Cache:
    """A folder of arrays by key.

    Args:
        folder: Made if it isn't there.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """What was put under a key; None if nothing was, or the file is damaged."""
        try:
            with open(self._path(key), "rb") as file, np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except _DAMAGED:
            return None

    def put(self, key: str, arrays: dict[str, Any]) -> None:
        """Puts arrays under a key: whole or, if it is interrupted, not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        # Another process may be putting the same.
        unfinished = path.with_name(f"{path.stem}.{os.getpid()}.part")
        try:
            with open(unfinished, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def key_of(*parts) -> str:
    """A SHA-256, in hexadecimal, of what `described` says of some values."""
    text = json.dumps([described(part) for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def network_digest(network: keras.Model, shape: tuple[int, int, int]) -> str:
    """A SHA-256 of a network's layers, how they are joined, and their weights.

    Args:
        network: Functional model with one input.
        shape: `(T, H, W)` of its clip.
    """
    digest = hashlib.sha256()
    flat, seen = Flat(network, shape), set()
    for step in flat.steps:
        known = described([step.layer, step.inputs, step.outputs, step.call.constants])
        digest.update(json.dumps(known, sort_keys=True).encode())
        if id(step.layer) in seen:
            continue
        seen.add(id(step.layer))
        for weight in getattr(step.layer, "weights", ()):
            array = np.asarray(keras.ops.convert_to_numpy(weight))
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((flat.clip, flat.outputs, shape)).encode())
    return digest.hexdigest()


def described(value):
    """A value as JSON that differs where the value does.

    Numbers, text, arrays, containers, dataclasses, Keras objects by their configuration, other
    objects by their class and attributes, and functions by their code and what it encloses; what
    a function reads from elsewhere is not seen.

    Raises:
        ValueError: A value that can't be told from others of its kind.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Number):
        return [type(value).__name__, repr(value)]
    if isinstance(value, (bytes, np.ndarray)):
        return _digest(value)
    if isinstance(value, dict):
        return {str(name): described(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [described(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(described(one)) for one in value)
    return [_name_of(value), _state_of(value)]


def _name_of(value) -> str:
    kind = value if isinstance(value, (type, types.FunctionType)) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _state_of(value):
    """What tells an object from others of its class."""
    if isinstance(value, (type, types.BuiltinFunctionType, np.ufunc)):
        return getattr(value, "__name__", "")
    if isinstance(value, types.FunctionType):
        return _function(value)
    if isinstance(value, types.MethodType):
        return [described(value.__self__), value.__func__.__qualname__]
    if dataclasses.is_dataclass(value):
        fields = [field for field in dataclasses.fields(value) if field.compare]
        return {field.name: described(getattr(value, field.name)) for field in fields}
    if isinstance(value, (keras.Layer, keras.optimizers.Optimizer)):
        return _configuration(value)
    try:
        return described(vars(value))
    except (TypeError, RecursionError):
        raise ValueError(
            "Expected settings that can be told apart, where clips are kept in a cache. "
            f"Received: {value!r}."
        ) from None


def _configuration(value):
    inner = getattr(value, "layer", None)
    try:
        # Keras numbers the names of what has none by how many there were before.
        return described({k: v for k, v in value.get_config().items() if k != "name"})
    except NotImplementedError:
        if inner is None:
            raise ValueError(
                "Expected a layer with `get_config`, where clips are kept in a cache. "
                f"Received: {value!r}."
            ) from None
        return described(inner)


def _function(function: types.FunctionType):
    enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
    own = [function.__defaults__, function.__kwdefaults__, enclosed]
    return [_code(function.__code__), described(own)]


def _code(code: types.CodeType):
    constants = code.co_consts
    inner = [_code(c) if isinstance(c, types.CodeType) else described(c) for c in constants]
    return [_digest(code.co_code), list(code.co_names), inner]


def _digest(value) -> list[str]:
    if isinstance(value, np.ndarray):
        kind = f"{value.dtype} {value.shape}"
        return [kind, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    return ["bytes", hashlib.sha256(value).hexdigest()]
