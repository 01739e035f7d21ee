"""Metrics of heatmaps: against known evidence, and against the network itself."""

from c3dvis.attribution.metrics.chance import WithChance, compare_to_chance
from c3dvis.attribution.metrics.curves import Curve, deletion, insertion
from c3dvis.attribution.metrics.localization import pointing_game, relevance_mass, tube_iou
from c3dvis.attribution.metrics.randomization import (
    Stage,
    cascading_randomization,
    rank_correlation,
)
from c3dvis.attribution.metrics.stability import mu_fidelity, sensitivity
from c3dvis.attribution.metrics.timing import frame_profile, temporal_hit, temporal_iou
from c3dvis.intervals import Interval, bootstrap

__all__ = [
    "Curve",
    "Interval",
    "Stage",
    "WithChance",
    "bootstrap",
    "cascading_randomization",
    "compare_to_chance",
    "deletion",
    "frame_profile",
    "insertion",
    "mu_fidelity",
    "pointing_game",
    "rank_correlation",
    "relevance_mass",
    "sensitivity",
    "temporal_hit",
    "temporal_iou",
    "tube_iou",
]
