"""STEP: the smallest, solid tube through space and time that the class needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.masks import methods
from c3dvis.attribution.masks.search import Energy
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

# The weight of the area doubles in 800 iterations.
ENERGY = Energy(reward=1.0, area=300.0, growth=1.0008668, core=300.0, core_from=100)


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
    """Masks of given volumes, made of solid spatiotemporal cores, that keep or remove the class.

    For each area a mask is searched that lowers `-log p` of the class where all else is perturbed
    (preserve), `-log(1 - p)` where only the mask is (delete), or both (dual), plus 300 times the
    squared distance of its sorted values from zeros and ones in the share of that area, plus 300
    times the core loss (`mask_energies`). The weight of the area doubles in 800 iterations.

    The published search begins with a mask of ones and takes 2000 small steps. By default the same
    energy is lowered faster: the search begins where integrated gradients along the blur find most
    (`mask_start`), takes 60 steps of Adam, in which the weights grow as in the 2000, and ends when
    the energy stops falling; its masks are made of squarish discs, which are cheaper
    (`mask_generators.SeparableMasks`). At the smallest areas its rewards can be lower than those of
    the published search, at others they are mostly higher.

    A network that was built under the dtype policy mixed_bfloat16 is searched in bfloat16.

    Args:
        scorer: The network and the class; the objective has to be one logit.
        clip: float32 `(T, H, W, C)` in [0, 1].
        variant: "preserve", "delete" or "dual".
        areas: Share of the mask's volume for each mask, rising, in (0, 1). The mask has a margin
            around the frame; `settings["covered"]` are the shares of the clip.
        perturbation: What a pixel becomes at mask 0: "blur", a pyramid of 8 levels up to 20
            pixels, or "fade", to black.
        reference: Search as published.
        steps: Most steps; None is 60, or 2000 as published.

    Returns:
        The mean of the masks, slightly blurred, as heatmap: from 0, in no mask, to 1, in those of
        all areas. `settings` hold for each area the class's probability with only the mask kept
        and with it removed, and the reward (log p, log(1 - p), or their sum). `perturbed` is the
        clip under the mask of `settings["area_shown"]`: the smallest that keeps nine tenths of
        the probability, or removes them (delete), or else the largest.

    Raises:
        ValueError: An objective that is not one logit, an unknown variant or perturbation, areas
            that are not rising numbers in (0, 1), or fewer than 1 step.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> network = models.build("c3d-motion")
        >>> found = attribute(network, clip, method="step", areas=(0.05,), steps=2)
        >>> found.heatmap.shape, found.settings["steps"]
        ((16, 64, 64), 2)

    Li et al. 2021, "Towards Visually Explaining Video Understanding Networks with Perturbation",
    https://arxiv.org/abs/2005.00375
    """
    return methods.explain(
        scorer,
        clip,
        method="step",
        energy=ENERGY,
        variant=variant,
        areas=areas,
        perturbation=perturbation,
        reference=reference,
        steps=steps,
    )
