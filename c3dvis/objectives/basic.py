"""Objectives that read activations directly: channels, neurons, frames and layers."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from c3dvis.objectives.objective import Objective
from c3dvis.objectives.places import Places, mean, places
from c3dvis.objectives.terms import (
    CLIP,
    Position,
    Term,
    WholeTerm,
    as_position,
    one_a_clip,
    position_in,
    source,
    units_of,
    whole,
)


@dataclass(frozen=True)
class Channel(Term):
    """Mean of a channel over the positions of the clip.

    Attributes:
        where: Some of the positions; None means all.
    """

    where: Places | None = field(default=None, kw_only=True)

    def features(self, activation):
        return mean(activation, self.where)

    def unit_indices(self, shape, class_names):
        if self.where is not None:
            self.where.check(shape[:-1])
        return super().unit_indices(shape, class_names)


@dataclass(frozen=True)
class Interpolated(Channel):
    """Mean of a channel times a weight; units are pairs of a channel and a weight's index.

    Attributes:
        weights: One for each clip of the interpolation.
    """

    weights: tuple[float, ...] = ()

    def features(self, activation):
        from keras import ops

        means = ops.cast(super().features(activation), "float32")
        weighted = means[:, :, None] * np.array(self.weights, np.float32)
        return ops.reshape(weighted, (-1, means.shape[1] * len(self.weights)))

    def needs_activation(self, unit_indices):
        from keras import ops

        count = len(self.weights)
        return ops.take(np.array(self.weights, np.float32), unit_indices % count) > 0

    def unit_indices(self, shape, class_names):
        pairs = [unit for unit in self.units if isinstance(unit, tuple)]
        channels = Channel(self.layer, tuple(c for c, _ in pairs)).unit_indices(shape, class_names)
        indices = np.array([i for _, i in pairs], np.int32)
        return (channels * len(self.weights) + indices).astype(np.int32)


@dataclass(frozen=True)
class Neuron(Term):
    """One position of a channel.

    Attributes:
        position: `(t, y, x)` in the layer's own grid; None means the centre.
    """

    position: Position | None = None

    at_one_place = True

    def features(self, activation):
        from keras import ops

        return ops.reshape(activation, (-1, math.prod(activation.shape[1:])))

    def unit_indices(self, shape, class_names):
        channels = super().unit_indices(shape, class_names)
        extent = shape[:-1]
        position = position_in(self.position, extent)
        return (np.ravel_multi_index(position, extent) * shape[-1] + channels).astype(np.int32)


@dataclass(frozen=True)
class Frame(Term):
    """Mean of a channel over one of the layer's frames.

    Attributes:
        frame: Index in the layer's own frames; None means the middle one.
    """

    frame: int | None = None

    def features(self, activation):
        from keras import ops

        frame = activation.shape[1] // 2 if self.frame is None else self.frame
        axes = tuple(range(1, len(activation.shape) - 2))
        return ops.mean(activation[:, frame], axis=axes) if axes else activation[:, frame]

    def unit_indices(self, shape, class_names):
        if len(shape) < 2 or shape[0] is None:
            raise ValueError(
                f"Expected a layer with a fixed number of frames. Received: shape {shape}."
            )
        if self.frame is not None and not 0 <= self.frame < shape[0]:
            raise ValueError(
                f"Expected a frame of the layer, from 0 to {shape[0] - 1}. Received: {self.frame}."
            )
        return super().unit_indices(shape, class_names)


@dataclass(frozen=True)
class Energy(WholeTerm):
    """Mean of the squares of a whole layer."""

    def features(self, activation):
        from keras import ops

        squares = ops.square(ops.cast(activation, "float32"))
        return ops.mean(squares, axis=tuple(range(1, len(activation.shape))))[:, None]


@dataclass(frozen=True, kw_only=True)
class Penalty(WholeTerm):
    """The value of a function of the clip itself.

    Attributes:
        function: Function of clips `(N, T, H, W, C)` in [0, 1] that returns `(N,)`.
    """

    function: Callable

    def features(self, activation):
        from keras import ops

        return one_a_clip(self.function, ops.cast(activation, "float32"), "clips")[:, None]


def channel(
    layer: str,
    channels: int | Iterable[int],
    *,
    before_activation: bool = False,
    where: Any = None,
) -> Objective:
    """Mean activation of a channel over time and space (of a unit, where a layer has no positions).

    Args:
        layer: Name of the layer, or the Keras layer itself.
        channels: One index from 0, or several: one clip each.
        before_activation: Whether to read the layer before its own activation function.
        where: Positions over which the mean is taken: a frame, such as 3; slices of frames, rows
            and columns, such as `np.s_[2:5, 8:16, 8:16]`; or an array with a weight for each
            position, such as a mask. Positions are in the layer's own grid. None means all.

    Example:
        >>> from c3dvis import objectives
        >>> len(objectives.channel("conv3b", range(8)))
        8
        >>> left = objectives.channel("conv3b", 7, where=np.s_[:, :, :4])
    """
    read = source(layer, before_activation)
    return Objective.of(Channel(read, units_of(channels), where=places(where)))


def neuron(
    layer: str,
    channels: int | Iterable[int],
    *,
    position: Position | None = None,
    before_activation: bool = True,
) -> Objective:
    """Activation of a channel at one position, before the layer's own activation function.

    After a ReLU, about half of all neurons are inactive at the start and have no gradient. Before
    it, they have one, and an active neuron has the same value.

    Args:
        layer: Name of the layer.
        channels: One index from 0, or several: one clip each.
        position: `(t, y, x)` in the layer's own grid; None means the centre.
        before_activation: False reads the layer's output.

    Example:
        >>> from c3dvis import objectives
        >>> corner = objectives.neuron("conv3b", 7, position=(0, 0, 0))
        >>> centre_less_corner = objectives.neuron("conv3b", 7) - corner
    """
    read = source(layer, before_activation)
    return Objective.of(Neuron(read, units_of(channels), as_position(position)))


def frame(
    layer: str,
    channels: int | Iterable[int],
    *,
    frame: int | None = None,
    before_activation: bool = False,
) -> Objective:
    """Mean activation of a channel over one frame of a layer: an event at a moment.

    Args:
        layer: Name of a layer with time.
        channels: One index from 0, or several: one clip each.
        frame: Index in the layer's own frames, of which deep layers have fewer than the clip; None
            means the middle one.
        before_activation: Whether to read the layer before its own activation function.

    Example:
        >>> from c3dvis import objectives
        >>> last = objectives.frame("conv3b", 7, frame=7)
        >>> appears = last - objectives.frame("conv3b", 7, frame=0)
    """
    moment = None if frame is None else whole(frame)
    return Objective.of(Frame(source(layer, before_activation), units_of(channels), moment))


def layer(layer: str, *, before_activation: bool = False) -> Objective:
    """Mean square of all activations of a layer: anything it responds to (deep dream).

    Args:
        layer: Name of the layer.
        before_activation: Whether to read the layer before its own activation function.

    Example:
        >>> from c3dvis import objectives
        >>> dream = objectives.layer("conv3b")

    Mordvintsev et al. 2015, "Inceptionism",
    https://research.google/blog/inceptionism-going-deeper-into-neural-networks
    """
    return Objective.of(Energy(source(layer, before_activation)))


def interpolation(
    layer: str,
    channel: int,
    other_layer: str,
    other_channel: int,
    *,
    clips: int = 5,
    before_activation: bool = False,
) -> Objective:
    """From one channel to another, over several clips.

    Of N clips, clip `i` raises `(1 - i / (N - 1))` times the mean of the first channel plus
    `i / (N - 1)` times that of the second. Add `alignment` to keep neighbouring clips similar.

    Args:
        layer: Name of the layer of the first channel.
        channel: Its index from 0.
        other_layer: Name of the layer of the second channel.
        other_channel: Its index from 0.
        clips: Number of clips, 2 or more.
        before_activation: Whether to read the layers before their own activation functions.

    Raises:
        ValueError: Fewer than two clips.

    Example:
        >>> from c3dvis import objectives
        >>> between = objectives.interpolation("conv3b", 7, "conv4b", 2, clips=6)
        >>> len(between + 0.1 * objectives.alignment("conv2"))
        6

    Olah et al. 2017, https://distill.pub/2017/feature-visualization
    """
    count = whole(clips)
    if count < 2:
        raise ValueError(f"Expected 2 clips or more to interpolate. Received: clips={clips}.")
    rising = tuple(i / (count - 1) for i in range(count))
    ends = ((layer, channel, rising[::-1]), (other_layer, other_channel, rising))
    return Objective(
        tuple(
            (
                1.0,
                Interpolated(
                    source(name, before_activation),
                    tuple((whole(unit), i) for i in range(count)),
                    weights,
                ),
            )
            for name, unit, weights in ends
        )
    )


def penalty(function: Callable) -> Objective:
    """The value of a function of the clip, such as a regularizer; subtract it.

    The function sees clips before transforms and the network's preprocessing.

    Args:
        function: Function of clips `(N, T, H, W, C)` in [0, 1] that returns one number per clip,
            `(N,)`, written with `keras.ops`, such as those of `c3dvis.maximize.regularizers`.

    Raises:
        ValueError: An object that can't be called.

    Example:
        >>> from c3dvis import objectives
        >>> from c3dvis.maximize.regularizers import TotalVariation
        >>> still = objectives.penalty(TotalVariation(temporal=1))
        >>> len(objectives.channel("conv3b", range(8)) - 0.5 * still)
        8
    """
    if not callable(function):
        raise ValueError(f"Expected a function of clips. Received: {function!r}.")
    return Objective.of(Penalty(CLIP, function=function))
