"""Loads weight files into a network: the format is recognised from the content.

To add a format, write a file whose functions recognise it and turn it into a `match.WeightFile`
(layers and arrays that are read on demand), and its line in `FORMATS`. `match.assign` matches that
with the network; `checks` holds the checks of both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras

from c3dvis import files
from c3dvis.checkpoints import (
    flax_msgpack,
    hdf5,
    keras_models,
    keras_weights,
    numpy_pickles,
    pytorch_files,
    safetensors_files,
    saved_models,
    state_dicts,
    tf_checkpoint,
    trees,
)
from c3dvis.checkpoints.checks import unreadable, warn_unconverted
from c3dvis.checkpoints.i3d_names import rename_keras_port
from c3dvis.checkpoints.keras2_weights import warn_of_hard_sigmoid
from c3dvis.checkpoints.match import Family, LoadReport, assign


@dataclass(frozen=True)
class WeightFormat:
    """One format of weight files.

    Attributes:
        name: As it is shown where a file is of none.
        recognises: Whether a file (which need not exist) is of this format, by its content.
        load: Loads it into a network, all or nothing; the last argument is the families whose
            names in files of other libraries are known.
    """

    name: str
    recognises: Callable[[Path], bool]
    load: Callable[[Any, Path, Iterable[Family]], LoadReport]


def _load_hdf5(network, path: Path, _families: Iterable[Family]) -> LoadReport:
    shapes = {tuple(variable.shape) for variable in network.weights}
    with hdf5.open_hdf5(path, shapes) as file:
        if not hdf5.is_keras3(file):
            report = assign(network, rename_keras_port(hdf5.read_legacy(file, path)))
            warn_of_hard_sigmoid(network, file, path)
            return report
        unused = keras_weights.check_weights(network, file, path)
    return keras_weights.load_weights_file(network, path, unused)


def _load_whole(network, path: Path, _families: Iterable[Family]) -> LoadReport:
    return assign(network, keras_models.read_weights(path))


FORMATS = (
    WeightFormat("HDF5 of Keras 1, 2 or 3 (.h5)", hdf5.is_hdf5, _load_hdf5),
    WeightFormat("whole Keras 3 model (.keras)", keras_models.is_keras_archive, _load_whole),
    WeightFormat("SavedModel of Keras 2 (a folder)", saved_models.is_saved_model, _load_whole),
    WeightFormat(
        "TensorFlow 1 checkpoint (model.ckpt, for its several files)",
        tf_checkpoint.is_tf_checkpoint,
        lambda network, path, _families: tf_checkpoint.load_tf_checkpoint(network, path),
    ),
    WeightFormat(
        "pickled NumPy arrays",
        numpy_pickles.is_numpy_pickle,
        partial(trees.load_tree, format="pickled arrays", read=numpy_pickles.read_tree),
    ),
    WeightFormat(
        "PyTorch (.pth, .pt)",
        pytorch_files.is_pytorch,
        partial(state_dicts.load_tensors, format="PyTorch", read=state_dicts.pytorch_tensors),
    ),
    WeightFormat(
        "safetensors",
        safetensors_files.is_safetensors,
        partial(
            state_dicts.load_tensors, format="safetensors", read=safetensors_files.stored_tensors
        ),
    ),
    WeightFormat(
        "msgpack of Flax",
        flax_msgpack.is_flax_msgpack,
        partial(trees.load_tree, format="Flax msgpack", read=flax_msgpack.read_tree),
    ),
)


def load_weights(network, path: str | os.PathLike, families: Iterable[Family]) -> LoadReport:
    """Loads a weight file into a network, or changes nothing.

    `c3dvis.models.load_weights` is this with the families of this package.

    Args:
        network: A Keras model that has been built.
        path: The file, of one of `FORMATS`.
        families: Those whose names in files of other libraries are known.

    Raises:
        ValueError: If the file is of no known format, damaged, unsafe, or does not fit.

    Warns:
        UserWarning: If fully connected layers are missing in the file, or untrained in it, or if
            recurrent layers may have been trained with another activation (Keras 1 and 2).
    """
    path = files.as_path(path)
    if not isinstance(network, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {type(network).__name__}.")
    format = format_of(path)
    if format is None:
        names = " or ".join(known.name for known in FORMATS)
        raise unreadable(path, f"a weight file: {names}")
    report = format.load(network, path, families)
    warn_unconverted(network, report.missing)
    return report


def format_of(path: Path) -> WeightFormat | None:
    """The format of a file, by its content; None if it is unknown."""
    return next((format for format in FORMATS if format.recognises(path)), None)
