"""Which pixels and which frames of a clip decided what a network makes of it.

Nothing here imports Keras until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.attribution.attribution import Attribution
    from c3dvis.attribution.front import attribute, methods

__all__ = ["Attribution", "attribute", "methods"]

_FILES = {"Attribution": "attribution", "attribute": "front", "methods": "front"}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
