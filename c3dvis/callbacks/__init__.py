"""Keras callbacks for `model.fit` that show what the network learns while it learns it.

Nothing here imports Keras until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c3dvis.callbacks.attribution import AttributionCallback
    from c3dvis.callbacks.gallery import GalleryCallback

__all__ = ["AttributionCallback", "GalleryCallback"]

_LAZY = {"AttributionCallback": "attribution", "GalleryCallback": "gallery"}


def __getattr__(name: str) -> Any:
    """Imports what needs Keras on first use (PEP 562)."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
