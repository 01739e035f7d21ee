"""Where a clip comes from: its network, the programs and the machine that made it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import c3dvis
from c3dvis import autodiff, identity
from c3dvis.gallery.record import HASHES
from c3dvis.gallery.settings import Settings

# Whose versions can change a clip.
_PROGRAMS = ("keras", "numpy", "Pillow")
# How many threads share an operation out, where somebody sets it: with others it rounds otherwise.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def of_network(network: keras.Model, settings: Settings) -> dict[str, Any]:
    """A network's name, the files it came from, and the hashes of its weights and architecture."""
    hashes = (identity.weights_sha256(network), identity.architecture_sha256(network))
    return {**settings.of_network(), **dict(zip(HASHES, hashes, strict=True))}


def identity_of(network: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """What decides the clips, and what all runs in one folder must agree on.

    Args:
        network: As `of_network` tells it.
        settings: Of the run.
    """
    return {**settings.identity(), **{name: network[name] for name in HASHES}}


def versions() -> dict[str, str]:
    """Versions of what makes the clips."""
    backend = keras.backend.backend()
    names = (*_PROGRAMS, backend)
    return {
        "c3dvis": c3dvis.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in names},
    }


def machine() -> dict[str, Any]:
    """What of the machine can change the bits of a clip."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "gpus": autodiff.gpu_count(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # such as a build of TensorFlow under another name
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
