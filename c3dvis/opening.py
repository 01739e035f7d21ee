"""What is inside a layer that calls other layers, as a model of those on the same weights.

A model inside `TimeDistributed` is computed on all frames at once, folded into the batch. A layer
of one's own, or `Bidirectional`, is asked once for what it does with symbolic tensors. What is
called then are variants of its layers, so that nothing is noted on the layers themselves.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis.folding import Fold, Unfold
from c3dvis.text import in_one_line
from c3dvis.variants import variant

__all__ = [
    "Weight",
    "changed",
    "functional",
    "is_graph",
    "is_inline",
    "look",
    "order_of_call",
    "original",
    "recomputed",
]

_ORIGINAL, _INLINE = "original_of_the_variant", "is_inline"
# Of a variant: which call of the user's layer each of its own calls stands for.
_ORDER = "order_of_the_calls"
# Attributes in which Keras and TensorFlow keep track of a layer's layers.
_TRACKING = (
    "_layers",
    "_functional",
    "_unconditional",
    "_self_",
    "_trainable_v",
    "_non_trainable_v",
)
# Of what a user's code says, in characters.
_LONGEST_REASON = 200
_lock = threading.RLock()
# By Keras's record of a call: the model, or why there is none.
_opened: weakref.WeakKeyDictionary[Any, tuple[keras.Model | None, str | None]] = (
    weakref.WeakKeyDictionary()
)


class _Closed(Exception):
    """Why a layer can't be looked into."""


class Weight(keras.layers.Layer):
    """A weight of a user's layer, as a symbolic tensor, so that what is made of it is followed.

    It is called with any symbolic tensor, which it does not read.
    """

    def __init__(self, variable: keras.Variable, **kwargs):
        super().__init__(**kwargs)
        self.variable = variable

    def call(self, clips):
        return ops.convert_to_tensor(self.variable)


def is_graph(layer) -> bool:
    """Whether it is a model whose layers can be read: functional, or Sequential and built."""
    return hasattr(functional(layer), "_nodes_by_depth")


def functional(network):
    """The functional model that a Sequential one keeps inside, or the model itself."""
    return getattr(network, "_functional", None) or network


def original(layer):
    """The user's own layer, of one that was called in its place."""
    return vars(layer).get(_ORIGINAL, layer) if hasattr(layer, "__dict__") else layer


def recomputed(network, tensors: list) -> Any:
    """What a network makes of other symbolic tensors, by variants of its own layers.

    Args:
        network: Functional or Sequential model that has been built.
        tensors: One for each of `network.inputs`.

    Returns:
        Symbolic tensors, in the structure of the network's outputs.
    """
    variants: dict[int, Any] = {}

    def apart(operation):
        if id(operation) not in variants:
            variants[id(operation)] = _apart(operation)
        return variants[id(operation)]

    model = functional(network)
    results = model._run_through_graph(tensors, operation_fn=apart)
    # Keras calls them by their depth, in whatever order, but their names number the user's calls.
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                other = variants[id(node.operation)]
                vars(other)[_ORDER] = [*(vars(other)[_ORDER] or []), order_of_call(node)]
    return results


def order_of_call(node) -> int:
    """Which of the calls of its layer a call is, as the user's code made them."""
    index = node.operation._inbound_nodes.index(node)
    order = vars(node.operation).get(_ORDER) or []
    return order[index] if index < len(order) else index


def _apart(operation, **changes):
    """A variant of a layer, or of an operation, that notes its own calls alone."""
    noted = {_ORIGINAL: original(operation), "_inbound_nodes": [], "_outbound_nodes": []}
    noted[_ORDER] = None
    return variant(operation, **(noted | changes))


def changed(layer, /, **attributes):
    """A layer with the weights of another, but other attributes, for another network.

    It takes tensors of other shapes, where its attributes let it.
    """
    notes: dict[str, Any] = {"_inbound_nodes": [], "_outbound_nodes": [], "_input_spec": None}
    return variant(layer, **(attributes | notes))


