"""Weight files of others: one front, a file for each format, no code of a file ever runs.

Nothing here imports Keras until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.checkpoints.load import load_weights
    from c3dvis.checkpoints.match import LoadReport

__all__ = ["LoadReport", "load_weights"]

_FILES = {"LoadReport": "match", "load_weights": "load"}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
