"""Tokens as places: which frame, row and column of a video transformer's grid each token is.

Nothing is guessed from numbers of tokens: the places are followed from the patch embedding, or from
the last volume of a convolutional stem, through the network's reshapes, transposes, rolls, slices
and concatenations. This separates class tokens from places, and undoes windows (also shifted ones),
frames in the batch and attention divided into time and space exactly as the network applies them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import folding, graph
from c3dvis.models import layers

Grid = tuple[int, int, int]

# Class, register and pooling tokens that one layer may put in front of the places.
_MAX_LEADING = 8
# Two clips are followed, to see that neither gets into the other's rows. Ids of the second begin
# here, above all of the first.
_SECOND = 2**28
# Operations that move or copy values and change none.
_MOVES = (
    *("BroadcastTo", "Concatenate", "ExpandDims", "Flip", "Fold", "GetItem", "Moveaxis", "Permute"),
    *("Repeat", "Reshape", "Roll", "Split", "Squeeze", "Stack", "Swapaxes", "Tile", "Transpose"),
    "Unstack",
)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the places of a clip are in a layer's output.

    Attributes:
        grid: Frames, rows and columns of the patches.
        ids: int64 `(rows, ...)`, the id of each token in the rows of one clip: `(t * rows + y) *
            columns + x` for a place, ids above all places for class, register and pooling tokens.
            There are several rows where windows, frames or places are folded into the batch;
            as `c3dvis.models.layers.tap` reads it, these are an axis of their own, `(1, k, ...)`.
    """

    grid: Grid
    ids: NDArray[np.int64]

    def __post_init__(self):
        self.ids.setflags(write=False)

    @property
    def places(self) -> int:
        return math.prod(self.grid)

    @property
    def is_whole(self) -> bool:
        """Whether each place occurs exactly once."""
        places = self.ids[self.ids < self.places]
        return len(places) == self.places == len(np.unique(places))

    def fold(self, tokens):
        """Tokens `(N * rows, ..., C)` as the volumes `(N, t, h, w, C)`, without class tokens."""
        channels = tokens.shape[-1]
        flat = ops.reshape(tokens, (-1, self.ids.size, channels))
        order = np.argsort(self.ids.ravel(), kind="stable")[: self.places]
        return ops.reshape(ops.take(flat, order, axis=1), (-1, *self.grid, channels))

    def position(self, place: Grid) -> tuple[int, ...]:
        """Position of a place `(t, y, x)` in the layer's output, for `objectives.neuron`.

        Raises:
            ValueError: A place outside the grid, or a layer that has several rows for a clip.
        """
        if len(place) != 3 or not all(0 <= p < n for p, n in zip(place, self.grid, strict=True)):
            raise ValueError(f"Expected a place (t, y, x) inside {self.grid}. Received: {place}.")
        if len(self.ids) != 1:
            raise ValueError(
                "Expected a layer with all tokens of a clip in one row. "
                f"Received: one that has them in {len(self.ids)}."
            )
        (index,) = np.argwhere(self.ids[0] == np.ravel_multi_index(place, self.grid))
        return tuple(map(int, index))


def layout(
    network: keras.Model, layer: str, clip_shape: tuple[int, ...], *, grid: Grid | None = None
) -> Layout:
    """Where the places are in a layer's output.

    Args:
        network: Functional or Sequential model that takes clips.
        layer: Name of a layer, see `c3dvis.models.layers`.
        clip_shape: `(T, H, W, C)`.
        grid: Frames, rows and columns of the patches; None finds the patch embedding, a
            convolution of clips or frames whose stride is its kernel, or else the last volume
            `(N, t, h, w, C)` before the tokens, as that of a convolutional stem. As many tokens as
            a given grid has places, which can't be followed, are taken to be in its order: so
            `(T, 1, 1)` is right for the outputs of an RNN, one for each frame.

    Raises:
        ValueError: A layer that is unknown, or whose tokens can't be followed from the patches.

    Example:
        >>> clip = keras.Input((4, 16, 16, 3))
        >>> patches = keras.layers.Conv3D(8, (2, 8, 8), strides=(2, 8, 8))(clip)
        >>> tokens = keras.layers.Reshape((8, 8), name="tokens")(patches)
        >>> layout(keras.Model(clip, tokens), "tokens", (4, 16, 16, 3)).grid
        (2, 2, 2)
    """
    tap = layers.tap(network, [layer])
    steps = graph.flattened(tap)
    refused: ValueError | None = None
    for chosen in dict.fromkeys([grid, _grid_before(steps)] if grid is None else [grid]):
        try:
            all_ids, patches = follow(steps, network, clip_shape, chosen)
        except ValueError as error:
            refused = refused or error
            continue
        ids = all_ids.get(steps.outputs[0])
        if ids is not None and Layout(patches, ids).is_whole:
            return Layout(patches, ids)
        refused = refused or ValueError(
            f"Expected a layer whose tokens are the {patches[0]} x {patches[1]} x {patches[2]} "
            "patches (and class tokens); name one of the full grid, or give its grid=(t, h, w). "
            f"Received: layer {layer!r} of shape {tuple(tap.outputs[0].shape)}, whose tokens "
            "can't be followed from the patches."
        )
    assert refused is not None
    rows = tap.outputs[0].shape[1:-1]
    if grid is None or not _is_grid(grid) or rows != (math.prod(grid),):
        raise refused
    return Layout(grid, np.arange(math.prod(grid))[None])


