"""The methods of attribution: one file per method, with its name."""

from __future__ import annotations

import pkgutil


def names() -> tuple[str, ...]:
    """Names of the methods, which are those of the files in this folder.

    Example:
        >>> from c3dvis.attribution import methods
        >>> "integrated_gradients" in methods.names()
        True
    """
    return tuple(sorted(file.name for file in pkgutil.iter_modules(__path__)))
