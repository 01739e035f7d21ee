"""Builds a network of the table, with its weights."""

from __future__ import annotations

import importlib
import inspect
import os

from c3dvis.models import bundled, table
from c3dvis.models.table import Entry
from c3dvis.text import nearest, unknown


def build(name: str, /, *, weights: str | os.PathLike | None = "bundled", **kwargs):
    """Builds a network of the table.

    It takes clips of the published size, `Entry.shape`, unless `input_shape` is given. (Commands
    build large networks smaller by default, see `Entry.command_shape`.) If its class names are
    known and match the number of outputs, they become the tuple `network.class_names`.

    Args:
        name: One of `names()`.
        weights: "bundled" for the weights that come with the package, or random ones if the network
            has none; "kinetics400", for "i3d", for the published ones, which are downloaded once
            (`c3dvis.models.published`); None for random ones; or a path of a weight file.
        **kwargs: Arguments of the builder; they override those of the table. `name` is that of
            the Keras model.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)`, RGB in [0, 1], to class scores.

    Raises:
        ValueError: An unknown name, or invalid arguments of the builder.
        OSError: Published weights that can't be downloaded.

    Example:
        >>> from c3dvis import models
        >>> network = models.build("c3d-motion", weights=None)
        >>> network.class_names[0]
        'moving left'
    """
    entry = table.entry(name)
    names = {"bundled", *(other.published for other in table.NETWORKS)}
    by_name = isinstance(weights, str) and weights in names
    if by_name:
        weights = _by_name(entry, str(weights))
    builder = getattr(importlib.import_module(entry.module), entry.builder)
    options = inspect.signature(builder).parameters
    classes = entry.kwargs.get("classes", options["classes"].default)
    for option in kwargs:
        if option not in options:
            raise unknown(f"an option of {entry.builder}", option, options)
    if by_name and weights is not None and kwargs.get("classes", classes) != classes:
        raise ValueError(
            f"Expected classes={classes}, as the weights of {entry.name!r} have; weights=None "
            f"gives random ones for any number. Received: classes={kwargs['classes']!r}."
        )
    network = builder(**{"name": entry.name, **entry.kwargs, **kwargs}, weights=weights)
    class_names = table.class_names(name)
    if class_names is not None and network.output_shape[1:] == (len(class_names),):
        network.class_names = class_names
    return network


def _by_name(entry: Entry, weights: str) -> str | os.PathLike | None:
    """What a builder takes for "bundled", None without a file; for "kinetics400" the full name."""
    if weights == "bundled":
        return None if entry.weights is None else bundled.file(entry.weights)
    if weights == entry.published:
        return f"{entry.name}-{weights}"
    names = [other.name for other in table.NETWORKS if other.published == weights]
    raise ValueError(
        f"Expected weights={weights!r} for a network with such weights to fetch, such as "
        f"{nearest(entry.name, names)}. Received: {entry.name!r}, which has "
        f"{'none' if entry.published is None else repr(entry.published)}."
    )
