"""Converts networks with channels first to networks of clips, with channels last."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from c3dvis import graph, opening
from c3dvis.models.description import check
from c3dvis.text import in_short

FIRST = "channels_first"
# Elementwise layers.
_ELEMENTWISE = (
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Dropout),
    *(layers.GaussianNoise, layers.GaussianDropout, layers.Identity),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum),
)
_ALONG_AN_AXIS = (layers.BatchNormalization, layers.Concatenate, layers.Softmax)


def channels_last(network: keras.Model) -> keras.Model:
    """The same network, on the same weights, with its channels last.

    Layers with `data_format="channels_first"`, which TensorFlow mostly can't compute on a CPU,
    are computed with channels last: their weights are the same in both. Where another layer needs
    its input as it was, axes are moved before it.

    Args:
        network: Functional or Sequential model that takes `(N, C, T, H, W)`; models in it, too.

    Returns:
        A model that takes clips `(N, T, H, W, C)`, with the names of the network's layers; or the
        network itself where no layer has its channels first. Outputs with channels have them last.

    Raises:
        ValueError: A layer with channels first in a wrapper, a ConvLSTM or a custom layer.

    Example:
        >>> import keras
        >>> from c3dvis import models
        >>> first = {"data_format": "channels_first"}
        >>> network = keras.Sequential(
        ...     [
        ...         keras.Input((3, 4, 8, 8)),
        ...         keras.layers.Conv3D(2, 3, name="conv", **first),
        ...         keras.layers.GlobalAveragePooling3D(**first),
        ...     ]
        ... )
        >>> models.channels_last(network).input_shape
        (None, 4, 8, 8, 3)
    """
    if not any(getattr(one, "data_format", None) == FIRST for one in graph.sublayers(network)):
        return network
    if not graph.is_graph(network):
        check(network)  # refuses it
    begins = [_begins_channels_first(network, tensor) for tensor in network.inputs]
    return _Mover().model(network, begins)


def _begins_channels_first(network: keras.Model, tensor) -> bool:
    """Whether a layer with channels first reads an input, directly or after elementwise layers."""
    same = {id(tensor)}
    for call in graph.named_calls(network).values():
        if not any(id(one) in same for one in call.inputs):
            continue
        inside = call.layer if graph.is_graph(call.layer) else None
        if getattr(call.layer, "data_format", None) == FIRST:
            return True
        if inside is not None and _begins_channels_first(inside, inside.inputs[0]):
            return True
        if isinstance(call.layer, (*_ELEMENTWISE, layers.Rescaling, layers.BatchNormalization)):
            same.update(map(id, call.outputs))
    return False


class _Mover:
    """Rebuilds networks on tensors, some of which have their channels moved to the end.

    Attributes:
        moved: Those tensors, by `id`.
    """

    def __init__(self):
        self.moved: dict[int, keras.KerasTensor] = {}
        self._variants: dict[tuple, keras.layers.Layer] = {}
        self._models: dict[tuple, keras.Model] = {}

    def model(self, network: keras.Model, are_moved: Sequence[bool]) -> keras.Model:
        """A network on inputs that are, or are not, moved."""
        key = (id(network), *are_moved)
        if key not in self._models:
            inputs = [
                keras.Input(
                    batch_shape=(t.shape[0], *t.shape[2:], t.shape[1]) if moved else t.shape,
                    dtype=t.dtype,
                )
                for t, moved in zip(network.inputs, are_moved, strict=True)
            ]
            pairs = zip(inputs, are_moved, strict=True)
            self._mark([tensor for tensor, moved in pairs if moved])
            values = dict(zip(map(id, network.inputs), inputs, strict=True))
            for call in graph.named_calls(network).values():
                outputs = self._call(call, [values[id(tensor)] for tensor in call.inputs])
                values.update(zip(map(id, call.outputs), keras.tree.flatten(outputs), strict=True))
            outputs = [values[id(tensor)] for tensor in network.outputs]
            self._models[key] = keras.Model(inputs, outputs, name=network.name)
        return self._models[key]

    def _call(self, call: graph.Call, values: list):
        layer, are_moved = call.layer, [id(value) in self.moved for value in values]
        if graph.is_graph(layer):
            inner = self.model(layer, are_moved)
            outputs = keras.tree.flatten(inner(values if len(values) > 1 else values[0]))
            pairs = zip(outputs, inner.outputs, strict=True)
            self._mark([tensor for tensor, own in pairs if id(own) in self.moved])
            return outputs
        is_recurrent = hasattr(layer, "cell")
        if getattr(layer, "data_format", None) == FIRST and not is_recurrent:
            if isinstance(layer, layers.Flatten):  # it goes through channels last anyway
                last = layers.Flatten(name=layer.name)
            else:
                last = self._changed(layer, data_format="channels_last")
            (value,) = values
            value = value if are_moved[0] else self._mark([ops.moveaxis(value, 1, -1)])[0]
            return self._mark([last(value)])
        self._refuse_inside(layer)
        if all(are_moved) and isinstance(layer, _ELEMENTWISE):
            arguments, options = call.arguments(values)
            return self._mark([self._changed(layer)(*arguments, **options)])
        if all(are_moved) and isinstance(layer, _ALONG_AN_AXIS) and layer.axis in (1, [1]):
            arguments, options = call.arguments(values)
            return self._mark([self._changed(layer, axis=-1)(*arguments, **options)])
        pairs = zip(values, are_moved, strict=True)
        as_it_was = [ops.moveaxis(v, -1, 1) if moved else v for v, moved in pairs]
        arguments, options = call.arguments(as_it_was)
        return self._changed(layer)(*arguments, **options)

    def _changed(self, layer, **changes):
        key = (id(layer), *changes)
        if key not in self._variants:
            self._variants[key] = opening.changed(layer, **changes)
        return self._variants[key]

    def _mark(self, tensors: list) -> list:
        self.moved.update({id(tensor): tensor for tensor in tensors if len(tensor.shape) > 3})
        return tensors

    @staticmethod
    def _refuse_inside(layer) -> None:
        inner = [one for one in graph.sublayers(layer) if getattr(one, "data_format", "") == FIRST]
        if inner:
            raise ValueError(
                "Expected channels first in convolutions, pools and the like alone. Received: "
                f"{layer.name!r}, a {type(layer).__name__}, with "
                f"{in_short(one.name for one in inner)}; build the network again with "
                "data_format='channels_last', and give it "
                "set_weights(network.get_weights()): the weights are the same."
            )
