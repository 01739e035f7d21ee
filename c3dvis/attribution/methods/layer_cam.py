"""Layer-CAM: activations weighted by position, so that early layers give fine maps."""

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
) -> Attribution:
    """ReLU of the sum over channels of activation x positive gradient, position by position.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of a layer with a spatial output; None means `cam.default_layer`. Earlier layers
            have finer maps.
        grid: Frames, rows and columns of a layer's tokens; None finds the patch embedding.

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
        >>> attribute(network, clip, method="layer_cam", layer="conv3b").settings["grid"]
        [8, 16, 16]

    Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    https://doi.org/10.1109/TIP.2021.3089943
    """
    layer_gradient = cam.read_layer(scorer, clip, layer, grid=grid)
    grid_map = np.maximum(
        cam.weighted_sum(layer_gradient, np.maximum(layer_gradient.gradient, 0)), 0
    )
    return cam.to_attribution(scorer, clip, layer_gradient, grid_map, "layer_cam", {})
