"""Makes `c3dvis.weights` importable in a clone, where its folder is next to the package.

In an installed package it is a subfolder. `python -m c3dvis.gallery` in a clone uses the clone's
weights even if another c3dvis is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_NAME = "c3dvis.weights"


class WeightsFinder:
    """Import finder of `c3dvis.weights`, and of no other folder of the clone."""

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
    """Installs the finder if the package is in a clone."""
    installed = (_PACKAGE / "weights").is_dir()
    if not installed and (_PACKAGE.parent / "weights" / "__init__.py").is_file():
        # After Python's path finder, which has no such module, and before the finder of an editable
        # install, which may point to another clone.
        own = sys.meta_path.index(PathFinder) + 1 if PathFinder in sys.meta_path else 0
        sys.meta_path.insert(own, WeightsFinder)
