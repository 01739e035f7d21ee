"""Feature maps: how each filter of a layer responds to one clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips, graph, rewire
from c3dvis.clips import showing
from c3dvis.models import layers, tokens
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives.terms import layer_name
from c3dvis.responses.unit_responses import checked_units
from c3dvis.text import nearest

_SCALES = ("filter", "layer")
# Axes of an output with places, without the batch axis: frames or none, rows, columns, channels.
_WITH_PLACES = (3, 4)
# Pixels between two pictures.
_GAP = 2


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The activations of some filters of a layer for one clip.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1].
        layer: Name of the layer.
        channels: Index of each filter shown.
        maps: float32 `(t, h, w, len(channels))`, the raw activations, at the layer's own frames,
            rows and columns; `t` is 1 for a layer without time.
    """

    clip: NDArray[np.float32]
    layer: str
    channels: tuple[int, ...]
    maps: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"FeatureMaps({self.layer!r}, {len(self.channels)} filters, {self.maps.shape})"

    def _repr_html_(self) -> str:
        captions = [f"{self.layer}, filter {channel}" for channel in self.channels]
        return showing.row(list(self.scaled()), captions)

    def scaled(self, by: str = "filter") -> NDArray[np.float32]:
        """The maps as grey clips with the clip's number of frames and size, for display.

        Args:
            by: "filter": black and white are each filter's own lowest and highest activation, so
                that weak filters are visible too; "layer": those of all filters shown, so that they
                can be compared.

        Returns:
            float32 `(len(channels), T, H, W, 1)` in [0, 1]; a constant map is black. Each value of
            the layer covers the pixels and frames it stands for: nothing is smoothed.
        """
        return _grey(self.maps, _extremes(by, self.maps), self.clip.shape[:3])

    def beside(self, by: str = "filter") -> NDArray[np.float32]:
        """Each filter's map next to the clip, float32 `(len(channels), T, H, 2 W + 2, 3)`."""
        frames, height, width, _ = self.clip.shape
        shown = clips.to_rgb(self.clip)
        grey = np.repeat(self.scaled(by), 3, axis=-1)
        pairs = np.ones((len(grey), frames, height, 2 * width + _GAP, 3), np.float32)
        pairs[..., :width, :] = shown
        pairs[..., width + _GAP :, :] = grey
        return pairs


def with_and_without_motion(
    moving: FeatureMaps, resting: FeatureMaps, by: str = "filter"
) -> NDArray[np.float32]:
    """Each filter's map of a clip next to that of the still clip, on one scale.

    Args:
        moving: Maps of the clip.
        resting: Maps of the same filters for `still(clip)`.
        by: See `FeatureMaps.scaled`; over both maps.

    Returns:
        float32 `(filters, T, H, 2 W + 2, 1)` in [0, 1], a white line between the two.

    Raises:
        ValueError: An unknown scale, or maps of other filters or shapes.
    """
    if moving.channels != resting.channels or moving.maps.shape != resting.maps.shape:
        raise ValueError(
            f"Expected maps of the same filters and shape. Received: {moving.channels} of "
            f"{moving.maps.shape} and {resting.channels} of {resting.maps.shape}."
        )
    extremes = _extremes(by, moving.maps, resting.maps)
    shape = moving.clip.shape[:3]
    left, right = (_grey(one.maps, extremes, shape) for one in (moving, resting))
    gap = np.ones((*left.shape[:3], _GAP, 1), np.float32)
    return np.concatenate([left, gap, right], axis=3)


