"""A network computed for a part of its clip, or in another precision, and giving the same."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from c3dvis import rewire
from c3dvis.models.layers import WithoutActivation
from c3dvis.pooling import max_pool
from c3dvis.receptive_field import Box, Flat, Interval, Step, Window, windows

_ALONE = (Window(),) * 3  # each position is computed from itself
_BOX_IS_ALL = (keras.layers.ZeroPadding3D, keras.layers.Cropping3D)


class Unpadded(keras.layers.Wrapper):
    """A convolution or pool of a network, on the same weights, whose input is padded already."""

    def call(self, inputs):
        layer: Any = getattr(self.layer, "windowed", self.layer)
        if rewire.is_quick_pool(layer):
            return max_pool(inputs, layer.pool_size, layer.strides, "valid")
        with _unpadded(layer):
            return self.layer.call(inputs)


class Inner(keras.layers.Wrapper):
    """A layer of a model inside a network, under a name that no other layer has."""

    @property
    def windowed(self) -> keras.layers.Layer:
        """The layer that says what a place of the output sees: see receptive_field."""
        return getattr(self.layer, "windowed", self.layer)

    def call(self, inputs):
        return self.layer(inputs)


class Rebuilt:
    """A network that computes boxes of its outputs from a box of its clip, and no more.

    A layer that pads sees, at the edge of a box, what it sees there in the whole network: the
    neighbours where there are some, and its padding where there are none. So the outputs and their
    gradients are those of the whole network, at the borders of a clip too.

    Args:
        network: Functional model with one input, perhaps with models inside.
        flat: Of that network.
        boxes: What to compute, by key; None is all of a tensor.
        dtype: None, or "bfloat16" to compute in it from the first layer with weights on, with a
            copy of the weights. What comes before, such as the subtraction of a mean, stays.

    Attributes:
        model: The network for the part of the clip, with one output for each of `boxes`.
        boxes: What it computes of each tensor, by key.
        tensors: Its tensors, by key.

    Raises:
        ValueError: A dtype, and a layer that can't be copied.
    """

    def __init__(
        self,
        network: keras.Model,
        flat: Flat,
        boxes: Mapping[int, Box | None],
        *,
        dtype: str | None = None,
    ):
        self.flat, self.boxes, self.dtype = flat, flat.seen(boxes), dtype
        self._copies: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}
        self._behind_weights: set[int] = set()
        clip = network.inputs[0]
        shape = [end - first for first, end in self.boxes[flat.clip]]
        tensor = keras.Input((*shape, clip.shape[-1]), dtype=clip.dtype, name="part")
        self.tensors = {flat.clip: tensor}
        needed = flat.needed(boxes)
        for step in flat.steps:
            if needed.intersection(step.outputs):
                made = keras.tree.flatten(self._computed(step))
                self.tensors.update(zip(step.outputs, made, strict=True))
        self.model = keras.Model(tensor, [self.tensors[key] for key in boxes])
        self.refresh()

    def refresh(self) -> None:
        """Takes over the network's weights as they are now, where they have been copied."""
        for layer, copy in self._copies.values():
            for weight, own in zip(layer.weights, copy.weights, strict=True):
                own.assign(ops.cast(weight, own.dtype))

    def _computed(self, step: Step):
        """What a step makes, of its box."""
        layer = self._layer(step)
        values = [self.tensors[key] for key in step.inputs]
        if self.flat.follows(step) and not self._is_all((*step.inputs, *step.outputs)):
            if windows(step.layer, [self.flat.lengths[key] for key in step.inputs]) != _ALONE:
                return self._slid(step, layer)
            box = self.boxes[step.outputs[0]]
            values = [_part(self.tensors[key], self.boxes[key], box) for key in step.inputs]
        read = dict(zip(map(id, step.node.input_tensors), values, strict=True))
        arguments, named = step.node.arguments.fill_in(read)
        return layer(*arguments, **named)

    def _slid(self, step: Step, layer: keras.layers.Layer):
        """A layer's windows over what they read for a box, padded where that ends."""
        key, box = step.inputs[0], self.boxes[step.outputs[0]]
        lengths, reads = self.flat.lengths[key], self.flat.reads(step, box)
        inside, pads = zip(*map(_split, reads, lengths), strict=True)
        x = _part(self.tensors[key], self.boxes[key], inside)
        if any(map(any, pads)):
            lowest = isinstance(step.layer, keras.layers.MaxPooling3D)
            fill = float("-inf") if lowest else 0.0
            x = ops.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
        if isinstance(step.layer, _BOX_IS_ALL):
            return x
        x = Unpadded(layer, name=f"{layer.name}_unpadded", dtype=layer.dtype_policy)(x)
        if isinstance(step.layer, keras.layers.AveragePooling3D) and any(map(any, pads)):
            # A mean over a window that reaches past the end is one over what there is.
            found = windows(step.layer, [lengths]) or _ALONE
            shares = np.ix_(*map(_shares, found, box, lengths))
            x = x / ops.cast((shares[0] * shares[1] * shares[2])[..., None], x.dtype)
        return x

    def _is_all(self, keys) -> bool:
        return all(self.boxes[key] == self.flat.all_of(key) for key in keys)

    def _layer(self, step: Step):
        """The step's layer; a copy in the other dtype if there is one."""
        if getattr(step.layer, "weights", None) or self._behind_weights.intersection(step.inputs):
            self._behind_weights.update(step.outputs)
        is_layer = isinstance(step.layer, keras.layers.Layer)
        name = step.name.replace("/", ".")
        if not is_layer or (step.name == step.layer.name and self.dtype is None):
            return step.layer
        if self.dtype is None or not self._behind_weights.intersection(step.outputs):
            return Inner(step.layer, name=name, dtype=step.layer.dtype_policy)
        if id(step.layer) not in self._copies:
            self._copies[id(step.layer)] = step.layer, _copy(step.layer, name, self.dtype)
        return self._copies[id(step.layer)][1]