def is_inline(layer) -> bool:
    """Whether it is the model in a wrapper, whose layers are named after the wrapper."""
    return vars(layer).get(_INLINE, False)


def look(node) -> tuple[keras.Model | None, str | None]:
    """The model of its layers that a call of a layer computes, and why that can't be reached.

    Args:
        node: Keras's record of the call.

    Returns:
        The model and None; None and the reason, in words; twice None where nothing is inside.
    """
    layer = original(node.operation)
    if is_graph(layer):
        return node.operation, None
    if not _has_inside(layer):
        return None, None
    with _lock:
        if node not in _opened:
            try:
                _opened[node] = _open(layer, node), None
            except _Closed as closed:
                _opened[node] = None, str(closed)
        return _opened[node]


def _has_inside(layer) -> bool:
    if isinstance(layer, keras.layers.TimeDistributed):
        return is_graph(layer.layer) or _has_inside(layer.layer)
    if isinstance(layer, keras.layers.Bidirectional):
        return True
    is_own = not type(layer).__module__.startswith(("keras.", "c3dvis."))
    return (
        is_own and isinstance(layer, keras.layers.Layer) and _holds(vars(layer), keras.layers.Layer)
    )


def _holds(value, kinds) -> bool:
    """Whether an attribute of a layer holds a layer, or another kind, in lists and dictionaries."""
    if isinstance(value, kinds):
        return True
    if isinstance(value, (list, tuple)):
        return any(_holds(each, kinds) for each in value)
    return isinstance(value, dict) and any(
        _holds(each, kinds) for name, each in value.items() if not str(name).startswith(_TRACKING)
    )


def _open(layer, node) -> keras.Model | None:
    tensors = node.input_tensors
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in tensors]
    if isinstance(layer, keras.layers.TimeDistributed):
        outputs = _frame_by_frame(layer, node, inputs)
    else:
        outputs = _traced(layer, node, inputs)
    outputs = keras.tree.flatten(outputs)
    if [t.shape for t in outputs] != [t.shape for t in node.outputs]:
        raise _Closed("its code computes something else on tensors of unknown size")
    model = keras.Model(inputs, outputs)
    called = [own for own in model.layers if original(own) is not own]
    return model if called else None


def _frame_by_frame(layer, node, inputs):
    """The output of `TimeDistributed` for a clip, with all frames in one batch."""
    _, options = node.arguments.fill_in({})
    if options.get("mask") is not None or len(inputs) != 1:
        raise _Closed("it is given a mask")
    (clips,) = inputs
    frames = Fold(dtype=layer.dtype_policy)(clips)
    once = _apart(layer.layer, **{_INLINE: is_graph(layer.layer)})
    return Unfold(clips.shape[1], dtype=layer.dtype_policy)([once(frames), clips])


def _traced(layer, node, inputs):
    """The outputs of a layer's code for symbolic tensors, with variants of its layers.

    Numbers that the code makes of weights would not change with these, so that the layer's own
    weights become tensors where it does so, and where mixed precision rounds them; those that it
    makes of nothing, such as a mask or positions, stay.
    """
    own_weights = layer._trainable_variables + layer._non_trainable_variables
    if not own_weights or layer.compute_dtype == layer.variable_dtype:
        outputs = _followed(layer, node, inputs)
        if not _has_numbers_of_weights(layer, node, inputs, outputs):
            return outputs
    outputs = _followed(layer, node, inputs, as_tensors=True)
    if _has_numbers_of_weights(layer, node, inputs, outputs, as_tensors=True):
        raise _Closed("its code computes with weights outside of its layers")
    return outputs


