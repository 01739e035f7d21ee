"""A network computed for a part of its clip, or in another precision, with the same results."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from c3dvis.graph import Step
from c3dvis.pooling import lowest
from c3dvis.receptive_field import Box, Interval, LayerGraph, Window, windows
from c3dvis.rewire import WithoutActivation, quick_call

_POINTWISE = (Window(),) * 3  # each position is computed from itself
_SHAPE_ONLY = (keras.layers.ZeroPadding3D, keras.layers.Cropping3D)


class CroppedNetwork(keras.layers.Layer):
    """Computes boxes of a network's tensors from a box of its clip, and nothing else.

    A layer that pads sees, at the edge of a box, what it sees there in the whole network: the
    neighbours where there are some, and its padding where there are none. So the outputs and their
    gradients are those of the whole network, at the borders of a clip too.

    Args:
        network: Functional model with one input, perhaps with models inside.
        layer_graph: Graph of the network.
        wanted: Boxes to compute, by key; None means all of a tensor.
        dtype: None, or "bfloat16" to compute in it from the first layer with weights on, with a
            copy of the weights. What comes before, such as the subtraction of a mean, stays.

    Attributes:
        boxes: What is computed of each tensor, by key.
        box: Box of the clip.
        needed: Keys of all tensors that are computed.
        steps: The steps that compute them, in order.

    Raises:
        ValueError: A dtype, and a layer that can't be copied.
    """

    def __init__(
        self,
        network: keras.Model,
        layer_graph: LayerGraph,
        wanted: Mapping[int, Box | None],
        *,
        dtype: str | None = None,
    ):
        super().__init__(name="crop", dtype="float32", autocast=False)
        self.layer_graph, self.boxes = layer_graph, layer_graph.seen(wanted)
        self.box = self.boxes.get(layer_graph.clip, layer_graph.all_of(layer_graph.clip))
        self.needed = layer_graph.needed(wanted)
        self.steps = [step for step in layer_graph.steps if self.needed.intersection(step.outputs)]
        # Keys of what is not computed whole, or not from whole inputs; and where windows slide.
        self._cropped: set[int] = set()
        self._sliding: set[int] = set()
        for step in self.steps:
            self._note_crop(step)
        self._clip = network.inputs[0]
        shapes = {layer_graph.clip: tuple(self._clip.shape)}
        for step in self.steps:
            shapes.update(zip(step.outputs, step.shapes, strict=True))
        self._shapes = shapes
        copied = [] if dtype is None else _behind_weights(self.steps)
        copies = {id(step.layer): step.layer for step in copied}
        self._copies = {
            key: (layer, _copy(layer, layer.name, dtype)) for key, layer in copies.items()
        }
        for step in copied:
            self._build(step)
        # Named, so that Keras knows of all variables.
        called = {id(step.layer): self.layer(step) for step in self.steps}
        self.layers = [one for one in called.values() if isinstance(one, keras.layers.Layer)]
        self.built = True
        self.refresh()

    def refresh(self) -> None:
        """Updates copied weights to the network's current ones."""
        for layer, copy in self._copies.values():
            for weight, own in zip(layer.weights, copy.weights, strict=True):
                own.assign(ops.cast(weight, own.dtype))

    def call(self, part, keys: Collection[int] = (), relu: Callable | None = None, training=None):
        """Some tensors' boxes, by key.

        Args:
            part: `(N, t, h, w, C)`, the box of the clip.
            keys: Keys of the tensors.
            relu: Replaces the network's plain ReLUs, see `rewire.quick_call`.
            training: As in Keras; the layers inherit it.
        """
        values = {self.layer_graph.clip: ops.convert_to_tensor(part, dtype=self._clip.dtype)}
        needed = self.layer_graph.needed(keys)
        for step in self.steps:
            if needed.intersection(step.outputs):
                outputs = keras.tree.flatten(self.computed(step, values, relu))
                values.update(zip(step.outputs, outputs, strict=True))
        return {key: values[key] for key in keys}

    def computed(self, step: Step, values: Mapping[int, Any], relu: Callable | None):
        """A step's output for its box, from the computed parts of its inputs."""
        layer = self.layer(step)
        if step.outputs[0] in self._sliding:
            return self._slid(step, layer, values, relu)
        values = {key: self.cut_out(step, values[key], key) for key in step.inputs}
        arguments, options = step.arguments(values)
        return quick_call(layer, *arguments, relu=relu, **options)

    def cut_out(self, step: Step, value, key: int | None = None):
        """The part of an input that a pointwise step reads for its box."""
        if step.outputs[0] not in self._cropped:
            return value
        own = self.boxes[step.inputs[0] if key is None else key]
        return _part(value, own, self.boxes[step.outputs[0]])

    def layer(self, step: Step):
        """The step's layer, or its copy in another dtype if there is one."""
        _, layer = self._copies.get(id(step.layer), (None, step.layer))
        return layer

    def padded(self, step: Step, values: Mapping[int, Any]) -> tuple[Any, str | None]:
        """What a convolution reads for its box, and the padding to use; None means its own.

        Args:
            step: Calls a convolution.
            values: By key.
        """
        value = values[step.inputs[0]]
        if step.outputs[0] not in self._sliding:
            return self.cut_out(step, value), None
        x, _ = self._read(step, value)
        return x, "valid"

    def shape(self, key: int) -> tuple[int | None, ...]:
        """Shape of the computed part of a tensor, with the batch axis."""
        whole = self._shapes[key]
        if key not in self.boxes:
            return whole
        return whole[0], *(end - first for first, end in self.boxes[key]), *whole[4:]

    def _build(self, step: Step) -> None:
        """Builds a copy by a call on symbolic tensors like the network's own."""
        copy = self.layer(step)
        if not copy.built:
            like = [keras.KerasTensor(t.shape, t.dtype) for t in step.call.inputs]
            arguments, options = step.call.arguments(like)
            copy(*arguments, **options)

    def _note_crop(self, step: Step) -> None:
        """Notes whether a step computes a part, and whether its windows slide over a part."""
        if not self.layer_graph.follows(step):
            return
        keys = (*step.inputs, *step.outputs)
        if any(self.boxes[key] != self.layer_graph.all_of(key) for key in keys):
            self._cropped.add(step.outputs[0])
            lengths = [self.layer_graph.lengths[key] for key in step.inputs]
            if windows(step.layer, lengths) != _POINTWISE:
                self._sliding.add(step.outputs[0])

    def _read(self, step: Step, value) -> tuple[Any, bool]:
        """What a layer's windows read for a box, padded where that ends; whether it is padded."""
        key, box = step.inputs[0], self.boxes[step.outputs[0]]
        lengths, reads = self.layer_graph.lengths[key], self.layer_graph.reads(step, box)
        inside, pads = zip(*map(_split, reads, lengths), strict=True)
        x = _part(value, self.boxes[key], inside)
        is_padded = any(map(any, pads))
        if is_padded:
            fill = lowest(x.dtype) if isinstance(step.layer, keras.layers.MaxPooling3D) else 0.0
            x = ops.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
        return x, is_padded

    def _slid(self, step: Step, layer, values: Mapping[int, Any], relu: Callable | None):
        """A layer's windows over what they read for a box."""
        key, box = step.inputs[0], self.boxes[step.outputs[0]]
        x, is_padded = self._read(step, values[key])
        if isinstance(step.layer, _SHAPE_ONLY):
            return x
        x = quick_call(layer, x, relu=relu, padding="valid")
        if isinstance(step.layer, keras.layers.AveragePooling3D) and is_padded:
            # A mean over a window that reaches past the end is one over what there is.
            lengths = self.layer_graph.lengths[key]
            axes_windows = windows(step.layer, [lengths]) or _POINTWISE
            shares = np.ix_(*map(_shares, axes_windows, box, lengths))
            x = x / ops.cast((shares[0] * shares[1] * shares[2])[..., None], x.dtype)
        return x


