"""Gradient x input: the contribution of each pixel to the score of a linear network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer


def attribute(scorer: Scorer, clip: NDArray[np.float32]) -> Attribution:
    """Gradient of the score times the clip, summed over colour channels.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].

    Returns:
        A heatmap in units of the score. For a linear network without biases its sum is the score.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.full((16, 64, 64, 3), 0.5, np.float32)
        >>> attribute(models.build("c3d-motion"), clip, method="gradient_x_input").heatmap.shape
        (16, 64, 64)

    Shrikumar et al. 2016, "Not Just a Black Box: Learning Important Features Through Propagating
    Activation Differences", https://arxiv.org/abs/1605.01713
    """
    scores, gradients = scorer.gradients(clip[None])
    heatmap = (gradients[0] * clip).sum(axis=-1)
    return Attribution(clip, heatmap, float(scores[0]), scorer.objective, "gradient_x_input")