def _is_grid(grid: Grid) -> bool:
    is_triple = isinstance(grid, tuple) and len(grid) == 3
    return is_triple and all(isinstance(n, int) and n > 0 for n in grid)


def _grid_before(steps: graph.Graph) -> Grid | None:
    """Frames, rows and columns of the last volume that leads to what a network makes, if any."""
    wanted = {steps.outputs[0]}
    for step in reversed(steps.steps):
        if not wanted.intersection(step.outputs):
            continue
        for shape in step.shapes:
            sides = [n for n in shape[1:4] if n is not None]
            if len(shape) == 5 and len(sides) == 3 and math.prod(sides) > 1:
                return sides[0], sides[1], sides[2]
        wanted.update(step.inputs)
    return None


def are_tokens(output: keras.KerasTensor) -> bool:
    """Whether what `layers.tap` reads has rows of tokens, `(N, tokens, C)` or `(N, k, tokens, C)`.

    Volumes, and maps of frames folded into the batch, have none.
    """
    call, _ = graph.producer(output)
    is_unfolded = isinstance(call.layer, folding.Unfold)
    return len(output.shape) == (4 if is_unfolded else 3)


def patch_grid(network: keras.Model, clip_shape: tuple[int, ...]) -> Grid:
    """The grid of patches of a clip: frames, rows and columns.

    Raises:
        ValueError: A network without a convolution of the clip whose stride is its kernel.
    """
    candidates = [_grid_of(layer, clip_shape) for layer in graph.sublayers(network)]
    grids = {grid for grid in candidates if grid is not None}
    if len(grids) != 1:
        received = f"several: {sorted(grids)}" if grids else "none"
        raise ValueError(
            "Expected one patch embedding, a convolution of the clip whose stride is its kernel; "
            f"give grid=(t, h, w). Received: {received}."
        )
    return grids.pop()


def _grid_of(layer, clip_shape: tuple[int, ...]) -> Grid | None:
    """The grid of a patch embedding; None of any other layer."""
    is_conv = isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv3D))
    if not is_conv or not layer.built or tuple(layer.strides) != tuple(layer.kernel_size):
        return None
    if layer.kernel.shape[-2] != clip_shape[-1] or min(layer.kernel_size[-2:]) < 2:
        return None
    if isinstance(layer, keras.layers.Conv3D):
        _, t, h, w, _ = layer.compute_output_shape((1, *clip_shape))
        return t, h, w
    _, h, w, _ = layer.compute_output_shape((1, *clip_shape[1:]))
    return clip_shape[0], h, w


def follow(
    steps: graph.Graph,
    network: keras.Model,
    clip_shape: tuple[int, ...],
    grid: Grid | None = None,
) -> tuple[dict[int, NDArray[np.int64]], Grid]:
    """The ids of the tokens of one clip in each tensor of a network that has them, by key.

    Args:
        steps: Steps of the network, or of a part of it.
        network: Network in which to find the patch embedding.
        clip_shape: `(T, H, W, C)`.
        grid: Grid of the patches, if known.

    Returns:
        Ids as `Layout` has them, of tensors that have tokens, and the grid.
    """
    chosen = patch_grid(network, clip_shape) if grid is None else grid
    if not _is_grid(chosen):
        raise ValueError(f"Expected a grid of three numbers (t, h, w) above 0. Received: {grid}.")
    follower = _Follower(chosen)
    known: dict[int, NDArray[np.int64]] = {}
    reached = graph.reached(steps)
    for step in steps.steps:
        if not reached.intersection(step.outputs):
            continue  # weights and positions are not tokens
        known.update(follower.outputs(step, known))
    whole = {key: _of_one_clip(ids) for key, ids in known.items()}
    return {key: ids for key, ids in whole.items() if ids is not None}, chosen


