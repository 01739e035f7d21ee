"""Where a clip comes from: the programs and the machine that made it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import c3dvis
from c3dvis import autodiff

# Whose versions can change a clip.
_PROGRAMS = ("keras", "numpy", "Pillow")
# How many threads share an operation out, where somebody sets it: with others it rounds otherwise.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def versions() -> dict[str, str]:
    """Versions of what makes the clips."""
    versions = {"c3dvis": c3dvis.__version__, "python": platform.python_version()}
    for name in (*_PROGRAMS, keras.backend.backend()):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # such as TensorFlow built under another name
            versions[name] = "unknown"
    return versions


def machine() -> dict[str, Any]:
    """What of the machine can change the bits of a clip."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "gpus": autodiff.gpu_count(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
