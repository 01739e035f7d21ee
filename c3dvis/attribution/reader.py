"""Reads one kind of objective off a network: the part of a scorer that is compiled and kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import rewire
from c3dvis.models import input_convolution, layers
from c3dvis.objectives import CLIP, LOGITS, Objective

# Kinds of objectives whose compiled functions are kept for each network.
_KEPT = 16


class Reader:
    """Reads one kind of objective off a network, for any unit; holds what is compiled for it."""

    def __init__(self, network: keras.Model, objective: Objective, preprocess: Callable | None):
        layers.check(network)
        if len(network.inputs) != 1 or len(network.inputs[0].shape) != 5:
            shapes = [tuple(i.shape) for i in network.inputs]
            raise ValueError(
                f"Expected a network with one input of shape (N, T, H, W, C). Received: {shapes}."
            )
        self.tap = layers.tap(network, objective.layers)
        self._computed = rewire.quicker(self.tap)
        self.kind = layers.bound(objective, network, preprocess=preprocess)
        self.preprocess = preprocess
        self.functions: dict[Hashable, Any] = {}
        (first, *_) = objective.layers
        self.is_sigmoid = first.startswith(LOGITS) and (
            layers.output_activation(network, first.removeprefix(LOGITS)) == "sigmoid"
        )

    def columns(self, objective: Objective, class_names: Sequence[str] | None) -> NDArray[np.int32]:
        """What one unit reads, int32 `(1, terms)`."""
        shapes = {
            name: tuple(output.shape[1:])
            for name, output in zip(self.kind.layers, self.tap.outputs, strict=True)
        }
        return objective.columns(shapes, class_names)

    def activations(self, clips) -> dict:
        inputs = clips if self.preprocess is None else self.preprocess(clips)
        with input_convolution.restated(self._computed):
            read = self._computed([inputs], training=False)  # in a list, as the tap was made
        read = read if isinstance(read, list) else [read]
        found = dict(zip(self.kind.layers, read, strict=True))
        # The tap knows only what `preprocess` makes of the clip.
        return found | {CLIP: clips} if CLIP in found else found

    def score(self, clips, columns):
        return self.kind.score(self.activations(clips), columns)

    def class_scores(self, clips, columns):
        (logits,) = self.activations(clips).values()
        return ops.cast(logits, "float32")

    def log_probabilities(self, clips, columns):
        logits = self.class_scores(clips, columns)
        own = ops.take_along_axis(logits, columns[:, :1], axis=-1)[:, 0]
        if self.is_sigmoid:
            return -ops.softplus(-own), -ops.softplus(own)
        if logits.shape[-1] < 2:
            raise ValueError("Expected two classes or more, or a sigmoid. Received: one class.")
        whole = ops.logsumexp(logits, axis=-1)
        is_own = ops.one_hot(columns[:, 0], logits.shape[-1], dtype="bool")
        others = ops.logsumexp(ops.where(is_own, -1e30, logits), axis=-1)
        return own - whole, others - whole


_readers: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


def reader_of(network: keras.Model, objective: Objective, preprocess: Callable | None) -> Reader:
    """The reader of this kind of objective, made once for a network."""
    key = (objective.template, preprocess)
    kept = _readers.setdefault(network, {})
    if key in kept:
        kept[key] = kept.pop(key)  # the latest is at the end
        return kept[key]
    made = Reader(network, objective, preprocess)
    kept[key] = made
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]
    return made
