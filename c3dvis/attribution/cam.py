"""Shared by the class activation maps: a layer's activation and gradient, and upsampling."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff, graph, rewire
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import layers, tokens

# Fewest frames, rows and columns of a default layer. Grad-CAM was published with the 14 rows and
# columns of VGG-16; coarser maps of the bundled networks are near chance.
_MIN_GRID = (4, 14, 14)


@dataclass(frozen=True)
class LayerGradient:
    """A layer's activation for one clip, and the gradient of the score with respect to it.

    Attributes:
        layer: Name of the layer.
        score: The objective's score of the clip.
        activation: float32 `(t, h, w, channels)`; `t` is 1 for a layer without time.
        gradient: Gradient of the score with respect to the activation, of the same shape.
    """

    layer: str
    score: float
    activation: NDArray[np.float32]
    gradient: NDArray[np.float32]


def read_layer(
    scorer: Scorer,
    clip: NDArray[np.float32],
    layer: str | None,
    *,
    grid: tokens.Grid | None = None,
) -> LayerGradient:
    """A layer's activation and gradient; `default_layer` if no name is given.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of a layer, or None.
        grid: Frames, rows and columns of a layer's tokens; None finds the patch embedding.

    Raises:
        ValueError: A layer that is unknown, has no places, does not lead to the objective, or has
            the same activation for every clip.
    """
    name = layer or default_layer(scorer, clip.shape, grid=grid)
    scores, activations, gradients = scorer.layer_gradient(clip[None], name, grid=grid)
    changing: set[str] = scorer.cached("layers that depend on the clip", set)
    if name not in changing:  # checked once for each layer, as it doubles the time
        noise = np.random.default_rng(0).random(clip.shape, np.float32)
        other = ((clip + noise) % 1)[None]
        if not np.array_equal(activations, scorer.layer_gradient(other, name, grid=grid)[1]):
            changing.add(name)
        elif layer is not None:
            raise ValueError(
                "Expected a layer that the clip changes. "
                f"Received: {layer!r}, which is the same for this clip and for noise."
            )
        else:
            unchanged = _unchanged(scorer, np.concatenate([clip[None], other]))
            name = default_layer(scorer, clip.shape, grid=grid, without=unchanged)
            scores, activations, gradients = scorer.layer_gradient(clip[None], name, grid=grid)
    return LayerGradient(name, float(scores[0]), activations[0], gradients[0])


def _unchanged(scorer: Scorer, clips: NDArray[np.float32]) -> set[str]:
    """Names of the layers whose activations for two clips have the same bits."""
    names = [info.name for info in layers.describe(scorer.network) if info.reason is None]
    tap = rewire.Shadow(layers.tap(scorer.network, names))

    def same(clips):
        inputs = clips if scorer.preprocess is None else scorer.preprocess(clips)
        outputs = keras.tree.flatten(tap([inputs], training=False))
        return ops.stack([ops.all(output[0] == output[1]) for output in outputs])

    run = autodiff.compiled(same, variables=tap.variables)
    return {name for name, is_same in zip(names, np.asarray(run(clips)), strict=True) if is_same}


def default_layer(
    scorer: Scorer,
    clip_shape: tuple[int, ...],
    *,
    grid: tokens.Grid | None = None,
    without: Container[str] = (),
) -> str:
    """The last convolution whose grid has at least 4 frames, 14 rows and 14 columns.

    For a smaller clip, the grid of the clip is enough. Without such a layer, it is the last
    convolution with a spatial output. Layers that follow on the same grid are included:
    normalization, ReLU, residual sums, concatenations. Nested models and layers are searched too.

    For a transformer, it is the input of the last attention: where a class token reads the places,
    their later activations have no gradient.

    Args:
        scorer: The network and the objective.
        clip_shape: `(T, H, W, C)`.
        grid: Frames, rows and columns of a layer's tokens; None finds the patch embedding.
        without: Names of layers to leave out.

    Raises:
        ValueError: A network without a convolution with a spatial output that leads to the
            objective.
    """
    before_attention = None if without else _before_attention(scorer, clip_shape, grid)
    if before_attention is not None:
        return before_attention
    finest = tuple(map(min, _MIN_GRID, clip_shape))
    last, last_fine = None, None  # (name, sides)
    maps: list[str] = []  # names of all layers with places
    for info in layers.describe(scorer.network):
        if info.reason is not None or info.name in without:
            continue
        if len(scorer.shared.shadow.keys(info.place)) != 1:
            continue
        sides = _sides(scorer, info, clip_shape)
        has_places = len(sides) in (2, 3) and math.prod(sides[-2:]) > 1
        maps += [info.name] if has_places else []
        is_map = _is_convolution(info) and has_places
        if is_map or (last and last[1] == sides):
            last = info.name, sides
        fine = all(n >= smallest for n, smallest in zip(sides[::-1], finest[::-1], strict=False))
        if (is_map and fine) or (last_fine and last_fine[1] == sides):
            last_fine = info.name, sides
    if last is None:
        advice = (
            f"name a layer, such as {maps[-1]!r}"
            if maps
            else "'integrated_gradients', 'occlusion' and 'rise' need no layer"
        )
        raise ValueError(
            "Expected a network with a convolution that has a spatial output, leads to the "
            f"objective and is changed by the clip; {advice}. Received: a network without one."
        )
    return (last_fine or last)[0]


def weighted_sum(
    layer_gradient: LayerGradient, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sum over channels of weight times activation, float32 `(t, h, w)`."""
    return (layer_gradient.activation * weights).sum(axis=-1)