def _extremes(by: str, *maps: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """The least and greatest activation of each filter or of all, over all the maps given."""
    if by not in _SCALES:
        raise ValueError(f"Expected {' or '.join(map(repr, _SCALES))}. Received: {by!r}.")
    axes = (0, 1, 2, 3) if by == "filter" else None
    together = np.stack(maps)
    low, high = (f(together, axis=axes, keepdims=True)[0] for f in (np.min, np.max))
    return low, high


def _grey(
    maps: NDArray[np.float32], extremes: tuple[NDArray, NDArray], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Maps `(t, h, w, filters)` as `(filters, T, H, W, 1)` from black to white."""
    low, high = extremes
    grey = (maps - low) / np.where(high > low, high - low, 1)
    for axis, length in enumerate(shape):
        grey = grey.take(np.arange(length) * grey.shape[axis] // length, axis=axis)
    return np.moveaxis(grey, -1, 0)[..., None]


def feature_maps(
    network: keras.Model,
    clip: ArrayLike,
    layer: str,
    *,
    channels: Sequence[int] | int | None = None,
    preprocess: Callable | None = None,
    grid: tokens.Grid | None = None,
    input: str | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
) -> FeatureMaps:
    """How each filter of a layer responds to a clip, at each frame and position.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        clip: `(T, H, W, C)` in [0, 1], of the size that the network takes.
        layer: A layer whose output has rows and columns, with or without frames, or tokens: its
            name, or the Keras layer itself.
        channels: Indices of the filters, or one index; None means all.
        preprocess: Function from clips in [0, 1] to the network's input.
        grid: Frames, rows and columns of the tokens; None finds the patch embedding.
        input: Name of the input for the clips, if several could take them; None finds the only one.
        inputs: Values of the other inputs by name; None uses neutral values. See
            `models.one_input`.

    Raises:
        ValueError: A clip that the network doesn't take, an unknown layer or filter, or tokens
            that can't be followed from the patches.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> maps = responses.feature_maps(models.build("c3d-motion"), clip, "conv2")
        >>> maps.maps.shape
        (16, 32, 32, 16)
    """
    layer = layer_name(layer)
    network = one_input(network, input, inputs, scaled=preprocess is None)
    taken_shape = tuple(graph.clip_input(network).shape[1:])
    tap = layers.tap(network, [layer])
    shape = tuple(tap.outputs[0].shape[1:])
    has_tokens = tokens.are_tokens(tap.outputs[0])
    if not has_tokens and len(shape) not in _WITH_PLACES:
        every = layers.visualizable(network, weightless=True)
        fitting = [one.name for one in every if len(one.shape or ()) in _WITH_PLACES]
        such = f", such as {nearest(layer, fitting)}" if fitting else "; this network has none"
        raise ValueError(
            f"Expected a layer with rows, columns and channels, or tokens{such}. "
            f"Received: layer {layer!r} with output {shape}."
        )
    clip = clips.check(clip, taken_shape)
    chosen = checked_units(layer, shape[-1], channels, "filters")
    layout = None
    if has_tokens:
        layout = tokens.layout(network, layer, clip.shape, grid=grid)
    inputs_ = clip[None] if preprocess is None else preprocess(clip[None])
    outputs = rewire.Shadow(tap)([inputs_], training=False)
    volumes = outputs if layout is None else layout.fold(outputs)
    if len(volumes.shape) == 4:  # without time
        volumes = volumes[:, None]
    maps = keras.ops.convert_to_numpy(keras.ops.cast(volumes, "float32"))
    return FeatureMaps(clip, layer, tuple(chosen), np.asarray(maps)[0][..., chosen])


def still(clip: ArrayLike, frame: int | None = None) -> NDArray[np.float32]:
    """The clip with one frame repeated throughout, to see how filters respond without motion.

    Args:
        clip: `(T, H, W, C)` in [0, 1].
        frame: Counted from 0; None means the middle one.

    Returns:
        float32, of the clip's shape.

    Raises:
        ValueError: A frame that the clip doesn't have, or what `clips.check` refuses.

    Example:
        >>> still(np.random.default_rng(0).random((4, 8, 8, 3))).std(axis=0).max() == 0
        np.True_
    """
    clip = clips.check(clip)
    chosen = len(clip) // 2 if frame is None else frame
    if not isinstance(chosen, Integral) or not 0 <= chosen < len(clip):
        raise ValueError(f"Expected a frame from 0 to {len(clip) - 1}. Received: {frame}.")
    return np.repeat(clip[chosen : chosen + 1], len(clip), axis=0)
