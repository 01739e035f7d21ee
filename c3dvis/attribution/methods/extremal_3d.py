"""Extremal perturbations in three dimensions: the pixels of the clip that the class needs.

A mask's volume may lie in any frames.

Example:
    >>> from c3dvis import models
    >>> from c3dvis.attribution import attribute
    >>> from c3dvis.motion import MovingEvidence
    >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
    >>> network = models.build("c3d-motion")
    >>> attribute(network, clip, method="extremal_3d", areas=(0.05,), steps=2).heatmap.shape
    (16, 64, 64)

Fong et al. 2019, "Understanding Deep Networks via Extremal Perturbations and Smooth Masks",
https://arxiv.org/abs/1910.08485; on video Li et al. 2021, https://arxiv.org/abs/2005.00375
"""

from c3dvis.attribution.masks import extremal
from c3dvis.attribution.masks.energies import Energy

ENERGY = Energy(reward=100.0, area=300.0)

attribute = extremal.method("extremal_3d", ENERGY)
