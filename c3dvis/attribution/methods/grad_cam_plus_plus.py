"""Grad-CAM++: Grad-CAM weighted by the positions at which a channel raises the score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution import cam
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models.tokens import Grid


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    layer: str | None = None,
    grid: Grid | None = None,
    weights: str = "clip",
) -> Attribution:
    """ReLU of the sum of weight x activation; weights are sums of positive gradients x alpha.

    At each position, `alpha = g^2 / (2 g^2 + sum(activation) g^3)`, `g` being the gradient, divided
    by its sum over the positions of the channel. That division is not in the paper but in the
    authors' code, and in other implementations. As in the paper, the class score is the
    exponential of the objective's; that factor, common to all weights, is left out.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of a layer with a spatial output; None means `cam.default_layer`.
        grid: Frames, rows and columns of a layer's tokens; None finds the patch embedding.
        weights: One set of weights for the whole "clip", or one for each "frame" of the layer.

    Returns:
        A heatmap interpolated to every frame and pixel, not negative.

    Raises:
        ValueError: A layer that is unknown, has no spatial output, or does not lead to the
            objective.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.full((16, 64, 64, 3), 0.5, np.float32)
        >>> network = models.build("c3d-motion")
        >>> attribute(network, clip, method="grad_cam_plus_plus").heatmap.shape
        (16, 64, 64)

    Chattopadhay et al. 2017, "Grad-CAM++: Improved Visual Explanations for Deep Convolutional
    Networks", https://arxiv.org/abs/1710.11063
    """
    axes = cam.pooled_axes(weights)
    layer_gradient = cam.read_layer(scorer, clip, layer, grid=grid)
    gradient = layer_gradient.gradient.astype(np.float64)
    total = layer_gradient.activation.sum(axis=axes, keepdims=True, dtype=np.float64)
    # Divided by the gradient's square, above and below.
    alpha = _ratio((gradient != 0).astype(np.float64), 2 + total * gradient)
    alpha = _ratio(alpha, alpha.sum(axis=axes, keepdims=True))
    channel_weights = (np.maximum(gradient, 0) * alpha).sum(axis=axes, keepdims=True)
    grid_map = np.maximum(cam.weighted_sum(layer_gradient, channel_weights.astype(np.float32)), 0)
    settings = {"weights": weights}
    return cam.to_attribution(
        scorer, clip, layer_gradient, grid_map, "grad_cam_plus_plus", settings
    )


def _ratio(above: NDArray, below: NDArray) -> NDArray:
    """A quotient; zero where the divisor is."""
    return np.divide(above, below, out=np.zeros(above.shape), where=below != 0)