def _has_numbers_of_weights(layer, node, inputs, outputs, **options) -> bool:
    numbers = _numbers(inputs, outputs)
    if not numbers:
        return False
    random = np.random.default_rng(0)
    values = [
        (variable, ops.convert_to_tensor(random.normal(size=variable.shape), variable.dtype))
        for variable in layer.variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]
    others = [keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in inputs]
    again = _numbers(others, _followed(layer, node, others, values, **options))
    return not all(map(np.array_equal, numbers, again))


def _followed(layer, node, inputs, values=None, *, as_tensors=False):
    """What a layer's code makes of symbolic tensors.

    Args:
        layer: The layer.
        node: Keras's record of its call.
        inputs: Symbolic tensors.
        values: What its variables are taken to be, where not what they are.
        as_tensors: Whether its code is given symbolic tensors in the places of its own variables.
    """
    count = itertools.count()
    variants: dict[int, Any] = {}
    kinds = (keras.layers.Layer, keras.Variable) if as_tensors else (keras.layers.Layer,)

    def swapped(value):
        if isinstance(value, kinds):
            if id(value) not in variants:
                variants[id(value)] = replaced(value)
            return variants[id(value)]
        if isinstance(value, (list, tuple)):
            return (
                type(value)(map(swapped, value)) if type(value) is tuple else [*map(swapped, value)]
            )
        if isinstance(value, dict):
            return {name: swapped(each) for name, each in value.items()}
        return value

    def replaced(value):
        if isinstance(value, keras.Variable):
            return Weight(value, dtype=layer.dtype_policy)(inputs[0])
        # Keras asks for names that differ. The recurrent layers of a `Bidirectional` are called
        # one by one, not as one operation.
        changes = {"use_cudnn": False} if "use_cudnn" in vars(value) else {}
        return _apart(value, name=f"{value.name}_{next(count)}", **changes)

    changed = {
        name: swapped(value)
        for name, value in vars(layer).items()
        if not name.startswith(_TRACKING) and _holds(value, kinds)
    }
    other = object.__new__(type(layer))
    vars(other).update(vars(layer) | changed)
    floats = [keras.backend.is_float_dtype(t.dtype) for t in inputs]
    cast = [
        ops.cast(t, layer.compute_dtype)
        if is_float and layer.autocast and t.dtype != layer.compute_dtype
        else t
        for t, is_float in zip(inputs, floats, strict=True)
    ]
    tensors = node.input_tensors
    arguments, options = node.arguments.fill_in(dict(zip(map(id, tensors), cast, strict=True)))
    try:
        # The layer's variables stay as they are.
        with keras.StatelessScope(state_mapping=values):
            return other.call(*arguments, **options)
    except Exception as error:  # whatever a user's code says of symbolic tensors
        raise _Closed(_why_not_followed(error)) from error


def _why_not_followed(error: Exception) -> str:
    """What a layer's code, which raised that of symbolic tensors, does that can't be followed."""
    said = in_one_line(error)
    if "KerasTensor" in said:  # Keras explains at length what that is
        return (
            "its code can't be followed, as it calls functions of TensorFlow, JAX or NumPy; those "
            "of keras.ops can be"
        )
    said = said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}..."
    return (
        "its code can't be followed on tensors whose batch size is not known yet "
        f"({type(error).__name__}: {said})"
    )


def _numbers(inputs, outputs) -> list[NDArray]:
    """The numbers, other than weights, that what is called between tensors is called with."""
    found = []
    model = keras.Model(inputs, keras.tree.flatten(outputs))
    for nodes in functional(model)._nodes_by_depth.values():
        for node in nodes:
            if node.is_input:
                continue
            for value in keras.tree.flatten((node.arguments.args, node.arguments.kwargs)):
                if isinstance(value, (keras.KerasTensor, keras.Variable)):
                    continue
                if ops.is_tensor(value) and keras.backend.is_float_dtype(
                    keras.backend.standardize_dtype(value.dtype)
                ):
                    found.append(ops.convert_to_numpy(value))
    return found
