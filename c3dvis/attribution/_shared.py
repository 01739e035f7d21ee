"""What scorers of one kind of objective share: a part of the network, and compiled functions."""

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

# Kinds of objectives whose compiled functions are kept for each network.
_KEPT = 16
# The logit of a score that is the clip's own; that of the hidden clip's is its negative.
_SURE = 4.0


class Shared:
    """What scorers of one kind of objective share, whatever the unit: it does not hold the network.

    Attributes:
        tap: The network up to what the objective reads.
        shadow: Computes it.
        objective: Of any unit of the kind: functions are given the unit's indices.
        shapes: Of what it reads, without the batch axis, by layer name.
        functions: What has been compiled or is known of the network, by name.
        is_sigmoid: Whether the objective is a logit that a sigmoid makes a probability.
        has_probability: Whether it is one logit of several, or one that a sigmoid ends.
        ends: Scores of a clip that is hidden and of the clip, between which a score that has no
            probability is judged.
    """

    def __init__(self, network: keras.Model, objective: Objective, preprocess: Callable | None):
        layers.check(network)
        graph.clip_input(network)
        self.tap = layers.tap(network, objective.layers)
        self.shadow = rewire.Shadow(self.tap)
        self.objective = layers.with_targets(objective, network, preprocess=preprocess)
        self.preprocess = preprocess
        self.functions: dict[Hashable, Any] = {}
        self.shapes = {
            name: tuple(output.shape[1:])
            for name, output in zip(self.objective.layers, self.tap.outputs, strict=True)
        }
        self._layer_shapes = [
            info.shape for info in layers.describe(self.tap) if info.shape is not None
        ]
        (first, *_) = objective.layers
        self.is_sigmoid = first.startswith(LOGITS) and (
            layers.output_activation(network, first.removeprefix(LOGITS)) == "sigmoid"
        )
        (weight, term), *others = objective.terms
        is_logit = not others and weight == 1 and isinstance(term, Logit)
        several = len(self.shapes[first]) > 0 and (self.shapes[first][-1] or 0) > 1
        self.has_probability = is_logit and (self.is_sigmoid or several)
        self.ends = keras.Variable(np.zeros(2, np.float32), trainable=False, name="ends")

    @property
    def variables(self) -> list:
        """What compiled functions read."""
        return [*self.tap.variables, self.ends]

    def activations(
        self,
        clips,
        call: Callable | None = None,
        changes: Mapping[int, Callable] | None = None,
    ) -> dict:
        """What the objective reads of a tensor of clips, by layer name.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].
            call: In the place of `rewire.quick_call`, for each layer of the network.
            changes: As in `rewire.Shadow.call`.
        """
        inputs = clips if self.preprocess is None else self.preprocess(clips)
        read = self.shadow(inputs, call=call, changes=changes, training=False)
        read = read if isinstance(read, list) else [read]
        activations = dict(zip(self.objective.layers, read, strict=True))
        # The tap knows only what `preprocess` makes of the clip.
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

        Of a score that has no probability, p says how near it is to the clip's and how far from
        the hidden clip's: a sigmoid that is 0.98 at the one and 0.02 at the other.
        """
        if not self.has_probability:
            hidden, shown = self.ends[0], self.ends[1]
            middle = (hidden + shown) / 2
            own = 2 * _SURE * (self.score(clips, unit_indices) - middle) / (shown - hidden)
            return -ops.softplus(-own), -ops.softplus(own)
        logits = self.class_scores(clips, unit_indices)
        own = ops.take_along_axis(logits, unit_indices[:, :1], axis=-1)[:, 0]
        if self.is_sigmoid:
            return -ops.softplus(-own), -ops.softplus(own)
        whole = ops.logsumexp(logits, axis=-1)
        is_own = ops.one_hot(unit_indices[:, 0], logits.shape[-1], dtype="bool")
        others = ops.logsumexp(ops.where(is_own, -1e30, logits), axis=-1)
        return own - whole, others - whole

    def bytes_of_a_clip(self, clip_shape: tuple[int, ...]) -> int:
        """What the activations of one clip and their gradients take, roughly and at most."""
        total = math.prod(clip_shape)
        for shape in self._layer_shapes:
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
            f"Expected a layer on the way to the objective. Received: layer {name!r}, which is "
            f"passed {len(keys)} times."
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
    """What scorers share, by network and kind of objective: a thread's own, as searches change."""

    def __init__(self):
        self.kept: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


per_thread = _PerThread()


def shared_by_scorers(
    network: keras.Model, objective: Objective, preprocess: Callable | None
) -> Shared:
    """What scorers of this kind of objective share, made once for a network in each thread."""
    key = (objective.signature, preprocess)
    kept = per_thread.kept.setdefault(network, {})
    if key in kept:
        kept[key] = kept.pop(key)  # the latest is at the end
        return kept[key]
    kept[key] = shared = Shared(network, objective, preprocess)
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]
    return shared
