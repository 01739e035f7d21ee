"""Which frames decide: frames frozen or reversed under a mask, the search for it, the report."""

from c3dvis.attribution.temporal.perturb import (  # noqa: F401
    AREA_WEIGHT,
    PERTURBATIONS,
    check_masks,
    cost,
    freeze_matrices,
    matrices,
    mix_frames,
    perturb,
    probabilities,
    reverse_matrices,
    snapped,
    spread,
    variation,
)
