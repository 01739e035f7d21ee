"""Opens whole models that Keras saved, in safe mode only."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from c3dvis import files
from c3dvis.checkpoints import hdf5, keras2_configs, keras_weights, saved_models
from c3dvis.checkpoints.checks import check_finite, unreadable
from c3dvis.checkpoints.keras2_weights import assign_in_order
from c3dvis.checkpoints.keras_weights import one_line, with_suffix
from c3dvis.checkpoints.match import StoredLayer, StoredWeight, WeightFile

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LONGEST_CONFIG = 64 * 2**20  # bytes; large video networks need less than one MiB
_LONGEST_METADATA = 2**16  # bytes; versions and a date
# What reading a damaged archive raises. RuntimeError: a part with a password, or of an unknown way
# to compress; endless nesting.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, KeyError),
    *(json.JSONDecodeError, UnicodeDecodeError),
)
# Classes of Keras whose configuration holds code, or the path of some.
_CODE = {
    "__lambda__": "a Python lambda",
    "TorchModuleWrapper": "a pickled PyTorch module",
    "TFSMLayer": "a TensorFlow SavedModel",
}


def is_keras_archive(path: Path) -> bool:
    """Whether a file is a whole model as Keras 3 saves it, whatever its name."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {_CONFIG, _WEIGHTS} <= set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):
        return False  # a cut or overwritten table of contents


def load_keras_model(path: str | os.PathLike):
    """Opens a whole model saved by Keras, as `c3dvis.models.load_keras_model` describes.

    That one has registered this package's layers; this one knows what the caller has registered.
    """
    path = files.as_path(path)
    if saved_models.is_saved_model(path):
        suffix, (config, version) = "", saved_models.read_config(path)
    elif is_keras_archive(path):
        suffix, (config, version) = ".keras", _archive_config(path)
    elif hdf5.is_hdf5(path):
        suffix, (config, version) = ".h5", _hdf5_config(path)
    else:
        raise unreadable(path, "a whole Keras model (.keras, HDF5, or SavedModel)")
    _refuse_code(config, path)
    origin = keras2_configs.Origin(path, version)
    if origin.numbers < (3,) or path.is_dir():
        network = _open_old(config, origin)
    else:
        try:
            with with_suffix(path, suffix) as named:
                network = keras.saving.load_model(named, compile=False, safe_mode=True)
        except Exception as reason:  # Keras raises whatever the layers of the file raise
            raise _not_opened(f"'{path}'", reason) from reason
    for layer in network.layers:
        for value in layer.get_weights():
            check_finite(layer.name, np.asarray(value), str(path))
    return network


def _not_opened(file: str, reason: Exception) -> ValueError:
    what = one_line(reason)
    unknown = re.search("Could not locate|Unknown layer", what)
    advice = "; register custom classes first" if unknown else ""
    return ValueError(
        f"Expected a model that Keras opens in safe mode{advice}. Received: {file} ({what})."
    )


def _open_old(config: Any, origin: keras2_configs.Origin):
    """Builds the network of a file of Keras 1 or 2 in Keras 3, and gives it the file's weights."""
    try:
        converted = keras2_configs.converted(config, origin)
        network = keras.saving.deserialize_keras_object(converted, safe_mode=True)
    except ValueError as reason:
        if str(reason).startswith("Expected "):
            raise
        raise _not_opened(str(origin), reason) from reason
    except Exception as reason:  # of a configuration of any types, converted or built
        raise _not_opened(str(origin), reason) from reason
    if origin.path.is_dir():
        saved_models.assign_variables(network, origin.path)
    elif hdf5.is_hdf5(origin.path):
        with hdf5.open_hdf5(origin.path, None) as file:
            assign_in_order(network, hdf5.read_legacy(file, origin.path))
    else:
        _load_archived_weights(network, origin)
    return network


def _load_archived_weights(network, origin: keras2_configs.Origin) -> None:
    """Loads the weights of a `.keras` archive, which Keras 2 laid out as Keras 3 does."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(origin.path) as archive:
        weights = Path(archive.extract(_WEIGHTS, folder))
        with hdf5.open_hdf5(weights, None) as file:
            keras_weights.check_weights(network, file, origin.path)
        keras_weights.load_weights_file(network, weights, ())


def read_weights(path: Path) -> WeightFile:
    """The weights of a whole model, by its layers' names."""

    def stored(variable) -> StoredWeight:
        return StoredWeight(variable.name, tuple(variable.shape), variable.numpy)

    layers = tuple(
        StoredLayer(layer.name, tuple(map(stored, layer.weights)))
        for layer in load_keras_model(path).layers
        if layer.weights
    )
    return WeightFile(str(path), "SavedModel" if path.is_dir() else "whole Keras 3 model", layers)


