"""Grad-CAM: a layer's channels, each weighted by how much it raises the score."""

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
    signed: bool = False,
) -> Attribution:
    """ReLU of the sum of weight x activation; a weight is the mean gradient of its channel.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of a layer with a spatial output; None means `cam.default_layer`.
        grid: Frames, rows and columns of a layer's tokens; None finds the patch embedding.
        weights: Whether gradients are averaged over the whole "clip", as for images, or over each
            "frame" of the layer, as for the sequences of a ConvLSTM.
        signed: Whether to omit the ReLU and keep negative values.

    Returns:
        A heatmap interpolated to every frame and pixel. The settings hold the layer and its grid.

    Raises:
        ValueError: A layer that is unknown, has no spatial output, or does not lead to the
            objective.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.full((16, 64, 64, 3), 0.5, np.float32)
        >>> attribute(models.build("c3d-motion"), clip, method="grad_cam").settings["layer"]
        'conv3b'

    Selvaraju et al. 2016, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", https://arxiv.org/abs/1610.02391; a frame at a time: Mänttäri, Broomé et al.
    2020, https://arxiv.org/abs/2002.00367
    """
    axes = cam.pooled_axes(weights)
    layer_gradient = cam.read_layer(scorer, clip, layer, grid=grid)
    grid_map = cam.weighted_sum(
        layer_gradient, layer_gradient.gradient.mean(axis=axes, keepdims=True)
    )
    grid_map = grid_map if signed else np.maximum(grid_map, 0)
    settings = {"weights": weights, "signed": signed}
    return cam.to_attribution(scorer, clip, layer_gradient, grid_map, "grad_cam", settings)
