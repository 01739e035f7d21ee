"""See what a video network has learned.

The public modules are imported on first use, so that `import c3dvis` loads neither Keras nor NumPy.

>>> import c3dvis
>>> c3dvis.clips.__name__
'c3dvis.clips'
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c3dvis import (
        attribution,
        callbacks,
        clips,
        maximize,
        models,
        motion,
        objectives,
        receptive_field,
        responses,
    )

    __version__: str

__all__ = [
    "__version__",
    "attribution",
    "callbacks",
    "clips",
    "maximize",
    "models",
    "motion",
    "objectives",
    "receptive_field",
    "responses",
]

# Installed, c3dvis.weights lies in this folder. In a clone it is the folder weights/ beside it, and
# `python -m c3dvis.gallery` run in a clone takes the clone's package even where one is installed.
_HERE = os.path.dirname(os.path.abspath(__file__))
_CLONE = os.path.dirname(_HERE)
if not os.path.isdir(os.path.join(_HERE, "weights")):
    if os.path.isfile(os.path.join(_CLONE, "weights", "__init__.py")):
        __path__.append(_CLONE)


def __getattr__(name: str) -> Any:
    """Imports a public module, or looks up the version, on first use (PEP 562)."""
    if name == "__version__":
        return _version()
    if name in __all__:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version(__name__)
    except metadata.PackageNotFoundError:
        return "0+not.installed"  # run from a folder on PYTHONPATH: no metadata to ask
