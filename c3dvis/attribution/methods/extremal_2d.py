"""Extremal perturbations in two dimensions: the pixels of each frame that the class needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.masks import methods
from c3dvis.attribution.masks.search import Energy
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

ENERGY = Energy(reward=100.0, area=300.0, per_frame=True)


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    variant: str = "preserve",
    areas: Sequence[float] = methods.AREAS,
    perturbation: str = "blur",
    reference: bool = False,
    steps: int | None = None,
) -> Attribution:
    """Masks of given areas, the same in every frame, that keep or remove the class.

    As `step.attribute`, which describes options and results, but without a core, and with the
    reward weighted by 100. Every frame has the same area: nothing is said of which frames matter.

    Args:
        scorer: The network and the class; the objective has to be one logit.
        clip: float32 `(T, H, W, C)` in [0, 1].
        variant: "preserve", "delete" or "dual".
        areas: Share of each frame for each mask, rising, in (0, 1).
        perturbation: "blur" or "fade".
        reference: Search as published.
        steps: Most steps; None is 60, or 2000 as published.

    Returns:
        As of `step.attribute`.

    Raises:
        ValueError: As by `step.attribute`.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> network = models.build("c3d-motion")
        >>> found = attribute(network, clip, method="extremal_2d", areas=(0.05,), steps=2)
        >>> found.heatmap.shape
        (16, 64, 64)

    Fong et al. 2019, "Understanding Deep Networks via Extremal Perturbations and Smooth Masks",
    https://arxiv.org/abs/1910.08485; on video Li et al. 2021, https://arxiv.org/abs/2005.00375
    """
    return methods.explain(
        scorer,
        clip,
        method="extremal_2d",
        energy=ENERGY,
        variant=variant,
        areas=areas,
        perturbation=perturbation,
        reference=reference,
        steps=steps,
    )