def _behind_weights(steps: Collection[Step]) -> list[Step]:
    """The steps from the first layers with weights on; without operations of `keras.ops`."""
    behind: set[int] = set()
    chosen = []
    for step in steps:
        if getattr(step.layer, "weights", None) or behind.intersection(step.inputs):
            behind.update(step.outputs)
            if isinstance(step.layer, keras.layers.Layer):
                chosen.append(step)
    return chosen


def _copy(layer: keras.layers.Layer, name: str, dtype: str | None) -> keras.layers.Layer:
    """A layer of the same configuration, whose weights are not set yet."""
    if isinstance(layer, WithoutActivation):
        return WithoutActivation(_copy(layer.layer, f"{name}_copy", dtype), name=name)
    # Statistics are few, and rounded they shift every channel.
    normalizes = isinstance(layer, keras.layers.BatchNormalization)
    policy = f"mixed_{dtype}" if normalizes else dtype
    try:
        config = _begun_with_zeros(layer.get_config())
        return type(layer).from_config({**config, "name": name, "dtype": policy})
    except (NotImplementedError, TypeError, ValueError) as problem:
        raise ValueError(
            f"Expected layers that `get_config` and `from_config` can copy, to compute in {dtype}. "
            f"Received: layer {name!r}, a {type(layer).__name__}."
        ) from problem


def _begun_with_zeros(config: Any) -> Any:
    """A configuration with zeros for orthogonal matrices, which can't be drawn in bfloat16."""
    if isinstance(config, list | tuple):
        return type(config)(map(_begun_with_zeros, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") in ("Orthogonal", "OrthogonalInitializer"):
        return "zeros"
    return {key: _begun_with_zeros(value) for key, value in config.items()}


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
