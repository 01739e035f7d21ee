"""Shared by the attention methods: weights and gradients of each attention, by place.

Attention weights are those that `keras.layers.MultiHeadAttention` returns with
`return_attention_scores`, computed in a shadow of the network, so that masks are respected and the
network is not changed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff, graph, rewire
from c3dvis.attribution import cam
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import tokens

# Of a layer's output, computed here from its weights and attention, relative to the largest value.
_TOLERANCE = 1e-3
_MAX_BYTES = 4 * 2**30  # of one clip's attention weights, which are held with their gradients


@dataclass(frozen=True)
class Attention:
    """One call of an attention layer for one clip.

    Attributes:
        name: Name of the layer.
        weights: float32 `(rows, heads, queries, keys)`; each query's sum over keys is 1.
        gradient: Gradient of the score with respect to the weights, of the same shape.
        queries: Ids of the tokens that attend, int `(rows, queries)`: places first, see
            `c3dvis.models.tokens.Layout`.
        keys: Ids of the tokens attended to, int `(rows, keys)`.
    """

    name: str
    weights: NDArray[np.float32]
    gradient: NDArray[np.float32]
    queries: NDArray[np.int64]
    keys: NDArray[np.int64]


@dataclass(frozen=True)
class NetworkAttention:
    """The attention of a network for one clip.

    Attributes:
        score: The objective's score of the clip.
        attentions: In the order in which the network computes them.
        initial_relevance: float64 `(tokens,)`, by id: equal shares, with the sum 1, for the tokens
            after the last attention that the score depends on; 0 for others.
        grid: Frames, rows and columns.
    """

    score: float
    attentions: tuple[Attention, ...]
    initial_relevance: NDArray[np.float64]
    grid: tokens.Grid


@dataclass(frozen=True)
class AttentionCall:
    """A call of an attention layer in a network.

    Attributes:
        name: Name of the layer.
        index: Index of its step in the graph.
        queries: Ids of the tokens that attend.
        keys: Ids of the tokens attended to.
        heads: Number of heads.
        channels: Channels of its output.
    """

    name: str
    index: int
    queries: NDArray[np.int64]
    keys: NDArray[np.int64]
    heads: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights for one clip."""
        return (len(self.queries), self.heads, self.queries.shape[1], self.keys.shape[1])

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.queries.shape, self.channels)


def attention_calls(
    scorer: Scorer, clip_shape: tuple[int, ...], grid: tokens.Grid | None
) -> tuple[list[AttentionCall], dict[int, NDArray[np.int64]], tokens.Grid]:
    """The calls of attention that lead to the objective, the ids of tokens, and the grid.

    Raises:
        ValueError: A network without `keras.layers.MultiHeadAttention` in its graph, or whose
            tokens can't be followed from the patches, or have too much attention to be held.
    """
    steps = graph.flattened(scorer.shared.tap)
    attends = [(i, s) for i, s in enumerate(steps.steps) if is_attention(s.layer)]
    if not attends:
        raise ValueError(
            "Expected a network with keras.layers.MultiHeadAttention as a layer on the way to the "
            "objective; integrated_gradients, grad_cam, occlusion and rise need none. "
            f"Received: {_without(steps)}."
        )
    ids, patches = tokens.follow(steps, scorer.network, clip_shape, grid)
    calls = [_attention_call(index, step, ids) for index, step in attends]
    size = 4 * sum(math.prod(call.shape) for call in calls)
    if size > _MAX_BYTES:
        raise ValueError(
            f"Expected at most {_MAX_BYTES / 2**30:.3g} GiB of attention weights, as all are held "
            "at once; give a shorter or smaller clip, or use integrated_gradients or grad_cam. "
            f"Received: {size / 2**30:.3g} GiB in {len(calls)} layers."
        )
    return calls, ids, patches


def is_attention(layer) -> bool:
    return isinstance(layer, keras.layers.MultiHeadAttention)


def inputs_of(layer, arguments: tuple, options: Mapping[str, Any]) -> tuple:
    """Query, key and value of a call of an attention layer."""
    given = inspect.signature(layer.call).bind(*arguments, **options).arguments
    value = given["value"]
    key = given.get("key")
    return given["query"], value if key is None else key, value


def read_attention(
    scorer: Scorer, clip: NDArray[np.float32], grid: tokens.Grid | None
) -> NetworkAttention:
    """The attention of a network for one clip, with gradients.

    Raises:
        ValueError: See `attention_calls`; attention that is not computed as in Keras; or an
            objective that doesn't depend on the last attention.
    """
    calls, _, patches = attention_calls(scorer, clip.shape, grid)
    run = scorer.cached(
        ("attention", clip.shape, grid), lambda: _weights_and_gradients(scorer, calls)
    )
    sizes = [np.prod(call.shape) for call in calls]
    count = int(sum(sizes) + np.prod(calls[-1].output_shape))
    (scores, weights, error), gradient = run(
        np.zeros(count, np.float32), clip[None], scorer.unit_indices
    )
    scores, weights, error, gradient = map(ops.convert_to_numpy, (scores, weights, error, gradient))
    if error > _TOLERANCE:
        raise ValueError(
            "Expected attention computed from its weights and values alone, as in Keras. "
            f"Received: a layer that computes something else, such as one with a gate, among "
            f"{', '.join(call.name for call in calls)}."
        )
    cuts = np.cumsum(sizes)
    parts = zip(calls, np.split(weights, cuts[:-1]), np.split(gradient, cuts)[:-1], strict=True)
    attentions = [
        Attention(
            call.name, own.reshape(call.shape), slope.reshape(call.shape), call.queries, call.keys
        )
        for call, own, slope in parts
    ]
    last = np.abs(gradient[cuts[-1] :].reshape(calls[-1].output_shape)).sum(axis=-1)
    return NetworkAttention(
        float(scores[0]),
        tuple(attentions),
        _initial_relevance(last, calls, math.prod(patches)),
        patches,
    )


