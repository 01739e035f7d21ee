"""Which pixels and which frames of a clip decided what a network makes of it.

Nothing here imports Keras until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c3dvis.attribution.attribution import Attribution
    from c3dvis.attribution.front import attribute, methods

__all__ = ["Attribution", "attribute", "methods"]

_LAZY = {"Attribution": "attribution", "attribute": "front", "methods": "front"}


def __getattr__(name: str) -> Any:
    """Imports what needs Keras or NumPy on first use (PEP 562)."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
