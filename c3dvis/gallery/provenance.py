"""The versions of the programs and the machine that make a clip."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import c3dvis
from c3dvis import autodiff

# Packages whose versions can change a clip.
_PROGRAMS = ("keras", "numpy", "Pillow")
# Environment variables for the number of threads, on which rounding depends.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the clips."""
    versions = {"c3dvis": c3dvis.__version__, "python": platform.python_version()}
    for name in (*_PROGRAMS, keras.backend.backend()):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # such as TensorFlow built under another name
            versions[name] = "unknown"
    return versions


def machine() -> dict[str, Any]:
    """The properties of this machine that can change the bits of a clip."""
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