def _archive_config(path: Path) -> tuple[Any, str]:
    """The configuration of a whole model, and the version of Keras that wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            length = archive.getinfo(_CONFIG).file_size
            if length > _LONGEST_CONFIG:
                raise ValueError(
                    f"Expected a {_CONFIG} of at most {_LONGEST_CONFIG:,} bytes. "
                    f"Received: '{path}' with {length:,}."
                )
            with archive.open(_WEIGHTS) as inner, h5py.File(inner, "r") as file:
                hdf5.refuse_unsafe(file, path, None)
                for group in hdf5.keras3_groups(file):
                    for dataset in group.values():
                        hdf5.check_numeric(dataset, path)
            return json.loads(archive.read(_CONFIG)), _archive_version(archive)
    except _DAMAGE as reason:
        raise ValueError(
            f"Expected a whole Keras model. Received: '{path}', which is damaged "
            f"({one_line(reason)})."
        ) from reason


def _archive_version(archive: zipfile.ZipFile) -> str:
    if _METADATA not in archive.namelist():
        return "3"
    with archive.open(_METADATA) as file:
        metadata = json.loads(file.read(_LONGEST_METADATA))
    return str(metadata.get("keras_version", "3")) if isinstance(metadata, dict) else "3"


def _hdf5_config(path: Path) -> tuple[Any, str]:
    """The configuration of a whole model, and the version of Keras that wrote it."""
    with hdf5.open_hdf5(path, None) as file:
        text = file.attrs.get("model_config")
        version = hdf5.keras_version(file)
        if text is not None:
            hdf5.read_legacy(file, path)  # refuses what is not a number, before Keras reads it
    if text is None:
        raise ValueError(
            f"Expected a whole model. Received: '{path}', which holds weights only; build the "
            "network, then use load_weights."
        )
    try:
        return json.loads(text), version
    except (ValueError, TypeError, RecursionError) as reason:  # no JSON, or no text at all
        raise ValueError(
            f"Expected a whole Keras model. Received: '{path}', whose model_config is damaged "
            f"({one_line(reason)})."
        ) from reason


def _refuse_code(config: Any, path: Path) -> None:
    """Explains code in a model, instead of leaving it to an error of Keras.

    Keras's safe mode refuses it too, but not after `enable_unsafe_deserialization()`.
    """
    try:
        code = next(_code(config), None)
    except RecursionError as reason:
        raise ValueError(
            f"Expected a whole Keras model. Received: '{path}', whose configuration is nested too "
            "deep."
        ) from reason
    if code is not None:
        advice = (
            saved_models.run_it_yourself(path)
            if path.is_dir()
            else "open it in Python, with keras.saving.load_model(..., safe_mode=False), and "
            "pass the model to maximize, attribute or callbacks"
        )
        raise ValueError(
            f"Expected a model without code in it. Received: '{path}' with {code}, which is code "
            f"that opening the file would run; if you trust it, {advice}."
        )


def _is_lambda(value: Any) -> bool:
    """Whether that is a lambda's code, marked as such or, of an activation, alone."""
    if not isinstance(value, dict):
        return False
    alone = value.keys() == {"value"} and isinstance(value["value"], list)
    return alone or value.get("class_name") == "__lambda__"


def _code(config: Any) -> Iterator[str]:
    """What in a model's configuration is code, outermost first."""
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        inner = inner if isinstance(inner, dict) else {}
        # Keras 3 marks a lambda as such; Keras 1 and 2 store its code as a list. A function by its
        # name is not code: Keras asks for it to be registered.
        stored = inner.get("function")
        if kind == "Lambda" and (_is_lambda(stored) or isinstance(stored, list)):
            yield f"a Lambda layer {inner.get('name')!r}"
        elif isinstance(kind, str) and kind in _CODE:
            yield f"{_CODE[kind]} {inner.get('name', '')!r}"
        elif any(_is_lambda(value) for value in inner.values()):  # such as an activation
            yield f"a lambda in the layer {inner.get('name', '')!r}"
        for part in config.values():
            yield from _code(part)
    elif isinstance(config, list):
        for part in config:
            yield from _code(part)
