"""Score-CAM: a layer's channels, each weighted by the score of the clip seen through it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution import cam
from c3dvis.attribution.baselines import baseline as build_baseline
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.objectives import Logit

CONFIDENCES = ("probability", "score")
_EPSILON = 1e-7  # of the range of a map that is the same everywhere


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    layer: str | None = None,
    confidence: str | None = None,
    baseline: str | NDArray[np.float32] | None = "black",
    channels: int | None = None,
) -> Attribution:
    """ReLU of the sum of weight x activation; a weight is what its channel alone lets through.

    Each channel's map is drawn on the clip, stretched to [0, 1] and multiplied with the clip. The
    channel's weight is by how much the network is surer of that than of the baseline. No gradient
    is needed, but a forward pass for every channel.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of a layer with places; None is the last convolutional map.
        confidence: How sure the network is: the softmax "probability" of the class, or the
            objective's "score". None is the probability for one logit, else the score.
        baseline: What weights are counted from, as in `integrated_gradients`; None counts them
            from zero, as the authors' code does.
        channels: Look only at so many channels, those that vary most over their places; None
            is all.

    Returns:
        A heatmap interpolated to every frame and pixel, not negative.

    Raises:
        ValueError: A layer that is unknown, has no places, or is not on the way to the objective;
            a probability of what is not one logit.

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
    confidence = _confidence(scorer) if confidence is None else confidence
    if confidence not in CONFIDENCES:
        raise ValueError(f"Expected confidence {CONFIDENCES}. Received: {confidence!r}.")
    ask = scorer.probabilities if confidence == "probability" else scorer.scores
    reading = cam.read(scorer, clip, layer)
    maps = np.moveaxis(reading.activation, -1, 0)
    maps = maps[_most_varied(maps, channels)]
    weights = _seen_through(ask, clip, maps, scorer.rows(clip.shape))
    if baseline is not None:
        weights = weights - ask(build_baseline(baseline, clip)[None])
    found = np.maximum(np.tensordot(weights, maps, 1), 0)
    settings = {
        "confidence": confidence,
        "baseline": baseline if baseline is None or isinstance(baseline, str) else "given",
        "channels": len(maps),
    }
    return cam.answer(scorer, clip, reading, found, "score_cam", settings)


def _confidence(scorer: Scorer) -> str:
    (weight, term), *others = scorer.objective.terms
    is_logit = not others and weight == 1 and isinstance(term, Logit)
    return "probability" if is_logit else "score"


def _most_varied(maps: NDArray[np.float32], channels: int | None) -> NDArray[np.int64]:
    """The channels to look at, in their order."""
    if channels is None:
        return np.arange(len(maps))
    if not 1 <= channels <= len(maps):
        raise ValueError(f"Expected channels from 1 to {len(maps)}. Received: {channels}.")
    varied = maps.std(axis=(1, 2, 3))
    return np.sort(np.argsort(-varied, kind="stable")[:channels])


def _seen_through(ask, clip, maps: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """What the network makes of the clip through each map, float32 `(len(maps),)`."""
    answers = []
    for first in range(0, len(maps), rows):
        drawn = cam.upsample(maps[first : first + rows], clip.shape[:3])
        low = drawn.min(axis=(1, 2, 3), keepdims=True)
        high = drawn.max(axis=(1, 2, 3), keepdims=True)
        answers.append(ask(((drawn - low) / (high - low + _EPSILON))[..., None] * clip))
    return np.concatenate(answers)
