"""Loads weight files of Keras 3 (`.weights.h5`) with Keras itself, all or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from c3dvis.checkpoints import hdf5
from c3dvis.checkpoints.checks import check_finite, check_shape, refuse_unused_normalization
from c3dvis.checkpoints.match import LoadReport, weighted_layers
from c3dvis.text import in_short

_LAYERS = re.compile(r"\[<[^\]]*(\]|\.\.\.$)")  # how Keras writes a list of layers


def check_weights(network, file: h5py.File, path: Path) -> tuple[str, ...]:
    """Compares names and shapes of a `.weights.h5` with a network, before Keras reads it.

    Returns:
        The layers of the file that the network does not have.
    """
    targets = {layer.name: layer for layer in _leaves(network) if layer.weights}
    groups = [group for group in hdf5.keras3_groups(file) if len(group)]
    for group in groups:
        for dataset in group.values():
            hdf5.check_numeric(dataset, path)
    named = {_layer_name(group): group for group in groups}
    for name, layer in targets.items():
        group = named.get(name, ())
        if len(group) == len(layer.weights):
            for number, variable in enumerate(layer.weights):
                dataset = group[str(number)]
                check_shape(name, variable, dataset.name, dataset.shape, str(path))
    surplus = sum(map(len, groups)) > len(network.weights)
    unused = tuple(name for name in named if name not in targets) if surplus else ()
    if unused and not any(name in targets for name in named):
        raise ValueError(
            f"Expected weights for layers {in_short(targets)}. Received: '{path}' with layers "
            f"{in_short(named)}; no name matches, and there are more weights than fit."
        )
    refuse_unused_normalization(network, unused, str(path))
    return unused


def load_weights_file(network, path: Path, unused: tuple[str, ...]) -> LoadReport:
    """Loads a `.weights.h5` by Keras's own rules: layers of a class in their order.

    Keras assigns while it reads, so the weights are saved first and restored if anything fails.
    """
    saved = [(variable, np.array(variable.numpy())) for variable in network.variables]
    targets = weighted_layers(network)
    optimizer = getattr(network, "optimizer", None)
    try:
        try:
            with with_suffix(path, ".weights.h5") as named:
                network.load_weights(named, objects_to_skip=[optimizer] if optimizer else None)
        except Exception as reason:  # Keras raises whatever the layers raise
            raise ValueError(
                f"Expected weights for layers {in_short(layer.name for layer in targets)}. "
                f"Received: '{path}' with layers {in_short(_layer_names(path))}, which does not "
                f"fit ({_LAYERS.sub('some layers', one_line(reason))})."
            ) from reason
        for layer in targets:
            for value in layer.get_weights():
                check_finite(layer.name, np.asarray(value), str(path))
    except BaseException:
        for variable, value in saved:
            variable.assign(value)
        raise
    total = len(network.weights)
    return LoadReport("Keras 3 weights", total, total, unused=unused)


def _leaves(network) -> Iterator[Any]:
    for layer in network.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _layer_names(path: Path) -> list[str]:
    with h5py.File(path, "r") as file:
        return [_layer_name(group) for group in hdf5.keras3_groups(file) if len(group)]


def _layer_name(group: h5py.Group) -> str:
    return str(group.attrs.get("name", group.parent.name))


@contextmanager
def with_suffix(path: Path, suffix: str) -> Iterator[str]:
    """A path of the file that ends as Keras requires, a link if needed."""
    if path.name.endswith(suffix):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / f"file{suffix}"
        try:
            named.symlink_to(path.resolve())
        except OSError:  # Windows lets only some users make links
            shutil.copyfile(path, named)
        yield str(named)


def one_line(reason: BaseException) -> str:
    """The reason in an error of Keras, without the configuration that surrounds it."""
    text = " ".join(str(reason).rpartition("Exception encountered:")[2].split())
    return f"{text[:300]}..." if len(text) > 300 else text