def to_attribution(
    scorer: Scorer,
    clip: NDArray[np.float32],
    attention: NetworkAttention,
    relevance: NDArray,
    method: str,
) -> Attribution:
    """The attribution of the relevance of tokens, `(tokens,)` by id."""
    grid_map = relevance[: np.prod(attention.grid)].reshape(attention.grid)
    heatmap = cam.upsample(grid_map[None], clip.shape[:3])[0]
    names = [layer.name for layer in attention.attentions]
    settings = {"grid": list(attention.grid), "layers": names}
    return Attribution(clip, heatmap, attention.score, scorer.objective, method, settings)


def _without(steps: graph.Graph) -> str:
    """Describes a network without attention that can be read."""
    for step in steps.steps:
        if any(is_attention(inner) for inner in graph.sublayers(step.layer)):
            kind = type(step.layer).__name__
            why = step.call.why_closed or "what is inside can't be reached"
            return f"one that attends only inside {step.name!r}, a {kind}: {why}"
    return "a network without it"


def _attention_call(
    index: int, step: graph.Step, ids: dict[int, NDArray[np.int64]]
) -> AttentionCall:
    keyed = dict(zip(map(id, step.call.inputs), step.inputs, strict=True))
    arguments, options = step.call.arguments(step.call.inputs)
    query, key, _ = inputs_of(step.layer, arguments, options)
    queries, keys = (ids.get(keyed.get(id(tensor), -1)) for tensor in (query, key))
    if queries is None or keys is None or queries.ndim != 2 or keys.ndim != 2:
        raise ValueError(
            "Expected attention between tokens that can be followed from the patches, in rows "
            f"(N, tokens, channels). Received: layer {step.name!r}, which reads others."
        )
    channels = int(step.call.outputs[0].shape[-1])
    return AttentionCall(step.name, index, queries, keys, step.layer.num_heads, channels)


def _initial_relevance(
    last: NDArray, calls: list[AttentionCall], places: int
) -> NDArray[np.float64]:
    """Equal shares for the tokens after the last attention that the score depends on, by id."""
    highest = [ids.max() for call in calls for ids in (call.queries, call.keys)]
    read = calls[-1].queries[last > 1e-6 * last.max()]
    if not read.size:
        raise ValueError(
            "Expected an objective that depends on the last attention. "
            f"Received: one that doesn't depend on {calls[-1].name!r}."
        )
    weights = np.zeros(max(*highest, places - 1) + 1)
    weights[read] = 1 / len(np.unique(read))
    return weights


def _weights_and_gradients(scorer: Scorer, calls: list[AttentionCall]) -> Callable:
    """A function of `(shift, clips, unit_indices)`: scores, all attention weights, and their error.

    Its gradient is with respect to the shift, which is added to the weights of each attention in
    order, and to the output of the last one.
    """
    shared = scorer.shared

    def score(shift, clips, unit_indices):
        weights, errors, shifts = [], [], _split_shift(shift, calls)

        def call(layer, *arguments, **options):
            if not is_attention(layer):
                return rewire.quick_call(layer, *arguments, **options)
            original, own = layer(*arguments, **{**options, "return_attention_scores": True})
            _, _, value = inputs_of(layer, arguments, options)
            shifted = own + ops.cast(next(shifts), own.dtype)
            mixed = ops.einsum("bhqk,bkhd->bqhd", shifted, layer.value_dense(value))
            output = layer.output_dense(mixed)
            weights.append(ops.reshape(ops.cast(own, "float32"), (-1,)))
            largest = ops.maximum(ops.max(ops.abs(original)), 1e-6)
            errors.append(ops.cast(ops.max(ops.abs(output - original)) / largest, "float32"))
            if len(weights) == len(calls):
                output = output + ops.cast(next(shifts), output.dtype)
            return [output, own] if options.get("return_attention_scores") else output

        scores = shared.score(clips, unit_indices, call)
        return scores, ops.concatenate(weights), ops.max(ops.stack(errors))

    return autodiff.value_and_gradient(score, variables=shared.tap.variables)


def _split_shift(shift, calls: list[AttentionCall]) -> Iterator:
    """The parts of a flat tensor in the shapes of all weights, and of the last output."""
    first = 0
    for shape in (*(call.shape for call in calls), calls[-1].output_shape):
        size = int(np.prod(shape))
        yield ops.reshape(shift[first : first + size], shape)
        first += size
