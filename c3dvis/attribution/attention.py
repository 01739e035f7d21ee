"""What the methods of attention share: each attention's weights and gradients, by place.

Attention is read as `keras.layers.MultiHeadAttention` gives it with `return_attention_scores`, in a
shadow of the network, so that masks count and the network stays as it is.
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

# Between what a layer gives and what its own weights and attention give, of the largest value.
_TOLERANCE = 1e-3
# Of the attention weights of one clip, which are held with their gradients.
_MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Attention:
    """One call of an attention layer for one clip.

    Attributes:
        name: Of the layer.
        weights: float32 `(rows, heads, queries, keys)`; each query's sum over keys is 1.
        gradient: Of the score with respect to the weights, of the same shape.
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
        read: float64 `(tokens,)`, by id: equal parts, of sum 1, for the tokens behind the last
            attention that the score depends on; 0 for others.
        grid: Frames, rows and columns.
    """

    score: float
    attentions: tuple[Attention, ...]
    read: NDArray[np.float64]
    grid: tokens.Grid


@dataclass(frozen=True)
class Site:
    """Where attention is computed in a network.

    Attributes:
        name: Of the layer.
        index: Of its step.
        queries: Ids of the tokens that attend.
        keys: Ids of the tokens attended to.
        heads: How many.
        channels: Of what it makes.
    """

    name: str
    index: int
    queries: NDArray[np.int64]
    keys: NDArray[np.int64]
    heads: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the weights for one clip."""
        return (len(self.queries), self.heads, self.queries.shape[1], self.keys.shape[1])

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.queries.shape, self.channels)


