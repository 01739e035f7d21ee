"""Attribution: the pixels and frames of a clip that decided the score of a network.

Keras is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy
from c3dvis.attribution import methods

if TYPE_CHECKING:
    from c3dvis.attribution.explain import attribute
    from c3dvis.attribution.result import Attribution
    from c3dvis.attribution.scorer import Scorer

__all__ = ["Attribution", "Scorer", "attribute", "methods"]

_FILES = {"Attribution": "result", "Scorer": "scorer", "attribute": "explain"}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
lazy.call_leads_to(__name__, "attribute")
