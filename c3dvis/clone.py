"""Finds `c3dvis.weights` in a clone, where its folder lies beside the package and not in it.

Installed, it lies in the package's folder. `python -m c3dvis.gallery` run in a clone takes the
clone's weights even where another c3dvis is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_NAME = "c3dvis.weights"


class WeightsFinder:
    """A finder of `c3dvis.weights`, and of no other folder of the clone."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        """The module's spec, as the import system asks for it; None for any other name."""
        if name != _NAME:
            return None
        folder = _PACKAGE.parent / "weights"
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def find_weights() -> None:
    """Lets the import system find the weights where the package lies in a clone."""
    installed = (_PACKAGE / "weights").is_dir()
    if not installed and (_PACKAGE.parent / "weights" / "__init__.py").is_file():
        # Behind Python's own finder, which has nothing of that name, and before that of an editable
        # install, which may be of another clone.
        own = sys.meta_path.index(PathFinder) + 1 if PathFinder in sys.meta_path else 0
        sys.meta_path.insert(own, WeightsFinder)
