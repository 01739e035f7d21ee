"""Whether a synthetic clip takes the same path through a network as the unit's real clips."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from c3dvis import autodiff, graph, rewire
from c3dvis import clips as clips_room
from c3dvis.models import description, layers
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import LOGITS
from c3dvis.objectives.terms import layer_name
from c3dvis.responses.unit_responses import UnitResponses, row_of

__all__ = ["PathSimilarity", "path_similarity"]

# Where a circuit switches between parts of a layer, nothing is in common, which is 0; clips that
# share some channels are above.
_LIMIT = 0.1
# Least cosine of the strongest real clips among themselves at which they share a path in a layer.
_SHARED = 0.5


class NoLayersBefore(ValueError):
    """A layer has none before it whose channels could be compared."""


@dataclass(frozen=True, eq=False)
class PathSimilarity:
    """How similar the paths of synthetic and real clips through L layers before some units are.

    Attributes:
        layer: Name of the units' layer.
        channels: Index of each of the C units.
        layers: Names of the earlier layers through which every path leads; layers of a branch that
            others bypass are left out, as only part of what drives the unit passes through them.
        activation: float32 `(C, L)`: similarity of a layer's activations, 1 means as between the
            unit's strongest real clips, 0 as between these and other real clips.
        synthetic: float32 `(C, L)`: cosine of the sizes of what a layer's channels contribute to
            the unit, for or against, between the synthetic clip and its strongest real clips.
        real: float32 `(C, L)`: the same between the strongest real clips.
    """

    layer: str
    channels: tuple[int, ...]
    layers: tuple[str, ...]
    activation: NDArray[np.float32]
    synthetic: NDArray[np.float32]
    real: NDArray[np.float32]

    def __repr__(self) -> str:
        alarms = int(self.fooled.sum())
        return f"PathSimilarity({self.layer!r}, {len(self.channels)} units, {alarms} alarms)"

    @property
    def same_activations(self) -> NDArray[np.float32]:
        """`(C,)`: the mean of `activation` over the layers, of which Geirhos et al. show curves."""
        return _mean(self.activation)

    @property
    def same_way(self) -> NDArray[np.float32]:
        """`(C,)`: `synthetic / real` in the layer where it is least; 1 is as alike as real clips.

        Only layers in which the strongest real clips share a path (a cosine of 0.5) are compared.
        NaN where there is none, or the synthetic clip does not activate the unit.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(self.real >= _SHARED, self.synthetic / self.real, np.nan)
        missing = np.isnan(ratio)
        lowest = np.where(missing, np.inf, ratio).min(axis=1)
        return np.where(missing.all(axis=1), np.nan, lowest).astype(np.float32)

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """`(C,)`: whether the alarm goes off: `same_way` is below a tenth."""
        return self.same_way < _LIMIT

    def sentence(self, channel: int) -> str:
        """The alarm of a unit, in words."""
        unit = row_of(channel, self.channels)
        way = float(self.same_way[unit])
        if np.isnan(way):
            return (
                "No path can be compared: no clip activates the unit, or its strongest real clips "
                "share no path."
            )
        if self.fooled[unit]:
            return (
                "Don't trust the synthetic clip: it activates the unit through different channels "
                f"than real clips do ({way:.0%} as similar as these are to each other)."
            )
        return (
            "The synthetic clip activates the unit through the same channels as real clips "
            f"({way:.0%} as similar as these are to each other)."
        )

    def activations_sentence(self, channel: int) -> str:
        """How similar the activations before a unit are, in words."""
        same = float(self.same_activations[row_of(channel, self.channels)])
        if np.isnan(same):
            return "No path similarity: its strongest real clips are as similar as any others."
        return (
            f"Path similarity {same:.2f}: in the layers before the unit, 1 is as similar as its "
            "strongest real clips are to each other, 0 as these are to other real clips."
        )


