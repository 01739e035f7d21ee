"""Scores of real clips for all units of objectives, in one pass."""

from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
from keras import ops

from c3dvis import autodiff, objectives, rewire
from c3dvis.maximize.arguments import check_preprocess
from c3dvis.models import layers
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import CLIP, Objective
from c3dvis.objectives.terms import names_of_classes


class _Scores(keras.layers.Layer):
    """Activations to the scores `(N, units)` of all units, as a layer so that `predict` runs it.

    Without the terms that read the clip itself.
    """

    def __init__(self, objective: Objective, unit_indices: np.ndarray):
        super().__init__(dtype="float32")
        self.objective, self.unit_indices = objective, unit_indices

    def call(self, activations):
        read = dict(zip(self.objective.layers, activations, strict=True))
        total = ops.zeros((ops.shape(activations[0])[0], len(self.unit_indices)), "float32")
        for i, (weight, term) in enumerate(self.objective.terms):
            if term.layer != CLIP:
                features = ops.cast(term.features(term.read(read)), "float32")
                total = total + weight * ops.take(features, self.unit_indices[:, i], axis=-1)
        return total


def scores(
    network: keras.Model,
    objective: Objective | str | int | Sequence,
    clips: np.ndarray | Iterable[np.ndarray],
    *,
    preprocess: Callable | None = None,
    batch_size: int = 16,
) -> np.ndarray | list[np.ndarray]:
    """Scores of every clip for every unit of an objective, or of several in one pass.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: Its units are the columns of the result; or several objectives. Each is anything
            that `objectives.of` accepts, but a list always means several objectives. One that
            compares clips, such as a diversity, compares all those of an array.
        clips: `(N, T, H, W, C)` in [0, 1], or an iterable of such batches.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Returns:
        float32 `(clips, len(objective))`; a list of these for several objectives.

    Raises:
        ValueError: No clips, values outside [0, 1], or an unknown layer, channel or class.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import scores
        >>> clips = np.zeros((3, 16, 64, 64, 3), np.float32)
        >>> scores(models.build("c3d-motion"), objectives.logit([0, 1]), clips).shape
        (3, 2)
    """
    check_preprocess(preprocess)
    network = one_input(network, scaled=preprocess is None)
    if isinstance(objective, (str, int)):
        objective = objectives.of(objective, network)
    several = [objective] if isinstance(objective, Objective) else list(objective)
    several = [objectives.of(one, network) for one in several]
    several = [layers.with_targets(one, network, preprocess=preprocess) for one in several]
    batchwise = any(one.batchwise for one in several)
    names = list(dict.fromkeys(name for one in several for name in one.layers))
    terms = [term for one in several for _, term in one.terms]
    if preprocess is not None and any(CLIP in t.layers and t.layer != CLIP for t in terms):
        raise ValueError(
            "Expected no preprocess, as a function of the objective reads layers and the clip. "
            f"Received: preprocess={preprocess!r}."
        )
    tapped = layers.tap(network, names)
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in tapped.inputs]
    read = keras.tree.flatten(rewire.Shadow(tapped)(inputs))
    outputs = dict(zip(names, read, strict=True))
    shapes = {name: tuple(output.shape[1:]) for name, output in outputs.items()}
    class_names = names_of_classes(network)
    unit_indices = [one.unit_indices(shapes, class_names) for one in several]
    score_outputs = {
        str(i): _Scores(one, unit_indices[i])([outputs[n] for n in one.layers])
        for i, one in enumerate(several)
    }
    reader = keras.Model(inputs, score_outputs)
    rows = []
    for batch in [clips] if isinstance(clips, np.ndarray) else clips:
        _check(batch)
        size = _whole_batch(batch) if batchwise else batch_size
        given = batch if preprocess is None else preprocess(batch)
        predicted = autodiff.predict(reader, given, batch_size=size, verbose=0)
        for i, one in enumerate(several):
            predicted[str(i)] += _clip_term_scores(one, unit_indices[i], batch, size)
        rows.append(predicted)
    if not rows:
        raise ValueError("Expected at least one batch of clips. Received: none.")
    every = [np.concatenate([part[key] for part in rows]) for key in score_outputs]
    return every[0] if isinstance(objective, Objective) else every


def _clip_term_scores(
    objective: Objective, unit_indices: np.ndarray, clips, size: int
) -> np.ndarray:
    """What the terms that read the clip itself add to the scores `(N, units)`."""
    total = np.zeros((len(clips), len(unit_indices)), np.float32)
    for i, (weight, term) in enumerate(objective.terms):
        if term.layer == CLIP:
            # Not in `predict`, where functions of clips would not know how many there are.
            chunks = [clips[n : n + size] for n in range(0, len(clips), size)]
            each = [
                ops.convert_to_numpy(term.features(term.read({CLIP: chunk}))) for chunk in chunks
            ]
            total += weight * np.concatenate(each)[:, unit_indices[:, i]]
    return total


def _whole_batch(clips) -> int:
    if len(clips) < 2:
        raise ValueError(
            "Expected two clips or more in a batch, as the objective compares clips. "
            f"Received: {len(clips)}."
        )
    return len(clips)


def _check(batch) -> None:
    if np.ndim(batch) != 5 or not np.issubdtype(np.asarray(batch).dtype, np.floating):
        raise ValueError(
            "Expected clips (N, T, H, W, C) of floats in [0, 1]. "
            f"Received: {np.asarray(batch).dtype} of shape {np.shape(batch)}."
        )
    low, high = np.min(batch), np.max(batch)
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(f"Expected clips in [0, 1]. Received: values from {low} to {high}.")
