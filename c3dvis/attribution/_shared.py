"""The state that scorers of one kind of objective share: graph, variables, compiled functions."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from c3dvis import graph, rewire
from c3dvis.models import layers
from c3dvis.objectives import CLIP, LOGITS, Logit, Objective

_MAX_KINDS = 16  # of objectives whose compiled functions are cached, for each network
# Logit of a calibrated probability at the clip's score; at the hidden clip's it is the negative.
_CALIBRATED_LOGIT = 4.0


class Shared:
    """The state that scorers of one kind of objective share, for any unit.

    It holds no reference to the network, so that the cache doesn't keep networks alive.

    Attributes:
        tap: The network up to what the objective reads.
        shadow: The function that computes it.
        objective: An objective of the kind; functions take the unit's indices as an argument.
        shapes: Output shapes of the layers it reads, without the batch axis, by layer name.
        cache: Compiled functions and facts about the network, see `Scorer.cached`.
        is_logit: Whether the objective is one logit.
        is_sigmoid: Whether the objective is a logit whose probability is a sigmoid.
        has_probability: Whether it is one logit of several, or one with a sigmoid.
        reference_scores: Scores of the hidden clip and of the clip, see `Scorer.calibrate`.
    """

    def __init__(self, network: keras.Model, objective: Objective, preprocess: Callable | None):
        self.tap = layers.tap(network, objective.layers)
        self.shadow = rewire.Shadow(self.tap)
        self.objective = layers.with_targets(objective, network, preprocess=preprocess)
        self.preprocess = preprocess
        self.cache: dict[Hashable, Any] = {}
        self.shapes = {
            name: tuple(output.shape[1:])
            for name, output in zip(self.objective.layers, self.tap.outputs, strict=True)
        }
        self._output_shapes = self.shadow.output_shapes()
        (first, *_) = objective.layers
        self.is_sigmoid = first.startswith(LOGITS) and (
            layers.output_activation(network, first.removeprefix(LOGITS)) == "sigmoid"
        )
        (weight, term), *others = objective.terms
        self.is_logit = not others and weight == 1 and isinstance(term, Logit)
        several = len(self.shapes[first]) > 0 and (self.shapes[first][-1] or 0) > 1
        self.has_probability = self.is_logit and (self.is_sigmoid or several)
        self.reference_scores = keras.Variable(
            np.zeros(2, np.float32), trainable=False, name="reference_scores"
        )

    @property
    def variables(self) -> list:
        """The variables that compiled functions read."""
        return [*self.tap.variables, self.reference_scores]

    def activations(
        self,
        clips,
        call: Callable | None = None,
        changes: Mapping[int, Callable] | None = None,
    ) -> dict:
        """Activations that the objective reads, by layer name.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].
            call: Replaces `rewire.quick_call`, for each layer of the network.
            changes: As in `rewire.Shadow.call`.
        """
        inputs = clips if self.preprocess is None else self.preprocess(clips)
        read = self.shadow(inputs, call=call, changes=changes, training=False)
        read = read if isinstance(read, list) else [read]
        activations = dict(zip(self.objective.layers, read, strict=True))
        # The tap sees only the output of `preprocess`.
        return activations | {CLIP: clips} if CLIP in activations else activations

    def score(
        self, clips, unit_indices, call: Callable | None = None, changes: Mapping | None = None
    ):
        """Scores `(N,)`; `call` and `changes` as in `activations`."""
        return self.objective.score(self.activations(clips, call, changes), unit_indices)

    def class_scores(self, clips, unit_indices):
        (scores,) = self.objective.features(self.activations(clips))
        return ops.cast(scores, "float32")

    def log_probabilities(self, clips, unit_indices):
        """Log p and log(1 - p), `(N,)`, of the objective's class.

        For a score without a probability, p is a sigmoid that is 0.98 at the clip's score and 0.02
        at the hidden clip's.
        """
        if not self.has_probability:
            hidden, shown = self.reference_scores[0], self.reference_scores[1]
            middle = (hidden + shown) / 2
            relative = (self.score(clips, unit_indices) - middle) / (shown - hidden)
            logit = 2 * _CALIBRATED_LOGIT * relative
            return -ops.softplus(-logit), -ops.softplus(logit)
        logits = self.class_scores(clips, unit_indices)
        own = ops.take_along_axis(logits, unit_indices[:, :1], axis=-1)[:, 0]
        if self.is_sigmoid:
            return -ops.softplus(-own), -ops.softplus(own)
        whole = ops.logsumexp(logits, axis=-1)
        is_own = ops.one_hot(unit_indices[:, 0], logits.shape[-1], dtype="bool")
        others = ops.logsumexp(ops.where(is_own, -1e30, logits), axis=-1)
        return own - whole, others - whole

    def bytes_of_a_clip(self, clip_shape: tuple[int, ...]) -> int:
        """Memory of one clip's activations and their gradients, an upper estimate."""
        total = math.prod(clip_shape)
        for shape in self._output_shapes:
            axes = zip(shape, (*clip_shape, 1, 1), strict=False)
            total += math.prod(own if own is not None else clip for own, clip in axes)
        return 2 * 4 * total


def score_with_shift(shared: Shared, place: graph.Place, name: str) -> Callable:
    """A function of `(shift, clips, unit_indices)` that adds the shift to a layer's activations.

    The layer is given by the place of its call and by its name.

    It returns scores `(N,)` and the activations without the shift.
    """
    keys = [*shared.shadow.keys(place), *shared.shadow.keys_without_activation(place)]
    if len(keys) != 1:
        raise ValueError(
            "Expected a layer that the objective depends on through exactly one call. "
            f"Received: layer {name!r}, with {len(keys)} such calls."
        )

    def score(shift, clips, unit_indices):
        seen = []

        def shifted(output):
            seen.append(output)
            return output + ops.cast(ops.reshape(shift, ops.shape(output)), output.dtype)

        scores = shared.score(clips, unit_indices, changes={keys[0]: shifted})
        return scores, seen[0]

    return score


class _PerThread(threading.local):
    """Shared state by network and kind of objective; for each thread, as searches change it."""

    def __init__(self):
        self.kept: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


per_thread = _PerThread()


def shared_by_scorers(
    network: keras.Model, objective: Objective, preprocess: Callable | None
) -> Shared:
    """The state for this kind of objective, made once for a network in each thread."""
    key = (objective.signature, preprocess)
    kept = per_thread.kept.setdefault(network, {})
    if key in kept:
        kept[key] = kept.pop(key)  # the latest is at the end
        return kept[key]
    kept[key] = shared = Shared(network, objective, preprocess)
    while len(kept) > _MAX_KINDS:
        del kept[next(iter(kept))]
    return shared
