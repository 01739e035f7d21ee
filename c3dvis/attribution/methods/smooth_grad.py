"""SmoothGrad: the mean gradient of noisy copies of the clip, as a single gradient is noisy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.convergence import BatchSpread, error_settings, most_samples
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

KINDS = ("plain", "squared", "variance")
_SAMPLES, _MAX_SAMPLES = 25, 400
_BATCH = 4  # copies; the error is estimated from the spread of the means of batches
_CHECK_EVERY = 8  # copies between checks of the error


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    kind: str = "plain",
    samples: int | None = None,
    noise: float = 0.15,
    tolerance: float | None = None,
    max_samples: int | None = None,
    seed: int = 0,
) -> Attribution:
    """Mean gradient of noisy copies of the clip, summed over colour channels.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        kind: "plain", the mean of the gradients, signed; "squared", the mean of their squares;
            "variance", their variance over the samples (VarGrad). The last two are not negative.
        samples: Number of noisy copies; None means 25 or, with a tolerance, as many as needed.
        noise: Standard deviation of the noise as a share of the clip's range, from its lowest to
            its highest value. As in the paper, noisy copies may leave [0, 1].
        tolerance: Copies are added, eight at a time, until the standard error of the heatmap is at
            most this; None takes a fixed number. The error is estimated from the spread of the
            means of batches of four, relative as in `convergence.relative_error`: 0.3 means noise
            of 9 % of the heatmap's variance.
        max_samples: Maximum number of copies with a tolerance; None means 400.
        seed: Seed of the noise.

    Returns:
        A heatmap in score per unit of brightness, or in the square of that. Its settings hold the
        number of `samples`, the relative `standard_error` and, with a tolerance, whether it is
        met (`within_tolerance`).

    Raises:
        ValueError: An unknown kind, fewer than 1 sample (2 for a variance), negative noise, a
            tolerance that is not above 0, or one with a number of samples.

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
    most = most_samples(
        "samples", samples, tolerance, max_samples, fixed=_SAMPLES, most=_MAX_SAMPLES
    )
    _check(kind, most, noise, seed)
    deviation = noise * float(clip.max() - clip.min())
    sums, batch = np.zeros((2, *clip.shape)), np.zeros((2, *clip.shape))
    spread, error, drawn = BatchSpread(clip.shape[:3]), None, 0
    for gradient in _gradients(scorer, clip, deviation, most, seed):
        batch += gradient, np.square(gradient, dtype=np.float64)
        drawn += 1
        if drawn % _BATCH == 0:
            unbiased = _BATCH / (_BATCH - 1) if kind == "variance" else 1
            spread.add(_pixels(kind, batch, _BATCH) * unbiased)
        if drawn % _BATCH == 0 or drawn == most:
            sums += batch
            batch[:] = 0
        if drawn % _CHECK_EVERY == 0 or drawn == most:
            error = spread.relative_error(_pixels(kind, sums, drawn))
            if tolerance is not None and error is not None and error <= tolerance:
                break
    heatmap = _pixels(kind, sums, drawn).astype(np.float32)
    settings = {"kind": kind, "samples": drawn, "noise": noise, "seed": seed}
    settings |= error_settings(error, tolerance, most)
    score = float(scorer.scores(clip[None])[0])
    return Attribution(clip, heatmap, score, scorer.objective, "smooth_grad", settings)


def _gradients(
    scorer: Scorer, clip, deviation: float, count: int, seed: int
) -> Iterator[NDArray[np.float32]]:
    """Gradients of noisy copies one by one, computed batch by batch."""
    rng = np.random.default_rng(seed)
    for part in scorer.batches(count, clip.shape):
        # Drawn one by one, so that the noise does not depend on the batch size.
        copies = range(part.stop - part.start)
        noises = np.stack([rng.standard_normal(clip.shape, np.float32) for _ in copies])
        yield from scorer.gradients(clip + np.float32(deviation) * noises)[1]


def _pixels(kind: str, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The heatmap `(T, H, W)` of sums over some copies."""
    mean, squares = sums / count
    match kind:
        case "plain":
            pixels = mean
        case "squared":
            pixels = squares
        case _:
            pixels = np.maximum(squares - mean**2, 0)  # rounding may fall below zero
    return pixels.sum(axis=-1)


def _check(kind: str, samples: int, noise: float, seed: int) -> None:
    if kind not in KINDS:
        raise ValueError(f"Expected kind {', '.join(map(repr, KINDS))}. Received: {kind!r}.")
    minimum = 2 if kind == "variance" else 1
    if samples < minimum:
        raise ValueError(f"Expected {minimum} samples or more. Received: {samples}.")
    if not 0 <= noise < np.inf:
        raise ValueError(f"Expected noise of 0 or more. Received: {noise}.")
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more. Received: {seed}.")
