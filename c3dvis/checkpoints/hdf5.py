"""Reads HDF5 weight files of Keras 1, 2 and 3, and refuses links to other files."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from c3dvis.checkpoints.checks import THEANO_ADVICE
from c3dvis.checkpoints.match import StoredLayer, StoredWeight, WeightFile
from c3dvis.text import in_short

# Groups of files of Keras 1 or 2 that are not layers.
_NO_LAYERS = ("optimizer_weights", "top_level_model_weights")
# A dataset can claim any size without storing it. Larger ones, in bytes, are read only if they have
# the shape of a weight of the network.
_LARGE = 2**30
_LARGEST_NUMBER = 8  # bytes, of a float64
_LINKS = {h5py.ExternalLink: "an external link", h5py.SoftLink: "a soft link"}


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does; it may be cut short."""
    return path.is_file() and bool(h5py.is_hdf5(path))


@contextmanager
def open_hdf5(path: Path, shapes: Collection[tuple[int, ...]] | None) -> Iterator[h5py.File]:
    """Opens an HDF5 file after checking it for unsafe contents.

    Args:
        path: A file that `is_hdf5`.
        shapes: Shapes of the network's weights; a large dataset must have one of them. None where
            the file defines the network.

    Raises:
        ValueError: If the file is cut short or damaged, or `refuse_unsafe` finds something.
    """
    try:
        with h5py.File(path, "r") as file:
            refuse_unsafe(file, path, shapes)
            yield file
    except (OSError, RuntimeError, KeyError) as reason:  # what h5py raises for damaged files
        size = path.stat().st_size
        raise ValueError(
            f"Expected an HDF5 file. Received: '{path}' of {size:,} bytes, which is not an HDF5 "
            f"file that can be read; is it cut short, or a web page? ({str(reason).strip()})"
        ) from reason


def refuse_unsafe(file: h5py.File, path: Path, shapes) -> None:
    """Refuses links to other files, external data, and datasets larger than any weight."""
    groups, seen = [file["/"]], set()
    while groups:
        group = groups.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            # The link is looked at, not followed: following an external one opens another file.
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = _LINKS.get(type(link), "a link of unknown kind")
                raise _unsafe(path, f"{kind} at {where!r}")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group) and address not in seen:  # a group may hold itself
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _refuse_unsafe_dataset(item, where, path, shapes)
            seen.add(address)


def _refuse_unsafe_dataset(item: h5py.Dataset, where: str, path: Path, shapes) -> None:
    if item.is_virtual:
        raise _unsafe(path, f"a virtual dataset at {where!r}")
    if item.external:
        raise _unsafe(path, f"external storage at {where!r}")
    try:
        itemsize = item.dtype.itemsize
    except TypeError as reason:  # one that NumPy lacks, such as a time
        raise _unsafe(path, f"a dataset of an unknown type at {where!r}") from reason
    claimed = math.prod(item.shape or ()) * itemsize
    stored = item.id.get_storage_size()
    known = claimed <= stored if shapes is None else item.shape in shapes
    known = known and itemsize <= _LARGEST_NUMBER
    if claimed > _LARGE and not known:
        raise _unsafe(path, f"a dataset of shape {item.shape} ({claimed:,} bytes) at {where!r}")


def _unsafe(path: Path, what: str) -> ValueError:
    return ValueError(
        f"Expected a weight file that holds its own arrays, of the network's shapes. Received: "
        f"'{path}' with {what}; nothing of it was read."
    )


def check_numeric(dataset: h5py.Dataset, path: Path) -> None:
    """Refuses a dataset that is not of real numbers, before it is read."""
    is_bfloat16 = dataset.dtype == "V2" and dataset.attrs.get("dtype") == "bfloat16"
    if dataset.dtype.kind not in "fiub" and not is_bfloat16:
        raise ValueError(
            f"Expected numbers in {dataset.name!r} of '{path}'. Received: {dataset.dtype}."
        )


def is_keras3(file: h5py.File) -> bool:
    """Whether weights are in the layout of Keras 3: in groups `vars`, as `0`, `1`, ..."""
    legacy = "layer_names" in file.attrs or "model_weights" in file
    return not legacy and any(True for _ in keras3_groups(file))


def keras3_groups(group: h5py.Group) -> Iterator[h5py.Group]:
    """The groups `vars` of layers, in natural order; the optimizer's and seeds are left out."""
    for name in sorted(group, key=_natural):
        item = group[name]
        if not isinstance(item, h5py.Group) or name in ("optimizer", "seed_generator"):
            continue
        if name == "vars" and all(key.isdigit() for key in item):
            yield item
        else:
            yield from keras3_groups(item)


def keras_version(file: h5py.File) -> str:
    """The version of Keras that wrote a file; "" if unknown."""
    places = [file, file.get("model_weights")]
    texts = [place.attrs.get("keras_version") for place in places if place is not None]
    return next((_text(text) for text in texts if text is not None), "")


def read_legacy(file: h5py.File, path: Path) -> WeightFile:
    """The weights in a file of Keras 1 or 2, of weights only or of a whole model.

    The root, or its group `model_weights`, has an attribute `layer_names` and a group per layer,
    with an attribute `weight_names`. Early converters wrote neither attribute; then groups and
    datasets are taken in natural order, conv2 before conv10.
    """
    root = file
    if "layer_names" not in file.attrs and isinstance(file.get("model_weights"), h5py.Group):
        root = file["model_weights"]
    if _text(root.attrs.get("backend", file.attrs.get("backend", ""))) == "theano":
        raise ValueError(
            f"Expected kernels as TensorFlow runs them. Received: '{path}', written by Keras on "
            f"Theano. {THEANO_ADVICE}"
        )
    names, notes = _listed(root, "layer_names"), []
    if names is None:
        names = sorted((name for name in root if name not in _NO_LAYERS), key=_natural)
        notes.append("the file does not list its layers; they are taken in natural order")
    layers = [
        StoredLayer(name, tuple(_weights(root[name], path)))
        for name in names
        if isinstance(root.get(name), h5py.Group)
    ]
    version = keras_version(file)
    label = f"HDF5 of Keras {version or '1 or 2'}"
    layers = [layer for layer in layers if layer.weights]
    return WeightFile(str(path), label, tuple(layers), tuple(notes))


def _weights(group: h5py.Group, path: Path) -> Iterator[StoredWeight]:
    names = _listed(group, "weight_names")
    if names is None:
        names = []
        group.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        names.sort(key=_natural)
    for name in names:
        dataset = group.get(name)
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(
                f"Expected a dataset {name!r}, as {group.name!r} of '{path}' lists it. "
                f"Received: {in_short(sorted(group, key=_natural))}."
            )
        check_numeric(dataset, path)
        yield StoredWeight(name, dataset.shape, partial(dataset.__getitem__, ()))


def _listed(group: h5py.Group, attribute: str) -> list[str] | None:
    """An attribute that lists names; Keras splits long ones into `layer_names0`, `...1`."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [_text(name) for part in parts for name in np.ravel(part)] if parts else None


def _text(value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
