"""Traverses a network: which layer made a tensor, and its calls in order.

Keras has no public API for either, so this file and `c3dvis.opening` are the only ones that use
private attributes: a network's nodes, the history of its tensors, and the functional model in a
Sequential.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from c3dvis import opening
from c3dvis.held import Constant, Held
from c3dvis.opening import is_graph, recomputed

__all__ = [
    "Call",
    "Graph",
    "Step",
    "call_in_place",
    "call_unrecorded",
    "clip_input",
    "flattened",
    "in_order",
    "input_names",
    "is_graph",
    "named_calls",
    "output_names",
    "output_shapes",
    "producer",
    "reached",
    "recomputed",
    "sublayers",
    "without_number",
]

# A call by the `id`s of the nodes that lead to it, from the outermost network inwards.
Place = tuple[int, ...]
_NUMBER = re.compile(r"@(\d+)$")
# Attribute of a layer called in place of another call: the node of that call.
_IN_PLACE_OF = "in_place_of"


@dataclass(frozen=True)
class Call:
    """One call of a layer on symbolic tensors.

    Attributes:
        node: Keras's record of it.
        operation: The called layer, or a variant of it, or an operation of `keras.ops`.
        layer: The user's own layer, or the operation.
        inputs: The tensors that it was called on.
        outputs: The tensors that it returned.
    """

    node: Any
    operation: Any
    layer: Any
    inputs: list[keras.KerasTensor]
    outputs: list[keras.KerasTensor]

    @property
    def place(self) -> Place:
        """The call's place in the network that makes it."""
        return (id(self.node),)

    @property
    def inside(self) -> keras.Model | None:
        """The nested model that it computes, if any: the layer itself, or a model of its layers."""
        return opening.look(self.node)[0]

    @property
    def why_closed(self) -> str | None:
        """Why the layers inside can't be reached; None if they can, or there are none."""
        return opening.look(self.node)[1]

    @property
    def constants(self) -> list:
        """All arguments of the call, flattened, with None for tensors."""
        flat = keras.tree.flatten((self.node.arguments.args, self.node.arguments.kwargs))
        return [None if isinstance(value, keras.KerasTensor) else value for value in flat]

    def arguments(self, values: Sequence) -> tuple[tuple, dict]:
        """Its arguments and named arguments, with values in the places of its `inputs`."""
        return self.node.arguments.fill_in(dict(zip(map(id, self.inputs), values, strict=True)))


