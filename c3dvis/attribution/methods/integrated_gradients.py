"""Integrated gradients: the score's rise from a baseline to the clip, distributed over pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.baselines import baseline as build_baseline
from c3dvis.attribution.convergence import check_tolerance
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

_FIRST_STEPS, _MOST_STEPS = 16, 512


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    baseline: str | float | NDArray[np.float32] = "blur",
    steps: int | None = None,
    max_steps: int | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
) -> Attribution:
    """Mean gradient on the straight path from a baseline to the clip, times their difference.

    The attributions add up to the difference of the two scores (completeness). The error of the sum
    is that of the numerical integral: if `steps` is None, steps are doubled until it is below the
    tolerance. The trapezoidal rule is used, since its points are reused when steps double.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        baseline: "blur", "black", "noise", "first_frame" (frozen: what is left to explain is the
            motion), a clip of the same shape, or a number in [0, 1], the same everywhere. A blurred
            clip keeps irrelevant features such as brightness; with black, dark pixels get no
            attribution even where they matter (Sturmfels et al. 2020,
            https://distill.pub/2020/attribution-baselines/).
        steps: Steps of the path; None begins with 16 and doubles them.
        max_steps: Maximum number of steps; None means `steps` if given, else 512.
        tolerance: Largest error of the sum, relative to the difference of the scores.
        seed: Seed of the noise.

    Returns:
        A heatmap in units of the score, summed over colour channels. Its settings hold the final
        number of `steps`, the relative `completeness_error`, whether that is within the tolerance
        (`complete`), and the `baseline_score`.

    Raises:
        ValueError: An unknown baseline, or steps out of range.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> clip = np.random.default_rng(0).random((16, 64, 64, 3), np.float32)
        >>> attribute(models.build("c3d-motion"), clip, steps=8).settings["steps"]
        8

    Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks",
    https://arxiv.org/abs/1703.01365
    """
    if max_steps is None:
        max_steps = _MOST_STEPS if steps is None else steps
    if steps is None:
        steps = min(_FIRST_STEPS, max_steps)
    if steps < 1 or max_steps < 1:
        raise ValueError(f"Expected 1 step or more. Received: {min(steps, max_steps)}.")
    if steps > max_steps:
        raise ValueError(f"Expected steps up to max_steps={max_steps}. Received: steps={steps}.")
    check_tolerance(tolerance)
    start = build_baseline(baseline, clip, seed=seed)
    baseline_score, score = (float(s) for s in scorer.scores(np.stack([start, clip])))
    difference = clip - start
    ends = _gradient_sum(scorer, start, difference, np.array([0.0, 1.0])) / 2
    inner = _gradient_sum(scorer, start, difference, np.arange(1, steps) / steps)
    while True:
        heatmap = ((ends + inner) / steps * difference).sum(axis=-1)
        error = _relative_error(float(heatmap.sum()), score - baseline_score)
        if error <= tolerance or 2 * steps > max_steps:
            break
        inner += _gradient_sum(scorer, start, difference, (np.arange(steps) + 0.5) / steps)
        steps *= 2
    settings = {
        "baseline": baseline if isinstance(baseline, (str, int, float)) else "given",
        "steps": steps,
        "max_steps": max_steps,
        "tolerance": tolerance,
        "seed": seed,
        "baseline_score": baseline_score,
        "completeness_error": error,
        "complete": error <= tolerance,
    }
    return Attribution(
        clip,
        heatmap.astype(np.float32),
        score,
        scorer.objective,
        "integrated_gradients",
        settings,
    )


def _gradient_sum(
    scorer: Scorer, start: NDArray, difference: NDArray, alphas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of the gradients at points of the path, from 0 at its start to 1, batch by batch."""
    total = np.zeros(start.shape)
    for part in scorer.batches(len(alphas), start.shape):
        batch = alphas[part].astype(np.float32)
        clips = start + batch[:, None, None, None, None] * difference
        total += scorer.gradients(clips)[1].sum(axis=0, dtype=np.float64)
    return total


def _relative_error(total: float, difference: float) -> float:
    """Error of a sum of attributions, relative to the difference of the scores."""
    distance = abs(total - difference)
    # If the scores are equal, the attributions must sum to 0.
    return distance / abs(difference) if difference else float(distance > 0)
