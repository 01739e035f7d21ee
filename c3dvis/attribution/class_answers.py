"""What a network gives the classes of clips, in the unit of what it ends in."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import chosen as choices
from c3dvis.models import layers

_SHOWN = 3


def class_values(
    network: keras.Model, several: NDArray[np.float32], preprocess: Callable | None = None
) -> NDArray[np.float64]:
    """Probabilities of all classes where softmax or sigmoid end the network, else their scores.

    Args:
        network: One with a score for each class.
        several: Clips, float32 `(N, T, H, W, C)` in [0, 1].
        preprocess: As `attribute` takes it.

    Returns:
        `(N, classes)`.
    """
    scorer = Scorer(network, objectives.logit(0), preprocess=preprocess)
    scores = scorer.class_scores(several).astype(np.float64)
    ending = layers.output_activation(network)
    if ending == "softmax":
        exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return exponents / exponents.sum(axis=-1, keepdims=True)
    return 0.5 * (1 + np.tanh(scores / 2)) if ending == "sigmoid" else scores


def unit(network: keras.Model) -> str:
    """What `class_values` are: "probability" or "score"."""
    is_share = layers.output_activation(network) in ("softmax", "sigmoid")
    return "probability" if is_share else "score"


def in_words(network: keras.Model, clip: NDArray[np.float32], preprocess: Callable | None) -> str:
    """A sentence on the highest classes of a clip `(T, H, W, C)`; empty where there are none."""
    if not choices.class_count(network):
        return ""
    (values,) = class_values(network, clip[None], preprocess)
    names = getattr(network, "class_names", None) or [f"class {i}" for i in range(len(values))]
    best = np.argsort(-values, kind="stable")[:_SHOWN]
    shares = unit(network) == "probability"
    shown = [f"{value:.1%}" if shares else f"score {value:.3g}" for value in values]
    text = "The network says " + ", ".join(f"{names[i]} ({shown[i]})" for i in best) + "."
    each = layers.output_activation(network) == "sigmoid" and len(values) > 1
    return f"{text} Each class is judged by itself." if each else text