def _copy(layer: keras.layers.Layer, name: str, dtype: str) -> keras.layers.Layer:
    """A layer of the same configuration, whose weights are not set yet."""
    if isinstance(layer, WithoutActivation):
        return WithoutActivation(_copy(layer.layer, f"{name}_copy", dtype), name=name)
    # Statistics are few, and rounded they shift every channel.
    normalizes = isinstance(layer, keras.layers.BatchNormalization)
    policy = f"mixed_{dtype}" if normalizes else dtype
    try:
        return type(layer).from_config({**layer.get_config(), "name": name, "dtype": policy})
    except (NotImplementedError, TypeError, ValueError) as problem:
        raise ValueError(
            f"Expected layers that `get_config` and `from_config` can copy, to compute in {dtype}. "
            f"Received: layer {name!r}, a {type(layer).__name__}."
        ) from problem


@contextmanager
def _unpadded(layer: keras.layers.Layer) -> Iterator[None]:
    padding = layer.padding
    layer.padding = "valid"
    try:
        yield
    finally:
        layer.padding = padding


def _part(tensor, own: Box, box: Box):
    """Cuts a box out of a tensor that holds the box `own`."""
    if own == box:
        return tensor
    cuts = [slice(b[0] - o[0], b[1] - o[0]) for o, b in zip(own, box, strict=True)]
    return tensor[(slice(None), *cuts)]


def _split(read: Interval, length: int) -> tuple[Interval, Interval]:
    """An interval into what lies in a tensor of some length, and the lengths before and behind."""
    first = min(max(read[0], 0), length)
    end = max(min(read[1], length), first)
    most = read[1] - read[0]
    return (first, end), (min(max(-read[0], 0), most), min(max(read[1] - length, 0), most))


def _shares(window: Window, interval: Interval, length: int) -> np.ndarray:
    """Of each window of an interval, the share that lies in the tensor."""
    firsts = np.arange(*interval) * window.stride - window.before
    ends = np.minimum(firsts + window.kernel, length)
    return ((ends - np.maximum(firsts, 0)) / window.kernel).astype(np.float32)
