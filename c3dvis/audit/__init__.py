"""Whether a network relies on motion or the background, measured on a folder of clips, class by
class.

Names are imported on first use, so that the command's help and errors need no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.audit.actor import Actor, find_actor
    from c3dvis.audit.result import Audit, ClipScores, Score, Summary
    from c3dvis.audit.run import audit
    from c3dvis.audit.verdict import Verdict

__all__ = ["Actor", "Audit", "ClipScores", "Score", "Summary", "Verdict", "audit", "find_actor"]

_FILES = {
    "Actor": "actor",
    "Audit": "result",
    "ClipScores": "result",
    "Score": "result",
    "Summary": "result",
    "Verdict": "verdict",
    "audit": "run",
    "find_actor": "actor",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