@dataclass(frozen=True)
class Step:
    """One call of a layer in a network, models inside it included.

    Attributes:
        name: Name of the layer; `model/layer` in a nested model, `layer@2` for the second
            call of several.
        layer: The layer, or an operation of `keras.ops`.
        call: The call.
        inputs: Keys of the tensors that it reads.
        outputs: Keys of the tensors that it makes.
        place: Place of the call.
    """

    name: str
    layer: Any
    call: Call
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    place: Place

    @property
    def shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of its outputs, with the batch axis."""
        return [tuple(tensor.shape) for tensor in self.call.outputs]

    def arguments(self, values: Mapping[int, Any]) -> tuple[tuple, dict]:
        """Arguments and named arguments of the call, with values by key."""
        return self.call.arguments([values[key] for key in self.inputs])


@dataclass(frozen=True)
class Graph:
    """A network without models inside models.

    Attributes:
        steps: The steps, in an order in which they can be computed.
        inputs: Keys of the network's inputs.
        outputs: Keys of its outputs.
        outputs_by_place: Keys of what each call makes, of layers with layers inside too; several
            where a call is also computed without its activation.
    """

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    outputs_by_place: Mapping[Place, list[tuple[int, ...]]] = field(default_factory=dict)


def clip_input(network: keras.Model) -> keras.KerasTensor:
    """The input of a network that takes clips `(N, T, H, W, C)` and nothing else.

    Raises:
        ValueError: If it takes something else, with what to do where it has several inputs.
    """
    inputs = network.inputs
    if len(inputs) == 1 and len(inputs[0].shape) == 5:
        return inputs[0]
    shapes = [tuple(tensor.shape) for tensor in inputs]
    hint = ""
    if len(inputs) > 1:
        hint = "; hold the others with models.one_input(network, name)"
    elif len(shapes[0]) == 4:
        hint = (
            "; a network of pictures is called on the frames, as by keras.layers.TimeDistributed, "
            "and one of frames in its channels behind keras.layers.Permute((2, 3, 1, 4)) and "
            "Reshape, in a keras.Model of clips"
        )
    raise ValueError(
        f"Expected a network with one input of shape (N, T, H, W, C). Received: {shapes}{hint}."
    )


def named_calls(network: keras.Model) -> dict[str, Call]:
    """The calls of a network's layers by name: `layer`, or `layer@1`, `layer@2` of several.

    Example:
        >>> clip, relu = keras.Input((4, 8, 8, 3)), keras.layers.ReLU(name="relu")
        >>> minus = keras.layers.Rescaling(-1, name="minus")
        >>> list(named_calls(keras.Model(clip, relu(minus(relu(clip))))))
        ['relu@1', 'minus', 'relu@2']
    """
    nodes = opening.functional(network)._nodes_by_depth
    every = [
        _call(node)
        for depth in sorted(nodes, reverse=True)
        for node in nodes[depth]
        if not node.is_input
    ]
    alike = defaultdict(list)
    for call in every:
        alike[call.layer.name].append(call)
    names = {}
    for name, same in alike.items():
        same.sort(key=lambda call: opening.order_of_call(call.node))
        for i, call in enumerate(same, 1):
            names[id(call.node)] = f"{name}@{i}" if len(same) > 1 else name
    return {names[id(call.node)]: call for call in every}


def without_number(name: str) -> str:
    """The name of a layer, given that of one of its calls."""
    return _NUMBER.sub("", name)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of calls in order; those of one layer by their numbers."""
    return sorted(names, key=lambda name: int(m[1]) if (m := _NUMBER.search(name)) else 0)


def producer(tensor: keras.KerasTensor) -> tuple[Call, int]:
    """The call that made a tensor, and which of its outputs that is."""
    layer, node_index, tensor_index = tensor._keras_history
    return _call(layer._inbound_nodes[node_index]), tensor_index


def call_unrecorded(layer: keras.layers.Layer, value, *, in_place_of: Call | None = None):
    """`layer(value)` on a network's tensors, without a record on the network's layers.

    Keras records a call also on the layers that made the tensors, where it would stay, with all
    that was built on it, as long as the network lives.

    Args:
        layer: A new layer or model.
        value: Tensor of a network, or a structure of tensors.
        in_place_of: The call whose place this one takes.
    """
    if in_place_of is not None:
        vars(layer)[_IN_PLACE_OF] = in_place_of.node
    result = layer(value)
    node = layer._inbound_nodes[-1]
    for tensor in node.input_tensors:
        noted = tensor._keras_history.operation._outbound_nodes
        if node in noted:
            noted.remove(node)
    return result


def call_in_place(model: keras.Model, call: Call):
    """A model computed in place of a call, on the tensors of that call."""
    if is_graph(call.layer):
        value = call.node.arguments.args[0]  # a tensor, or the structure that the model takes
    else:
        value = call.inputs if len(call.inputs) > 1 else call.inputs[0]
    return call_unrecorded(model, value, in_place_of=call)


def sublayers(layer) -> Iterator[keras.layers.Layer]:
    """A layer and all layers inside it, wherever they are stored."""
    if isinstance(layer, keras.layers.Layer):
        yield layer
        for inner in layer._layers:
            yield from sublayers(inner)


def input_names(network: keras.Model) -> list[str]:
    """Names of a network's inputs: keys if it takes a dictionary."""
    model = opening.functional(network)
    return _names(model._inputs_struct, [tensor.name for tensor in model.inputs])


def output_names(network: keras.Model) -> list[str]:
    """Names of a network's outputs: keys if it returns a dictionary."""
    model = opening.functional(network)
    return _names(model._outputs_struct, list(model.output_names))


