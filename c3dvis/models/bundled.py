"""The files of the weights that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from c3dvis.text import unknown

_PACKAGE = "c3dvis.weights"
_SUFFIX = ".weights.h5"


def folder() -> Path:
    """The folder of the weights, with what else comes with them."""
    try:
        return Path(str(resources.files(_PACKAGE)))
    except ModuleNotFoundError as reason:
        raise ValueError(
            "Expected an installed package with its weights (`pip install -e .` in a clone). "
            f"Received: no module {_PACKAGE!r}."
        ) from reason


def names() -> list[str]:
    """The names of the weights that come with the package."""
    files = (item.name for item in folder().iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))


def file(name: str) -> Path:
    """Where the weights of one of `names()` lie; a ValueError names those nearest to another."""
    path = folder() / f"{name}{_SUFFIX}"
    if not path.is_file():
        raise unknown("the name of weights that come with the package", name, names())
    return path
