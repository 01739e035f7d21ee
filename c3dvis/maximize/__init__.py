"""Clips that excite a unit of a network.

Keras is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

if TYPE_CHECKING:
    from c3dvis.maximize.maximizer import Maximizer
    from c3dvis.maximize.one_call import maximize
    from c3dvis.maximize.opposite_directions import BothWays, both_ways
    from c3dvis.maximize.result import MaximizedClip
    from c3dvis.maximize.score import scores
    from c3dvis.maximize.speed_path import SlowToFast, slow_to_fast

__all__ = [
    "BothWays",
    "both_ways",
    "MaximizedClip",
    "Maximizer",
    "SlowToFast",
    "maximize",
    "scores",
    "slow_to_fast",
]

_FILES = {
    "BothWays": "opposite_directions",
    "both_ways": "opposite_directions",
    "MaximizedClip": "result",
    "Maximizer": "maximizer",
    "SlowToFast": "speed_path",
    "maximize": "one_call",
    "scores": "score",
    "slow_to_fast": "speed_path",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
lazy.call_leads_to(__name__, "maximize")
