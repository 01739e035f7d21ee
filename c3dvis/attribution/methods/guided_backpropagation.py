"""Guided backpropagation: the gradient along paths on which every ReLU raises the score."""

from __future__ import annotations

import functools

import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import rewire
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer


def attribute(scorer: Scorer, clip: NDArray[np.float32]) -> Attribution:
    """Gradient that passes a ReLU only where the ReLU is active and the gradient is positive.

    Its heatmaps are sharp but mostly show what the first layers see; they hardly depend on the
    class (Adebayo et al. 2018). ReLUs that a layer calls in its own code, and other activation
    functions, pass the gradient as they always do: for a network of these alone, such as a
    ConvLSTM, this is the gradient. `settings["relus"]` is the number of ReLUs that were changed.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].

    Returns:
        A heatmap in score per unit of brightness, signed, summed over colour channels.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.full((16, 64, 64, 3), 0.5, np.float32)
        >>> network = models.build("c3d-motion")
        >>> attribute(network, clip, method="guided_backpropagation").settings
        {'relus': 10}

    Springenberg et al. 2014, "Striving for Simplicity: The All Convolutional Net",
    https://arxiv.org/abs/1412.6806
    """
    shared, guided = scorer.shared, functools.partial(rewire.quick_call, relu=_guided_relu)

    def score(clips, unit_indices):
        return shared.score(clips, unit_indices, guided)

    run = scorer.cached("guided backpropagation", lambda: scorer.value_and_gradient(score))
    scores, gradients = scorer.in_batches(run, clip[None])
    settings = {"relus": rewire.relu_count(shared.tap)}
    heatmap = gradients[0].sum(axis=-1)
    return Attribution(
        clip, heatmap, float(scores[0]), scorer.objective, "guided_backpropagation", settings
    )


@ops.custom_gradient
def _guided_relu(x):
    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream  # as each backend passes it
        return ops.where(x > 0, ops.relu(upstream), ops.zeros_like(upstream))

    return ops.relu(x), gradient
