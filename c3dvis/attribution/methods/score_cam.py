"""Score-CAM: a layer's channels, each weighted by the score of the clip masked by it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution import cam
from c3dvis.attribution.baselines import baseline as build_baseline
from c3dvis.attribution.convergence import check_tolerance, relative_error
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models.tokens import Grid

CONFIDENCES = ("probability", "score")
_CHANNELS_PER_CHECK = 8  # of the error
_EPSILON = 1e-7  # added to the range of a map, which is 0 for a constant one


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    layer: str | None = None,
    grid: Grid | None = None,
    confidence: str | None = None,
    baseline: str | NDArray[np.float32] | None = "black",
    channels: int | None = None,
    tolerance: float | None = None,
) -> Attribution:
    """ReLU of the sum of weight x activation; a weight is the score of the masked clip.

    Each channel's map is upsampled, scaled to [0, 1] and multiplied with the clip. The weight of
    the channel is the confidence in the product less that in the baseline. No gradient is needed,
    but a forward pass for every channel.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of a layer with a spatial output; None means `cam.default_layer`.
        grid: Frames, rows and columns of a layer's tokens; None finds the patch embedding.
        confidence: The "probability" of the class, or the objective's "score". None means the
            probability where there is one, else the score.
        baseline: The clip whose confidence is subtracted, as in `integrated_gradients`; None
            subtracts nothing, like the authors' code.
        channels: Number of channels, those of the largest variance over their positions; None is
            all.
        tolerance: Channels are scored in order of their energy, eight at a time, until the error of
            the map is at most this; None scores all. The others get the mean weight of those
            scored. The error estimate assumes that their weights deviate from that mean as much as
            those of the scored channels; it is relative as in `convergence.relative_error`.

    Returns:
        A heatmap interpolated to every frame and pixel, not negative. Its settings hold the number
        of `channels` that were scored and, with a tolerance, the relative `standard_error` and
        `within_tolerance`, which is always true, as in the end all are scored.

    Raises:
        ValueError: A tolerance that is not above 0; a layer that is unknown, has no spatial
            output, or does not lead to the objective; the probability of an objective that is not
            one logit.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.random.default_rng(0).random((16, 64, 64, 3), np.float32)
        >>> network = models.build("c3d-motion")
        >>> attribute(network, clip, method="score_cam", channels=4).heatmap.shape
        (16, 64, 64)

    Wang et al. 2019, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", https://arxiv.org/abs/1910.01279
    """
    check_tolerance(tolerance)
    if confidence is None:
        confidence = "probability" if scorer.shared.has_probability else "score"
    if confidence not in CONFIDENCES:
        names = " or ".join(map(repr, CONFIDENCES))
        raise ValueError(f"Expected confidence {names}. Received: {confidence!r}.")
    confidences = scorer.probabilities if confidence == "probability" else scorer.scores
    layer_gradient = cam.read_layer(scorer, clip, layer, grid=grid)
    maps = np.moveaxis(layer_gradient.activation, -1, 0)
    maps = maps[_largest_variance(maps, channels)]
    reference = 0.0 if baseline is None else confidences(build_baseline(baseline, clip)[None])[0]

    def weigh(some: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = scorer.batches(len(some), clip.shape)
        masked = [confidences(_masked(clip, some[part])) for part in parts]
        return np.concatenate(masked) - reference

    settings: dict[str, Any] = {
        "confidence": confidence,
        "baseline": baseline if baseline is None or isinstance(baseline, str) else "given",
    }
    if tolerance is None:
        grid_map: NDArray = np.tensordot(weigh(maps), maps, 1)
        settings["channels"] = len(maps)
    else:
        grid_map, taken, error = _up_to_tolerance(tolerance, maps, weigh)
        settings |= {"channels": taken, "tolerance": tolerance, "standard_error": error}
        settings["within_tolerance"] = error <= tolerance
    grid_map = np.maximum(grid_map, 0)
    return cam.to_attribution(scorer, clip, layer_gradient, grid_map, "score_cam", settings)


def _up_to_tolerance(
    tolerance: float, maps: NDArray[np.float32], weigh
) -> tuple[NDArray[np.float64], int, float]:
    """The weighted sum of maps, of as many as the tolerance needs; their number; the error."""
    order = np.argsort(-np.square(maps).sum(axis=(1, 2, 3)), kind="stable")
    maps = maps[order].astype(np.float64)
    weights = np.zeros(0)
    while True:
        some = maps[len(weights) : len(weights) + _CHANNELS_PER_CHECK]
        weights = np.concatenate([weights, weigh(some.astype(np.float32))])
        taken, rest = maps[: len(weights)], maps[len(weights) :]
        grid_map = np.tensordot(weights, taken, 1) + weights.mean() * rest.sum(axis=0)
        deviation = weights.std() * np.sqrt(np.square(rest).sum(axis=0))
        error = relative_error(deviation, np.maximum(grid_map, 0))
        if error <= tolerance or not len(rest):
            return grid_map, len(weights), error


def _largest_variance(maps: NDArray[np.float32], channels: int | None) -> NDArray[np.int64]:
    """Indices of the channels of the largest variance, in their order."""
    if channels is None:
        return np.arange(len(maps))
    if not 1 <= channels <= len(maps):
        raise ValueError(f"Expected channels from 1 to {len(maps)}. Received: {channels}.")
    deviations = maps.std(axis=(1, 2, 3))
    return np.sort(np.argsort(-deviations, kind="stable")[:channels])


def _masked(clip: NDArray[np.float32], maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The clip times each map, upsampled and scaled to [0, 1]."""
    masks = cam.upsample(maps, clip.shape[:3])
    low = masks.min(axis=(1, 2, 3), keepdims=True)
    high = masks.max(axis=(1, 2, 3), keepdims=True)
    return ((masks - low) / (high - low + _EPSILON))[..., None] * clip
