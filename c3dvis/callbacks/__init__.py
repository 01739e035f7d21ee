"""Keras callbacks for `model.fit` that show what the network learns while it learns it.

Keras is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.callbacks.attribution import AttributionCallback
    from c3dvis.callbacks.gallery import GalleryCallback

__all__ = ["AttributionCallback", "GalleryCallback"]

_FILES = {"AttributionCallback": "attribution", "GalleryCallback": "gallery"}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
