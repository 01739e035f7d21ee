"""A network's predictions: the top classes of a clip, and scores of the windows of a long film.

Probabilities where the network ends in a softmax or sigmoid, else scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.objectives import Objective
from c3dvis.objectives.describe import describe
from c3dvis.objectives.terms import names_of_classes
from c3dvis.pages.windows import Series

_TOP = 3


def class_values(
    network: keras.Model, clips: NDArray[np.float32], preprocess: Callable | None = None
) -> NDArray[np.float64]:
    """Probabilities of all classes if the network ends in a softmax or sigmoid, else their scores.

    Args:
        network: A network with a score for each class.
        clips: float32 `(N, T, H, W, C)` in [0, 1].
        preprocess: See `attribute`.

    Returns:
        `(N, classes)`.
    """
    scorer = Scorer(network, objectives.logit(0), preprocess=preprocess)
    scores = scorer.class_scores(clips).astype(np.float64)
    ending = layers.output_activation(network)
    if ending == "softmax":
        exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return exponents / exponents.sum(axis=-1, keepdims=True)
    return 0.5 * (1 + np.tanh(scores / 2)) if ending == "sigmoid" else scores


def unit_of_values(network: keras.Model) -> str:
    """The unit of `class_values`: "probability" or "score"."""
    is_probability = layers.output_activation(network) in ("softmax", "sigmoid")
    return "probability" if is_probability else "score"


def top_classes(
    network: keras.Model, clip: NDArray[np.float32], preprocess: Callable | None
) -> str:
    """A sentence with the top three classes of a clip `(T, H, W, C)`; empty without classes."""
    if not choices.class_count(network):
        return ""
    (values,) = class_values(network, clip[None], preprocess)
    names = names_of_classes(network) or [f"class {i}" for i in range(len(values))]
    top = np.argsort(-values, kind="stable")[:_TOP]
    is_probability = unit_of_values(network) == "probability"
    texts = [f"{value:.1%}" if is_probability else f"score {value:.3g}" for value in values]
    text = "Predicted: " + ", ".join(f"{names[i]} ({texts[i]})" for i in top) + "."
    is_multi_label = layers.output_activation(network) == "sigmoid" and len(values) > 1
    return f"{text} The classes do not exclude each other." if is_multi_label else text


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
        target: What to score; None means the class with the highest mean over the windows.
        preprocess: See `attribute`.

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
        values = _finite(class_values(network, clips, preprocess))
        index = int(values.mean(axis=0).argmax())
        names = names_of_classes(network)
        target = objectives.logit(index if names is None else names[index])
        return target, Series(describe(target), values[:, index], unit_of_values(network))
    scorer = Scorer(network, target, preprocess=preprocess)
    unit = unit_of_values(network) if scorer.shared.has_probability else "score"
    scores = scorer.probabilities(clips) if unit == "probability" else scorer.scores(clips)
    return target, Series(describe(target), _finite(scores.astype(np.float64)), unit)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise ValueError("Expected finite scores of all windows. Received: NaN or Inf.")
    return values
