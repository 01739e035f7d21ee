"""The methods of attribution, and nothing else: a file each, whose name is the method's."""

from __future__ import annotations

import pkgutil


def names() -> tuple[str, ...]:
    """Names of the methods: the files of this folder.

    Example:
        >>> from c3dvis.attribution import methods
        >>> "integrated_gradients" in methods.names()
        True
    """
    # What begins with an underscore is not a method.
    files = (file.name for file in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in files if not name.startswith("_")))
