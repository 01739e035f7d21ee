"""Scores of a layer's units for clips, computed in batches of one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff, rewire
from c3dvis.clips import check
from c3dvis.models import layers
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives.terms import layer_name, whole


class UnitResponses:
    """A function of clips that gives the score of every unit of a layer.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        layer: Name of a layer, or the Keras layer itself.
        centre: Whether a unit's score is its activation in the layer's centre, instead of the mean
            over places, as in `objectives.channel`.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Example:
        >>> import numpy as np
        >>> from c3dvis import models, responses
        >>> respond = responses.UnitResponses(models.build("c3d-motion"), "conv1")
        >>> respond(np.zeros((2, 16, 64, 64, 3), np.float32)).shape
        (2, 8)
    """

    def __init__(
        self,
        network: keras.Model,
        layer: str,
        *,
        centre: bool = False,
        preprocess: Callable | None = None,
        batch_size: int = 8,
    ):
        if batch_size < 1:
            raise ValueError(f"Expected a batch_size of 1 or more. Received: {batch_size}.")
        network, layer = one_input(network, scaled=preprocess is None), layer_name(layer)
        tap = layers.tap(network, [layer])
        self.layer, self.batch_size = layer, batch_size
        self.count: int = tap.outputs[0].shape[-1]
        quick = rewire.Shadow(tap)

        def scores(clips):
            values = quick(clips if preprocess is None else preprocess(clips), training=False)
            values = ops.cast(values, "float32")
            if not centre:
                return ops.mean(ops.reshape(values, (values.shape[0], -1, self.count)), axis=1)
            for length in values.shape[1:-1]:
                values = values[:, length // 2]
            return values

        self._scores = autodiff.compiled(scores, variables=tap.variables)

    def units(self, channels: Sequence[int] | int | None) -> list[int]:
        """The requested units, all if None; ValueError for one that does not exist."""
        return checked_units(self.layer, self.count, channels)

    def __call__(self, clips: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """float32 `(N, count)`, of clips `(T, H, W, C)` one after the other."""
        rows, batch = [], []
        for clip in clips:
            if np.ndim(clip) != 4:
                check(clip)  # refuses it
            batch.append(clip)
            if len(batch) == self.batch_size:
                rows.append(ops.convert_to_numpy(self._scores(np.stack(batch))))
                batch = []
        if batch:  # one graph serves all batches: what is left over makes no other
            padded = np.stack(batch + [batch[-1]] * (self.batch_size - len(batch)))
            rows.append(ops.convert_to_numpy(self._scores(padded))[: len(batch)])
        if not rows:
            raise ValueError("Expected clips (N, T, H, W, C). Received: none.")
        return np.concatenate(rows)


def checked_units(
    layer: str, count: int, channels: Sequence[int] | int | None, noun: str = "channels"
) -> list[int]:
    """The requested units of a layer, all if None; ValueError for one that does not exist."""
    if channels is None:
        return list(range(count))
    units = [whole(c) for c in (channels if isinstance(channels, Iterable) else [channels])]
    wrong = [c for c in units if not 0 <= c < count]
    if wrong or not units:
        raise ValueError(
            f"Layer {layer!r} has {count} {noun}. Expected {noun} from 0 to {count - 1}. "
            f"Received: {wrong[0] if wrong else 'none'}."
        )
    return units


def row_of(channel: int, channels: Sequence[int]) -> int:
    """The row of a unit in results of some units; ValueError for one that is not among them."""
    if channel not in channels:
        raise ValueError(f"Expected one of the units {channels}. Received: {channel}.")
    return channels.index(channel)


def shape_in_colour(
    network: keras.Model, *, frames: int | None, size: Sequence[int] | None
) -> tuple[int, int, int]:
    """`(T, H, W)` of a network's clips, see `clip_shape`; they must be in colour."""
    *shape, colours = clip_shape(network, frames=frames, size=size, default=(16, 112, 112))
    if colours != 3:
        raise ValueError(
            "Expected a network of clips in colour, as those of a motion card are. "
            f"Received: {colours} channels."
        )
    return shape[0], shape[1], shape[2]