class _Follower:
    """Follows the ids of two clips through steps, as arrays without the channel axis."""

    def __init__(self, grid: Grid):
        self.grid = grid
        self.next_id = math.prod(grid)

    def outputs(self, step: graph.Step, known: dict) -> dict[int, NDArray[np.int64]]:
        """Ids in what a step makes, by key; those that are not known are left out."""
        given = [known.get(key) for key in step.inputs]
        if all(ids is None for ids in given):
            each = [self._first(shape[1:-1]) for shape in step.shapes] if not known else [None]
        elif isinstance(step.layer, folding.Unfold):
            frames = given[0]
            each = [None if frames is None else frames.reshape(2, -1, *frames.shape[1:])]
        elif type(step.layer).__name__ == "Mean":
            each = [_averaged(step.layer, given[0])]
        elif type(step.layer).__name__ in _MOVES:
            each = self._moved(step, given)
        else:
            each = [self._kept(shape, given) for shape in step.shapes]
        pairs = zip(step.outputs, each, strict=False)
        return {key: ids for key, ids in pairs if ids is not None}

    def _first(self, sides: tuple[int | None, ...]) -> NDArray[np.int64] | None:
        """Ids where patches come first: volumes, frames one by one, or rows of tokens."""
        frames, height, width = self.grid
        ids = np.arange(math.prod(self.grid))
        both = np.stack([ids, _SECOND + ids])
        if sides == self.grid:
            return both.reshape(2, *self.grid)
        if sides == (height, width):
            return both.reshape(2 * frames, height, width)
        if len(sides) != 1 or sides[0] is None:
            return None
        if sides[0] == height * width:
            return both.reshape(2 * frames, height * width)
        leading = sides[0] - ids.size
        if 0 <= leading <= _MAX_LEADING:
            return self._with_leading(both, leading)
        return None

    def _kept(self, shape, given: list) -> NDArray[np.int64] | None:
        """Ids after a layer that works on each token in its place, or puts some in front."""
        sides = tuple(shape[1:-1])
        for ids in given:
            if ids is not None and ids.shape[1:] == sides:
                return ids
        for ids in given:
            if ids is not None and ids.ndim == 2 and len(sides) == 1 and sides[0] is not None:
                leading = sides[0] - ids.shape[1]
                if 0 < leading <= _MAX_LEADING:
                    return self._with_leading(ids, leading)
        return None

    def _with_leading(self, ids: NDArray, count: int) -> NDArray[np.int64]:
        return np.concatenate([self._fresh((len(ids), count), ids), ids], axis=1)

    def _fresh(self, shape: tuple[int, ...], beside: NDArray) -> NDArray[np.int64]:
        """New ids for tokens that are not places, in rows of the same two clips."""
        half = len(beside) // 2
        new = self.next_id + np.arange(half * math.prod(shape[1:])).reshape(half, *shape[1:])
        self.next_id += new.size
        return np.concatenate([new, _SECOND + new])

    def _moved(self, step: graph.Step, given: list) -> list:
        """Ids after a step that moves values: it is run on them."""
        beside = next(ids for ids in given if ids is not None)
        values = {}
        for key, ids, tensor in zip(step.inputs, given, step.call.inputs, strict=True):
            shape = tuple(tensor.shape)
            if ids is None:
                if None in shape[1:]:
                    return [None]
                ids = self._fresh((len(beside), *shape[1:-1]), beside)
            if shape[-1] is None:
                return [None]
            wide = np.repeat(ids[..., None], shape[-1], axis=-1)
            values[key] = ops.convert_to_tensor(wide.astype(np.int32))
        arguments, options = step.arguments(values)
        moved = keras.tree.flatten(step.layer(*arguments, **options))
        return [_of_channels(ops.convert_to_numpy(tensor)) for tensor in moved]


def _averaged(mean, ids: NDArray | None) -> NDArray[np.int64] | None:
    """Ids after a mean of the copies of a token, as of a class token over frames; None of others.

    Args:
        mean: The operation `keras.ops.mean`.
        ids: Ids of what it averages.
    """
    axes = np.atleast_1d(-1 if ids is None or mean.axis is None else mean.axis)
    if ids is None or any(axis % (ids.ndim + 1) in (0, ids.ndim) for axis in axes):
        return None
    over = tuple(int(axis % (ids.ndim + 1)) for axis in axes)
    lowest, highest = (f(ids, axis=over, keepdims=mean.keepdims) for f in (np.min, np.max))
    return lowest if np.array_equal(lowest, highest) else None


def _of_channels(wide: NDArray) -> NDArray[np.int64] | None:
    """Ids without the channel axis; None where channels are no longer of one token."""
    if wide.ndim < 2 or not wide.size or (wide != wide[..., :1]).any():
        return None
    return wide[..., 0].astype(np.int64)


def _of_one_clip(ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The first clip's rows; None where the two clips' rows are not one after the other."""
    half = len(ids) // 2
    if len(ids) % 2 or not np.array_equal(ids[:half] + _SECOND, ids[half:]):
        return None
    return ids[:half]
