"""Scores of the windows of a long film: of a class, its probability, or of another objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.attribution import predictions
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import chosen as choices
from c3dvis.objectives import Objective
from c3dvis.objectives.describe import describe
from c3dvis.objectives.terms import names_of_classes
from c3dvis.pages.windows import Series


def score_windows(
    network: keras.Model,
    windows: Sequence[NDArray[np.float32]],
    target: Objective | None,
    preprocess: Callable | None,
) -> tuple[Objective, Series]:
    """Scores all windows of a film.

    Args:
        network: Keras model.
        windows: Clips of the film, float32 `(T, H, W, C)` in [0, 1].
        target: What to score; None is the class with the highest mean over the windows.
        preprocess: As `attribute` takes it.

    Returns:
        The objective, and its value in each window.

    Raises:
        ValueError: No target for a network without classes; scores that are not finite.
    """
    clips = np.stack(windows)
    if target is None:
        if not choices.class_count(network):
            raise ValueError(
                "Expected --target, or a network that gives classes for the whole clip, with "
                f"--windows. Received: neither; the output is {network.output_shape[1:]}."
            )
        values = _finite(predictions.class_values(network, clips, preprocess))
        index = int(values.mean(axis=0).argmax())
        names = names_of_classes(network)
        target = objectives.logit(index if names is None else names[index])
        return target, Series(describe(target), values[:, index], predictions.unit(network))
    scorer = Scorer(network, target, preprocess=preprocess)
    unit = predictions.unit(network) if scorer.shared.has_probability else "score"
    scores = scorer.probabilities(clips) if unit == "probability" else scorer.scores(clips)
    return target, Series(describe(target), _finite(scores.astype(np.float64)), unit)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise ValueError("Expected finite scores of all windows. Received: NaN or Inf.")
    return values
