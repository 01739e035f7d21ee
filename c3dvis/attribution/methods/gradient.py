"""The gradient of the score: how fast it changes with each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer


def attribute(scorer: Scorer, clip: NDArray[np.float32], *, magnitude: bool = False) -> Attribution:
    """Gradient of the score with respect to the clip, summed over colour channels.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        magnitude: Whether to take the largest absolute value over the channels instead of their
            sum, as in the paper.

    Returns:
        A heatmap in score per unit of brightness. Its sum over a region is how fast the score
        rises when the region becomes brighter.

    Simonyan et al. 2013, "Deep Inside Convolutional Networks: Visualising Image Classification
    Models and Saliency Maps", https://arxiv.org/abs/1312.6034
    """
    scores, gradients = scorer.gradients(clip[None])
    gradient = gradients[0]
    heatmap = np.abs(gradient).max(axis=-1) if magnitude else gradient.sum(axis=-1)
    settings = {"magnitude": magnitude}
    return Attribution(clip, heatmap, float(scores[0]), scorer.objective, "gradient", settings)