def path_similarity(
    network: keras.Model,
    layer: str,
    synthetic: Iterable[ArrayLike],
    clips: Iterable[ArrayLike],
    *,
    channels: Sequence[int] | int | None = None,
    top: int = 5,
    seed: int = 0,
    preprocess: Callable | None = None,
    batch_size: int = 4,
) -> PathSimilarity:
    """Whether synthetic clips activate units in the same way as real ones (Geirhos et al. 2024).

    Two things are compared, in each layer through which every path to the units leads: the
    activations of its channels (means over places, in standard deviations over real clips), as in
    the paper; and how much each channel contributes to the unit, for or against: the size of
    `sum(activation * gradient)` over places. A unit can be built whose synthetic clip shows
    anything while its responses to real clips do not change, by a circuit that distinguishes
    synthetic clips from real ones and lets another unit respond to them; then a different set of
    channels contributes. The alarm goes off where, in any of these layers in which real clips share
    a path, synthetic and real clips have almost nothing in common: less than a tenth of what real
    clips have with each other. https://arxiv.org/abs/2306.04719

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        layer: Name of the units' layer, with layers that have weights before it, or
            `objectives.LOGITS`.
        synthetic: Clips `(C, T, H, W, 3)` in [0, 1] that excite the units, one each.
        clips: Real clips `(N, T, H, W, 3)`, of which each unit's strongest are chosen.
        channels: Indices of the units, or one index; None means all.
        top: Number of strongest real clips of each unit to compare, and of others.
        seed: Seed for drawing the others.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Raises:
        ValueError: Clips or units that do not fit, or a layer without any before it.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.maximize import maximize
        >>> from c3dvis.motion import MovingEvidence
        >>> network, clips = models.build("c3d-motion"), MovingEvidence(seed=1).batch(0, 12).clips
        >>> synthetic = maximize(network, "conv2:0", steps=4, verbose=0)
        >>> options = {"channels": [0], "top": 3}
        >>> responses.path_similarity(network, "conv2", synthetic, clips, **options).layers
        ('conv1',)
    """
    network, layer = one_input(network, scaled=preprocess is None), layer_name(layer)
    contributions_of = _LayerContributions(network, layer, preprocess, batch_size)
    own = tuple(network.inputs[0].shape[1:]) if preprocess is None else None
    real, given = ([clips_room.check(clip, own) for clip in some] for some in (clips, synthetic))
    scores = UnitResponses(network, layer, preprocess=preprocess, batch_size=batch_size)
    units = scores.units(channels)
    if len(given) != len(units) or top < 2 or len(real) < 2 * top:
        raise ValueError(
            f"Expected a synthetic clip of each of the {len(units)} units, two strong real clips "
            "or more, and as many others. "
            f"Received: {len(given)} synthetic and {len(real)} real clips, top={top}."
        )
    rows = np.argsort(-scores(real)[:, units], axis=0, kind="stable")
    compared = []
    for i, unit in enumerate(units):
        others = np.random.default_rng([seed, unit]).permutation(rows[top:, i])[:top]
        shown = [given[i], *(real[row] for row in [*rows[:top, i], *others])]
        compared.append(contributions_of(shown, unit))
    # Of (units, clips, channels): all units' real clips give the deviations.
    activations, contributions = (np.stack(each) for each in zip(*compared, strict=True))
    shared = contributions_of.shared(contributions)
    columns = (
        _compared(activations, contributions, contributions_of.parts[i], top) for i in shared
    )
    activation, of_synthetic, of_real = (
        np.stack(each, axis=-1).astype(np.float32) for each in zip(*columns, strict=True)
    )
    return PathSimilarity(
        layer=layer,
        channels=tuple(units),
        layers=tuple(contributions_of.names[i] for i in shared),
        activation=activation,
        synthetic=of_synthetic,
        real=of_real,
    )


