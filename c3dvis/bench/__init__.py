"""Scores heatmaps, of the package or your own, on clips with known evidence.

`python -m c3dvis.bench mymethod.py` scores the function `heatmap(network, clip, target)` of a file.
Names are imported on first use, so that the command's help and errors need no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.bench.evidence import Known, Verdict, Verified, verified_clips, verify
    from c3dvis.bench.scores import score
    from c3dvis.bench.shapes import MovingShapes

__all__ = ["Known", "MovingShapes", "Verdict", "Verified", "score", "verified_clips", "verify"]

_FILES = {
    "Known": "evidence",
    "MovingShapes": "shapes",
    "Verdict": "evidence",
    "Verified": "evidence",
    "score": "scores",
    "verified_clips": "evidence",
    "verify": "evidence",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
