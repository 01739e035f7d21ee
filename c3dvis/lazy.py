"""Names of a package that are imported on first use (PEP 562), and what its files define."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any


def exports(
    package: str, files: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`.

    Args:
        package: `__name__` of the package.
        files: By name, the module that defines it, relative to the package.

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


def call_leads_to(package: str, function: str) -> None:
    """Makes the error of calling a package name the function that was meant.

    Args:
        package: `__name__` of the package.
        function: Name of the function in it.

    Example:
        >>> import c3dvis
        >>> c3dvis.maximize()
        Traceback (most recent call last):
        TypeError: Expected c3dvis.maximize.maximize(...). Received: a call of the module...
    """

    class Package(types.ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            raise TypeError(
                f"Expected {package}.{function}(...). Received: a call of the module {package}."
            )

    sys.modules[package].__class__ = Package


def members(package: str, wanted: Callable[[Any], bool]) -> dict[str, Any]:
    """What the public files of a package define, by name, so that no list has to be maintained.

    Args:
        package: `__name__` of the package; files whose names begin with an underscore are private.
        wanted: Function of a value that returns whether to include it.

    Example:
        >>> "Jitter" in members("c3dvis.maximize.transforms", lambda value: isinstance(value, type))
        True
    """
    importlib.import_module(package)
    values: dict[str, Any] = {}
    for file in pkgutil.iter_modules(sys.modules[package].__path__):
        if not file.name.startswith("_"):
            module = importlib.import_module(f"{package}.{file.name}")
            own = {n: v for n, v in vars(module).items() if not n.startswith("_") and wanted(v)}
            values |= {n: v for n, v in own.items() if v.__module__ == module.__name__}
    return dict(sorted(values.items()))