class _LayerContributions:
    """Activations of layers before a unit, and what each channel contributes to it.

    Of layers with weights, and of those that merge others with weights before them.

    Every layer's output is scaled by one number per channel, all 1: the gradient of the unit's
    score for these numbers is the sum over places of activation and gradient.
    """

    def __init__(self, network, layer: str, preprocess, batch_size: int):
        tap = layers.tap(network, [layer])
        shadow = rewire.Shadow(tap)
        self._graph, self._layer = graph.flattened(tap), layer
        last = None if layer.startswith(LOGITS) else layers.find(network, layer).place
        mixing = _behind_weights(self._graph)
        compared_layers = [
            (info, key)
            for info in description.visualizable(network, weightless=True)
            if info.place != last and len(keys := shadow.keys(info.place)) == 1
            for key in keys
            if key not in shadow.output_keys and (info.weights or key in mixing)
        ]
        if not compared_layers:
            raise NoLayersBefore(f"Expected a layer that others lie before. Received: {layer!r}.")
        self._keys = [key for _, key in compared_layers]
        self.names = [info.name for info, _ in compared_layers]
        ends = np.cumsum([info.channels for info, _ in compared_layers])
        self.parts = [
            slice(end - info.channels, end)
            for end, (info, _) in zip(ends, compared_layers, strict=True)
        ]
        self._channels, self._units = int(ends[-1]), tap.outputs[0].shape[-1]
        self._batch_size = batch_size

        def score(scales, clips, unit):
            means = []

            def scaled(part):
                def change(value):
                    mean = ops.mean(ops.reshape(value, (batch_size, -1, value.shape[-1])), axis=1)
                    means.append(ops.cast(mean, "float32"))
                    own = ops.repeat(scales[:, part], value.shape[0] // batch_size, axis=0)
                    shape = (value.shape[0], *[1] * (len(value.shape) - 2), value.shape[-1])
                    return value * ops.cast(ops.reshape(own, shape), value.dtype)

                return change

            changes = {
                key: scaled(part)
                for (_, key), part in zip(compared_layers, self.parts, strict=True)
            }
            given = clips if preprocess is None else preprocess(clips)
            value = ops.cast(shadow(given, changes=changes, training=False), "float32")
            value = ops.mean(ops.reshape(value, (batch_size, -1, self._units)), axis=1)
            return ops.sum(value * unit, axis=-1), ops.concatenate(means, axis=-1)

        self._run = autodiff.value_and_gradient(score, variables=tap.variables)

    def shared(self, contributions: NDArray) -> list[int]:
        """Which layers every path from the clip to the units leads through.

        Args:
            contributions: `(units, clips, channels of all layers)`. Layers that contribute nothing
                to any unit, such as what switches a circuit, are on no path.
        """
        idle = {
            key
            for key, part in zip(self._keys, self.parts, strict=True)
            if not np.any(np.nan_to_num(contributions[..., part]))
        }
        if len(idle) == len(self._keys):  # nothing activates any unit, which says nothing of paths
            idle = set()
        on_every_path = [
            i
            for i, key in enumerate(self._keys)
            if key not in idle and not _leads_past(self._graph, idle | {key})
        ]
        if not on_every_path:
            raise NoLayersBefore(
                "Expected a layer before the units through which every path leads. Received: "
                f"{self._layer!r}, to which paths lead past each other."
            )
        return on_every_path

    def __call__(self, clips, unit: int):
        """Two arrays `(N, channels of all layers)`: activations and contributions."""
        one_hot = np.eye(self._units, dtype=np.float32)[[unit] * self._batch_size]
        scales = np.ones((self._batch_size, self._channels), np.float32)
        rows = []
        for first in range(0, len(clips), self._batch_size):
            batch = clips[first : first + self._batch_size]
            padded = np.stack(batch + [batch[-1]] * (self._batch_size - len(batch)))
            (_, means), gradient = self._run(scales, padded, one_hot)
            both = [ops.convert_to_numpy(each)[: len(batch)] for each in (means, gradient)]
            rows.append(both)
        return tuple(np.concatenate(each) for each in zip(*rows, strict=True))


def _behind_weights(network_graph: graph.Graph) -> set[int]:
    """Keys of what merges several tensors, with weights before it."""
    behind: set[int] = set()
    merged: set[int] = set()
    for step in network_graph.steps:
        several = len(set(step.inputs)) > 1
        if behind.intersection(step.inputs):
            behind.update(step.outputs)
            merged.update(step.outputs if several else ())
        elif getattr(step.layer, "weights", None):
            behind.update(step.outputs)
    return merged


def _leads_past(network_graph: graph.Graph, blocked: Collection[int]) -> bool:
    """Whether a path from the clip to the outputs leads past some tensors."""
    reached = set(network_graph.inputs)
    for step in network_graph.steps:
        if reached.intersection(step.inputs):
            reached.update(set(step.outputs).difference(blocked))
    return bool(reached.intersection(network_graph.outputs))


def _compared(activations, contributions, part: slice, top: int):
    """For one layer, `(C,)` each: `activation`, `synthetic` and `real` of a `PathSimilarity`."""
    values = activations[..., part]
    flat = values[:, 1:].reshape(-1, values.shape[-1])
    deviation = flat.std(axis=0)
    standard = (values - flat.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
    synthetic, best, others = _cosines(standard, top)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(best > others, (synthetic - others) / (best - others), np.nan)
    return relative, *_cosines(np.abs(contributions[..., part]), top)[:2]


def _cosines(values: NDArray, top: int):
    """Mean cosines of the strongest clips with the synthetic clip, each other, and other clips."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = values / length  # NaN where nothing contributes
    cosines = np.einsum("ckf,cmf->ckm", unit, unit)[:, 1 : top + 1]
    pairs = cosines[:, :, 1 : top + 1][:, *np.triu_indices(top, 1)]
    return (
        _mean(cosines[:, :, 0]),
        _mean(pairs),
        _mean(cosines[:, :, top + 1 :].reshape(len(values), -1)),
    )


def _mean(values: NDArray) -> NDArray:
    """Over the last axis, of the numbers; NaN where there is none."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
