"""SmoothGrad: the mean gradient of noisy copies of the clip, as a single gradient is noisy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

KINDS = ("plain", "squared", "variance")


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    kind: str = "plain",
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Attribution:
    """Mean gradient of noisy copies of the clip, summed over colour channels.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        kind: "plain", the mean of the gradients, signed; "squared", the mean of their squares;
            "variance", their variance over the samples (VarGrad). The last two are not negative.
        samples: Number of noisy copies.
        noise: Standard deviation of the noise as a share of the clip's range, from its lowest to
            its highest value. As in the paper, noisy copies may leave [0, 1].
        seed: Of the noise.

    Returns:
        A heatmap in score per unit of brightness, or in the square of that.

    Raises:
        ValueError: An unknown kind, fewer than 1 sample (2 for a variance), negative noise.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.random.default_rng(0).random((16, 64, 64, 3), np.float32)
        >>> network = models.build("c3d-motion")
        >>> attribute(network, clip, method="smooth_grad", samples=2).heatmap.shape
        (16, 64, 64)

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise",
    https://arxiv.org/abs/1706.03825; squared: Hooker et al. 2018, https://arxiv.org/abs/1806.10758;
    variance: Adebayo et al. 2018, https://arxiv.org/abs/1810.03307
    """
    _check(kind, samples, noise, seed)
    deviation = noise * float(clip.max() - clip.min())
    total, squares = np.zeros(clip.shape), np.zeros(clip.shape)
    rng = np.random.default_rng(seed)
    rows = scorer.rows(clip.shape)
    for first in range(0, samples, rows):
        # Drawn one by one, so that the noise does not depend on the batch size.
        count = min(rows, samples - first)
        noises = [rng.standard_normal(clip.shape, np.float32) for _ in range(count)]
        for gradient in scorer.gradients(clip + np.float32(deviation) * np.stack(noises))[1]:
            total += gradient
            squares += np.square(gradient, dtype=np.float64)
    mean = total / samples
    match kind:
        case "plain":
            pixels = mean
        case "squared":
            pixels = squares / samples
        case _:
            pixels = np.maximum(squares / samples - mean**2, 0)  # rounding may fall below zero
    heatmap = pixels.sum(axis=-1).astype(np.float32)
    settings = {"kind": kind, "samples": samples, "noise": noise, "seed": seed}
    score = float(scorer.scores(clip[None])[0])
    return Attribution(clip, heatmap, score, scorer.objective, "smooth_grad", settings)


def _check(kind: str, samples: int, noise: float, seed: int) -> None:
    if kind not in KINDS:
        raise ValueError(f"Expected kind {', '.join(map(repr, KINDS))}. Received: {kind!r}.")
    minimum = 2 if kind == "variance" else 1
    if samples < minimum:
        raise ValueError(f"Expected {minimum} samples or more. Received: {samples}.")
    if not noise >= 0:
        raise ValueError(f"Expected noise of 0 or more. Received: {noise}.")
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more. Received: {seed}.")