def pooled_axes(weights: str) -> tuple[int, ...]:
    """The axes over which channel weights are pooled, for "clip" or "frame"."""
    if weights not in ("clip", "frame"):
        raise ValueError(f"Expected weights 'clip' or 'frame'. Received: {weights!r}.")
    return (0, 1, 2) if weights == "clip" else (1, 2)


def upsample(maps: NDArray, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Upsamples maps `(N, t, h, w)` to `(N, T, H, W)` by trilinear interpolation.

    Cells are areas, not corners: the grid covers the whole clip, and a cell's value is that at the
    centre of its area. (Aligning the corners would push the heat outwards.)
    """
    count, (frames, height, width) = len(maps), shape
    small, rows, columns = maps.shape[1:]
    flat = np.reshape(maps, (-1, rows, columns, 1)).astype(np.float32)
    wide = ops.image.resize(
        flat, (height, width), interpolation="bilinear", data_format="channels_last"
    )
    in_time = ops.reshape(wide, (count, small, height * width, 1))
    long = ops.image.resize(
        in_time, (frames, height * width), interpolation="bilinear", data_format="channels_last"
    )
    return ops.convert_to_numpy(long).reshape(count, frames, height, width)


def to_attribution(
    scorer: Scorer,
    clip: NDArray[np.float32],
    layer_gradient: LayerGradient,
    grid_map: NDArray[np.float32],
    method: str,
    settings: Mapping[str, Any],
) -> Attribution:
    """The attribution of a map `(t, h, w)` on a layer's grid."""
    heatmap = upsample(grid_map[None], clip.shape[:3])[0]
    return Attribution(
        clip,
        heatmap,
        layer_gradient.score,
        scorer.objective,
        method,
        {"layer": layer_gradient.layer, "grid": list(grid_map.shape), **settings},
    )


def _before_attention(
    scorer: Scorer, clip_shape: tuple[int, ...], grid: tokens.Grid | None
) -> str | None:
    """The last layer with all places before the last attention; None for networks without."""
    whole = graph.flattened(scorer.shared.tap)
    is_attention = [isinstance(s.layer, keras.layers.MultiHeadAttention) for s in whole.steps]
    if not any(is_attention):
        return None
    last = len(is_attention) - 1 - is_attention[::-1].index(True)
    try:
        ids, patches = tokens.follow(whole, scorer.network, clip_shape, grid)
    except ValueError:  # no patches: what attends may be frames that convolutions have read
        if grid is not None:
            raise
        return None
    fit = {info.place: info for info in layers.describe(scorer.network) if info.reason is None}
    for step in reversed(whole.steps[:last]):
        own = ids.get(step.outputs[0])
        has_places = own is not None and tokens.Layout(patches, own).is_whole
        if has_places and step.place in fit and len(step.shapes[0]) in (3, 5):
            return fit[step.place].name
    return None


def _is_convolution(info: layers.LayerInfo) -> bool:
    inner = getattr(info.layer, "layer", info.layer)  # of TimeDistributed and the like
    return info.weights and "Conv" in type(inner).__name__


def _sides(scorer: Scorer, info: layers.LayerInfo, clip_shape) -> tuple[int, ...]:
    """Frames, rows and columns of a layer's output for clips of this shape."""
    shape = tuple(n for n in info.shape or () if n is not None)
    if shape != info.shape:
        tap = layers.tap(scorer.network, [info.name])
        known = graph.output_shapes(tap, (1, *clip_shape))[0][1:]
        shape = tuple(n for n in known if n is not None)
    return shape[:-1]
