"""What an objective gives to real clips, for all its units at once."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from c3dvis.models import layers
from c3dvis.objectives import Objective


class _Features(keras.layers.Layer):
    """The numbers from which an objective's units choose, as a layer so that `predict` runs it."""

    def __init__(self, objective: Objective):
        super().__init__()
        self.objective = objective

    def call(self, activations):
        read = dict(zip(self.objective.layers, activations, strict=True))
        return self.objective.features(read)


def scores(
    network: keras.Model,
    objective: Objective,
    clips: np.ndarray | Iterable[np.ndarray],
    *,
    preprocess: Callable | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Scores of every clip for every unit of an objective.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: Its units are the columns of the result.
        clips: `(N, T, H, W, C)` in [0, 1], or an iterable of such batches.
        preprocess: Function of clips in [0, 1] that gives what the network takes.
        batch_size: Clips computed at once.

    Returns:
        float32 `(clips, len(objective))`.
    """
    tapped = layers.tap(network, objective.layers)
    shapes = {
        name: tuple(output.shape[1:])
        for name, output in zip(objective.layers, tapped.outputs, strict=True)
    }
    columns = objective.columns(shapes, getattr(network, "class_names", None))
    reader = keras.Model(tapped.inputs, _Features(objective)(list(tapped.outputs)))
    batches = [clips] if isinstance(clips, np.ndarray) else clips
    made = []
    for batch in batches:
        batch = batch if preprocess is None else preprocess(batch)
        features = reader.predict(batch, batch_size=batch_size, verbose=0)
        features = features if isinstance(features, list) else [features]
        made.append(_combine(objective, features, columns))
    return np.concatenate(made)


def _combine(objective: Objective, features: list[np.ndarray], columns: np.ndarray) -> np.ndarray:
    parts = [
        weight * values[:, columns[:, i]]
        for i, ((weight, _), values) in enumerate(zip(objective.terms, features, strict=True))
    ]
    return np.sum(parts, axis=0, dtype=np.float32)
