"""Names of a package that are imported on first use (PEP 562), so that commands answer at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def exports(
    package: str, files: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`.

    Args:
        package: Its `__name__`.
        files: Of each name, the module that has it, relative to the package.

    Example:
        >>> __getattr__, __dir__ = exports("c3dvis.responses", {"convolve": "convolution"})
        >>> __getattr__("convolve").__name__
        'convolve'
    """

    def get(name: str) -> Any:
        if name in files:
            return getattr(importlib.import_module(f".{files[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *files})

    return get, names
