"""Walking a network: which layer made a tensor, and its calls in order.

Keras has no public way to ask for either, so this is the only file that names what it keeps
private: a network's nodes, the history of its tensors, and the functional model in a Sequential.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

__all__ = [
    "Call",
    "Graph",
    "Step",
    "call_unnoted",
    "calls",
    "flattened",
    "is_graph",
    "output_names",
    "producer",
    "sublayers",
]


@dataclass(frozen=True)
class Call:
    """One call of a layer on symbolic tensors.

    Attributes:
        node: Keras's record of it.
    """

    node: Any

    @property
    def layer(self) -> Any:
        """The layer, or an operation of `keras.ops`."""
        return self.node.operation

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        return self.node.input_tensors

    @property
    def outputs(self) -> list[keras.KerasTensor]:
        return self.node.output_tensors

    @property
    def first_argument(self):
        """What the layer was called with: a tensor, or a structure of tensors."""
        return self.node.arguments.args[0]

    @property
    def constants(self) -> list:
        """All that it was called with, flat; None in the places of tensors."""
        flat = keras.tree.flatten((self.node.arguments.args, self.node.arguments.kwargs))
        return [None if isinstance(value, keras.KerasTensor) else value for value in flat]

    def arguments(self, values: Sequence) -> tuple[tuple, dict]:
        """Its arguments and named arguments, with values in the places of its `inputs`."""
        return self.node.arguments.fill_in(dict(zip(map(id, self.inputs), values, strict=True)))


@dataclass(frozen=True)
class Step:
    """One call of a layer in a network, models inside it included.

    Attributes:
        name: Of the layer; `model/layer` inside a model in the network.
        call: The call.
        inputs: Keys of the tensors that it reads.
        outputs: Keys of the tensors that it makes.
    """

    name: str
    call: Call
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def layer(self) -> Any:
        """The layer, or an operation of `keras.ops`."""
        return self.call.layer

    @property
    def shapes(self) -> list[tuple[int | None, ...]]:
        """Of what it makes, with the batch axis."""
        return [tuple(tensor.shape) for tensor in self.call.outputs]

    def arguments(self, values: Mapping[int, Any]) -> tuple[tuple, dict]:
        """Arguments and named arguments of the call, with values by key."""
        return self.call.arguments([values[key] for key in self.inputs])


@dataclass(frozen=True)
class Graph:
    """A network without models inside models.

    Attributes:
        steps: In the order in which they can be computed.
        inputs: Keys of the network's inputs.
        outputs: Keys of its outputs.
    """

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def is_graph(layer) -> bool:
    """Whether it is a model whose layers can be read: functional, or Sequential and built."""
    return hasattr(_functional(layer), "_nodes_by_depth")


def calls(network: keras.Model, layer) -> list[Call]:
    """The calls of a layer by this network itself; other networks may call it too."""
    return [call for call in _calls(network) if call.layer is layer]


def producer(tensor: keras.KerasTensor) -> tuple[Call, int]:
    """The call that made a tensor, and which of its outputs that is."""
    layer, node_index, tensor_index = tensor._keras_history
    return Call(layer._inbound_nodes[node_index]), tensor_index


def call_unnoted(layer: keras.layers.Layer, value):
    """`layer(value)` on a network's tensors, of which the network's own layers keep no note.

    Keras notes a call on the layers that made the tensors, too, where it would stay, with all that
    was built on it, as long as the network lives.

    Args:
        layer: A new layer or model.
        value: Tensor of a network, or a structure of tensors.
    """
    result = layer(value)
    node = layer._inbound_nodes[-1]
    for tensor in node.input_tensors:
        noted = tensor._keras_history.operation._outbound_nodes
        if node in noted:
            noted.remove(node)
    return result


def sublayers(layer) -> Iterator[keras.layers.Layer]:
    """A layer and all layers inside it, whatever keeps them."""
    if isinstance(layer, keras.layers.Layer):
        yield layer
        for inner in layer._layers:
            yield from sublayers(inner)


def output_names(network: keras.Model) -> list[str]:
    return list(_functional(network).output_names)


def flattened(network: keras.Model) -> Graph:
    """The calls of a network's layers, those of models inside it in the places of their own.

    Example:
        >>> clip = keras.Input((4, 8, 8, 3))
        >>> inner = keras.Sequential([keras.layers.Conv3D(2, 3, name="conv")], name="inner")
        >>> graph = flattened(keras.Model(clip, keras.layers.ReLU(name="relu")(inner(clip))))
        >>> [step.name for step in graph.steps]
        ['inner/conv', 'relu']
    """
    fresh = itertools.count()
    keys = {id(tensor): next(fresh) for tensor in network.inputs}
    inputs = tuple(keys.values())
    steps = tuple(_steps(network, keys, fresh, ""))
    return Graph(steps, inputs, tuple(keys[id(tensor)] for tensor in network.outputs))


def _steps(
    network: keras.Model, keys: dict[int, int], fresh: Iterator[int], prefix: str
) -> Iterator[Step]:
    """The steps of a network.

    Args:
        network: The model.
        keys: Key of each tensor by its `id`: of the inputs at first, then of all.
        fresh: Keys not yet used.
        prefix: Of the layers' names.
    """
    for call in _calls(network):
        layer, name = call.layer, f"{prefix}{call.layer.name}"
        inputs = tuple(keys[id(tensor)] for tensor in call.inputs)
        if is_graph(layer):
            inner = {id(own): key for own, key in zip(layer.inputs, inputs, strict=True)}
            yield from _steps(layer, inner, fresh, f"{name}/")
            outputs = tuple(inner[id(own)] for own in layer.outputs)
        else:
            outputs = tuple(next(fresh) for _ in call.outputs)
            yield Step(name, call, inputs, outputs)
        keys.update(zip(map(id, call.outputs), outputs, strict=True))


def _calls(network: keras.Model) -> Iterator[Call]:
    nodes = _functional(network)._nodes_by_depth
    for depth in sorted(nodes, reverse=True):
        yield from (Call(node) for node in nodes[depth] if not node.is_input)


def _functional(network):
    """The functional model that a Sequential one keeps inside, or the model itself."""
    return getattr(network, "_functional", None) or network