def sites(
    scorer: Scorer, clip_shape: tuple[int, ...], grid: tokens.Grid | None
) -> tuple[list[Site], dict[int, NDArray[np.int64]], tokens.Grid]:
    """Where a network attends on the way to the objective, the ids of its tokens, and its grid.

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
    layer_sites = [_site(index, step, ids) for index, step in attends]
    size = 4 * sum(math.prod(site.shape) for site in layer_sites)
    if size > _MOST_BYTES:
        raise ValueError(
            f"Expected at most {_MOST_BYTES / 2**30:.3g} GiB of attention weights, as all are held "
            "at once; give a shorter or smaller clip, or use integrated_gradients or grad_cam. "
            f"Received: {size / 2**30:.3g} GiB in {len(layer_sites)} layers."
        )
    return layer_sites, ids, patches


def is_attention(layer) -> bool:
    return isinstance(layer, keras.layers.MultiHeadAttention)


def inputs_of(layer, arguments: tuple, options: Mapping[str, Any]) -> tuple:
    """Query, key and value of a call of an attention layer."""
    given = inspect.signature(layer.call).bind(*arguments, **options).arguments
    value = given["value"]
    key = given.get("key")
    return given["query"], value if key is None else key, value


def read(scorer: Scorer, clip: NDArray[np.float32], grid: tokens.Grid | None) -> NetworkAttention:
    """The attention of a network for one clip, and what the score reads of it.

    Raises:
        ValueError: As `sites`; an attention that is not computed as Keras does; or an objective
            that reads nothing of the last one.
    """
    attends, _, patches = sites(scorer, clip.shape, grid)
    run = scorer.compiled(
        ("attention", clip.shape, grid), lambda: _weights_and_gradients(scorer, attends)
    )
    sizes = [np.prod(site.shape) for site in attends]
    count = int(sum(sizes) + np.prod(attends[-1].output_shape))
    (scores, weights, error), gradient = run(
        np.zeros(count, np.float32), clip[None], scorer.unit_indices
    )
    scores, weights, error, gradient = map(ops.convert_to_numpy, (scores, weights, error, gradient))
    if error > _TOLERANCE:
        raise ValueError(
            "Expected attention computed from its weights and values alone, as Keras's own is. "
            f"Received: a layer that gives something else, such as one with a gate, among "
            f"{', '.join(site.name for site in attends)}."
        )
    cuts = np.cumsum(sizes)
    parts = zip(attends, np.split(weights, cuts[:-1]), np.split(gradient, cuts)[:-1], strict=True)
    attentions = [
        Attention(
            site.name, own.reshape(site.shape), slope.reshape(site.shape), site.queries, site.keys
        )
        for site, own, slope in parts
    ]
    last = np.abs(gradient[cuts[-1] :].reshape(attends[-1].output_shape)).sum(axis=-1)
    return NetworkAttention(
        float(scores[0]), tuple(attentions), _read(last, attends, math.prod(patches)), patches
    )


def answer(
    scorer: Scorer,
    clip: NDArray[np.float32],
    attention: NetworkAttention,
    relevance: NDArray,
    method: str,
) -> Attribution:
    """The result of a method that found the relevance of each token, `(tokens,)` by id."""
    grid_map = relevance[: np.prod(attention.grid)].reshape(attention.grid)
    heatmap = cam.upsample(grid_map[None], clip.shape[:3])[0]
    names = [layer.name for layer in attention.attentions]
    settings = {"grid": list(attention.grid), "layers": names}
    return Attribution(clip, heatmap, attention.score, scorer.objective, method, settings)


def _without(steps: graph.Graph) -> str:
    """What a network without attention is, in words."""
    for step in steps.steps:
        if any(is_attention(inner) for inner in graph.sublayers(step.layer)):
            kind = type(step.layer).__name__
            why = step.call.why_closed or "what is inside can't be reached"
            return f"one that attends only inside {step.name!r}, a {kind}: {why}"
    return "a network without it"


def _site(index: int, step: graph.Step, ids: dict[int, NDArray[np.int64]]) -> Site:
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
    return Site(step.name, index, queries, keys, step.layer.num_heads, channels)


def _read(last: NDArray, attends: list[Site], places: int) -> NDArray[np.float64]:
    """Equal parts for the tokens that the score reads behind the last attention, by id."""
    every = [ids.max() for site in attends for ids in (site.queries, site.keys)]
    read = attends[-1].queries[last > 1e-6 * last.max()]
    if not read.size:
        raise ValueError(
            "Expected an objective that reads what the last attention makes. "
            f"Received: one that doesn't depend on {attends[-1].name!r}."
        )
    weights = np.zeros(max(*every, places - 1) + 1)
    weights[read] = 1 / len(np.unique(read))
    return weights


def _weights_and_gradients(scorer: Scorer, attends: list[Site]) -> Callable:
    """A function of `(shift, clips, unit_indices)`: scores, all weights, and how exact they are.

    Its gradient is that with respect to what is added, nothing, to the weights of each attention
    one after the other, and to what the last one makes.
    """
    shared = scorer.shared

    def score(shift, clips, unit_indices):
        weights, errors, pieces = [], [], _pieces(shift, attends)

        def call(layer, *arguments, **options):
            if not is_attention(layer):
                return rewire.quick_call(layer, *arguments, **options)
            original, own = layer(*arguments, **{**options, "return_attention_scores": True})
            _, _, value = inputs_of(layer, arguments, options)
            shifted = own + ops.cast(next(pieces), own.dtype)
            mixed = ops.einsum("bhqk,bkhd->bqhd", shifted, layer.value_dense(value))
            output = layer.output_dense(mixed)
            weights.append(ops.reshape(ops.cast(own, "float32"), (-1,)))
            largest = ops.maximum(ops.max(ops.abs(original)), 1e-6)
            errors.append(ops.cast(ops.max(ops.abs(output - original)) / largest, "float32"))
            if len(weights) == len(attends):
                output = output + ops.cast(next(pieces), output.dtype)
            return [output, own] if options.get("return_attention_scores") else output

        scores = shared.score(clips, unit_indices, call)
        return scores, ops.concatenate(weights), ops.max(ops.stack(errors))

    return autodiff.value_and_gradient(score, variables=shared.tap.variables)


def _pieces(shift, attends: list[Site]) -> Iterator:
    """The parts of a flat tensor in the shapes of the weights, and of what the last one makes."""
    first = 0
    for shape in (*(site.shape for site in attends), attends[-1].output_shape):
        size = int(np.prod(shape))
        yield ops.reshape(shift[first : first + size], shape)
        first += size
