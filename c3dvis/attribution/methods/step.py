"""STEP: the smallest, solid tube through space and time that the class needs.

Like `extremal_3d`, but masks are made of solid spatiotemporal cores. The energy of a mask is
`-log p` of the class where all else is perturbed (preserve), `-log(1 - p)` where only the mask is
(delete), or their sum (dual); plus 300 times the squared distance of its sorted values from zeros
and ones in the share of its area; plus 300 times the core loss (`masks.energies`). The weight of
the area doubles in 800 iterations.

Example:
    >>> from c3dvis import models
    >>> from c3dvis.attribution import attribute
    >>> from c3dvis.motion import MovingEvidence
    >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
    >>> network = models.build("c3d-motion")
    >>> attribution = attribute(network, clip, method="step", areas=(0.05,), steps=2)
    >>> attribution.heatmap.shape, attribution.settings["steps"]
    ((16, 64, 64), 2)

Li et al. 2021, "Towards Visually Explaining Video Understanding Networks with Perturbation",
https://arxiv.org/abs/2005.00375
"""

from c3dvis.attribution.masks import extremal
from c3dvis.attribution.masks.energies import Energy

ENERGY = Energy(reward=1.0, area=300.0, growth=1.0008668, core=300.0, core_from=100)

attribute = extremal.method("step", ENERGY)