def output_shapes(network: keras.Model, shape: Sequence[int]) -> list[tuple[int | None, ...]]:
    """Shapes of a network's outputs for a batch of clips of some shape.

    Each layer is called, on symbolic tensors: `compute_output_shape` of a model asks layers for it
    without rounding their weights as a call does in mixed precision.

    Example:
        >>> clip = keras.Input((None, None, None, 3))
        >>> output_shapes(keras.Model(clip, keras.layers.Conv3D(2, 3)(clip)), (2, 4, 8, 8, 3))
        [(2, 2, 6, 6, 2)]
    """
    clips = keras.Input(batch_shape=tuple(shape), dtype=network.inputs[0].dtype)
    outputs = keras.tree.flatten(recomputed(network, [clips]))
    return [tuple(output.shape) for output in outputs]


def _names(struct, otherwise: list[str]) -> list[str]:
    if not isinstance(struct, dict):
        return otherwise
    # One after the other, as Keras flattens them.
    return [str(path[0]) for path, _ in keras.tree.flatten_with_path(struct)]


def flattened(network: keras.Model) -> Graph:
    """The calls of a network's layers, with nested layers in place of those that contain them.

    Example:
        >>> clip = keras.Input((4, 8, 8, 3))
        >>> inner = keras.Sequential([keras.layers.Conv3D(2, 3, name="conv")], name="inner")
        >>> graph = flattened(keras.Model(clip, keras.layers.ReLU(name="relu")(inner(clip))))
        >>> [step.name for step in graph.steps]
        ['inner/conv', 'relu']
    """
    walk = _Walk()
    keys = {id(tensor): next(walk.fresh) for tensor in network.inputs}
    inputs = tuple(keys.values())
    walk.through(network, keys, "")
    outputs = tuple(keys[id(tensor)] for tensor in network.outputs)
    return Graph(tuple(walk.steps), inputs, outputs, walk.outputs_by_place)


def reached(graph: Graph) -> frozenset[int]:
    """Keys of the tensors that depend on the network's inputs, not on constants alone."""
    keys = set(graph.inputs)
    for step in graph.steps:
        if not isinstance(step.layer, (Held, Constant)) and keys.intersection(step.inputs):
            keys.update(step.outputs)
    return frozenset(keys)


class _Walk:
    """Collects the steps of a network.

    Attributes:
        steps: Steps so far.
        outputs_by_place: See `Graph`.
        fresh: Iterator of unused keys.
    """

    def __init__(self):
        self.steps: list[Step] = []
        self.outputs_by_place: dict[Place, list[tuple[int, ...]]] = {}
        self.fresh = itertools.count()
        # Outputs by call and inputs: several readings of one model share its steps.
        self._known: dict[tuple, tuple[int, ...]] = {}

    def through(
        self, network: keras.Model, keys: dict[int, int], prefix: str, outer: Place = ()
    ) -> None:
        """Adds the steps of a model.

        Args:
            network: The model.
            keys: Key of each tensor by its `id`: of the inputs at first, then of all.
            prefix: Prefix of the layers' names.
            outer: Place of the model.
        """
        for name, call in named_calls(network).items():
            inputs = tuple(keys[id(tensor)] for tensor in call.inputs)
            place = (*outer, id(vars(call.operation).get(_IN_PLACE_OF, call.node)))
            outputs = self._outputs(call, inputs, f"{prefix}{name}", place)
            keys.update(zip(map(id, call.outputs), outputs, strict=True))
            listed = self.outputs_by_place.setdefault(place, [])
            if outputs not in listed:
                listed.append(outputs)

    def _outputs(
        self, call: Call, inputs: tuple[int, ...], name: str, place: Place
    ) -> tuple[int, ...]:
        inner = call.inside
        if inner is not None:
            within = {id(own): key for own, key in zip(inner.inputs, inputs, strict=True)}
            is_inline = opening.is_inline(call.operation)
            prefix = f"{name.rpartition('/')[0] if is_inline else name}/"
            self.through(inner, within, prefix, place)
            return tuple(within[id(own)] for own in inner.outputs)
        known = (id(call.node), inputs)
        if known not in self._known:
            self._known[known] = tuple(next(self.fresh) for _ in call.outputs)
            self.steps.append(Step(name, call.layer, call, inputs, self._known[known], place))
        return self._known[known]


def _call(node) -> Call:
    operation = node.operation
    layer = opening.original(operation)
    return Call(node, operation, layer, node.input_tensors, node.output_tensors)
