"""Masks of frames: frames frozen or reversed under a mask, the search for it, the report."""

from c3dvis.attribution.temporal.perturbations import (  # noqa: F401 - the room's names
    AREA_WEIGHT,
    PERTURBATIONS,
    binarize,
    check_masks,
    frame_heatmap,
    freeze_matrices,
    matrices,
    mix_frames,
    penalty,
    perturb,
    probabilities,
    reverse_matrices,
    variation,
)
