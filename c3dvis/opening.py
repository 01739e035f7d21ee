"""Opens layers that call other layers, as models of those on the same weights.

A model inside `TimeDistributed` is computed on all frames together, folded into the batch. The code
of a custom layer, or of `Bidirectional`, is traced once with symbolic tensors. It then calls
variants of its layers, so that Keras records nothing on the layers themselves.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import clip_count
from c3dvis.folding import Fold, Unfold
from c3dvis.held import Constant
from c3dvis.text import why_not_followed
from c3dvis.variants import StandIn, derived, variant

__all__ = [
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
# Of a variant: the call of the user's layer that each of its own calls represents.
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
_lock = threading.RLock()
# By Keras's record of a call: the model, or why there is none.
_opened: weakref.WeakKeyDictionary[Any, tuple[keras.Model | None, str | None]] = (
    weakref.WeakKeyDictionary()
)


class _Closed(Exception):
    """Why a layer can't be opened."""


def is_graph(layer) -> bool:
    """Whether it is a model whose layers can be read: functional, or Sequential and built."""
    return hasattr(functional(layer), "_nodes_by_depth")


def functional(network):
    """The functional model that a Sequential one keeps inside, or the model itself."""
    return getattr(network, "_functional", None) or network


def original(layer):
    """The user's own layer, given the variant called in its place."""
    return vars(layer).get(_ORIGINAL, layer) if hasattr(layer, "__dict__") else layer


def recomputed(network, tensors: list, as_called: Callable | None = None) -> Any:
    """The outputs of a network for other symbolic tensors, computed by variants of its layers.

    Args:
        network: Functional or Sequential model that has been built.
        tensors: One for each of `network.inputs`.
        as_called: Function of a layer and its variant that returns what is called instead.

    Returns:
        Symbolic tensors, in the structure of the network's outputs.
    """
    variants: dict[int, Any] = {}
    calls: dict[int, Any] = {}

    def apart(operation):
        if id(operation) not in variants:
            other = _apart(operation)
            other, call = (other, other) if as_called is None else as_called(operation, other)
            variants[id(operation)], calls[id(operation)] = other, call
        return calls[id(operation)]

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
    """The number of a call among those of its layer, in the order of the user's code."""
    index = node.operation._inbound_nodes.index(node)
    order = vars(node.operation).get(_ORDER) or []
    return order[index] if index < len(order) else index


def _apart(operation, **changes):
    """A variant of a layer, or of an operation, that records its own calls only."""
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
    elif any(t.shape[:1] == (None,) for t in tensors):
        outputs = _traced_for_any_count(layer, node, inputs)
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


def _traced_for_any_count(layer, node, inputs):
    """The outputs of a layer's code, which may compute with the number of clips."""
    try:
        outputs = _traced(layer, node, inputs)
        if not _lacks_a_size(inputs, outputs):
            return outputs
    except _Closed:
        pass
    variables = layer.variables
    sizes = [n for each in (*inputs, *node.outputs, *variables) for n in each.shape]
    number = clip_count.unlikely(sizes)
    counted = [
        keras.Input(batch_shape=(number if n is None else n, *rest), dtype=t.dtype)
        for t in inputs
        for n, *rest in [t.shape]
    ]
    outputs = keras.tree.flatten(_traced(layer, node, counted))
    model = keras.Model(counted, outputs)
    noted = [node for nodes in functional(model)._nodes_by_depth.values() for node in nodes]
    of_operation = {id(node.operation): node for node in noted}

    def as_called(operation, apart):
        node = of_operation[id(operation)]
        given, options = node.arguments.args, node.arguments.kwargs
        other, takes_clips = clip_count.for_any_count(
            apart, number, node.input_tensors, node.outputs, (given, options)
        )
        if other is not apart:
            del vars(other)[_ORIGINAL]  # which is for `number` clips

        def call(*args, **kwargs):
            args, kwargs = keras.tree.map_structure(
                lambda value: clip_count.spread(value, number, inputs[0]), (args, kwargs)
            )
            return other(*args, *[inputs[0]] * takes_clips, **kwargs)

        return other, call

    try:
        return recomputed(model, inputs, as_called)
    except Exception as error:
        raise _Closed(why_not_followed(error)) from error


def _lacks_a_size(inputs, outputs) -> bool:
    """Whether an operation that was followed needs a number of clips that was not known."""
    nodes = functional(keras.Model(inputs, keras.tree.flatten(outputs)))._nodes_by_depth.values()
    settings = [
        value
        for node in itertools.chain.from_iterable(nodes)
        if not isinstance(node.operation, keras.layers.Layer)
        for value in vars(node.operation).values()
    ]
    return any(None in value for value in settings if type(value) in (list, tuple))


def _traced(layer, node, inputs):
    """The outputs of a layer's code for symbolic tensors, with variants of its layers.

    Numbers that the code computes from weights would not follow their changes. All weights become
    tensors in that case, and the layer's own weights also where mixed precision rounds them;
    constants, such as a mask or positions, stay numbers.
    """
    own_weights = layer._trainable_variables + layer._non_trainable_variables
    if not own_weights or layer.compute_dtype == layer.variable_dtype:
        with contextlib.suppress(_Closed):  # as Keras adds no symbolic tensor to a variable
            outputs = _followed(layer, node, inputs)
            if not _has_numbers_of_weights(layer, node, inputs, outputs):
                return outputs
    outputs = _followed(layer, node, inputs, as_tensors=True)
    if _has_numbers_of_weights(layer, node, inputs, outputs, as_tensors=True):
        raise _Closed(
            "its code computes with weights that it does not read as attributes, such as "
            "self.dense.kernel"
        )
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
    """The outputs of a layer's code for symbolic tensors.

    Args:
        layer: The layer.
        node: Keras's record of its call.
        inputs: Symbolic tensors.
        values: Values to use for its variables instead of their own.
        as_tensors: Whether its code is given symbolic tensors instead of its own variables.
    """
    count = itertools.count()
    others: dict[int, Any] = {}
    kinds = (keras.layers.Layer, keras.Variable) if as_tensors else (keras.layers.Layer,)

    def swapped(value):
        if isinstance(value, kinds):
            if id(value) not in others:
                others[id(value)] = replaced(value)
            return others[id(value)]
        if isinstance(value, (list, tuple)):
            return (
                type(value)(map(swapped, value)) if type(value) is tuple else [*map(swapped, value)]
            )
        if isinstance(value, dict):
            return {name: swapped(each) for name, each in value.items()}
        return value

    def replaced(value):
        if isinstance(value, keras.Variable):
            return symbolic(value)
        # Keras asks for names that differ. The recurrent layers of a `Bidirectional` are called
        # one by one, not as one operation.
        changes = {"use_cudnn": False} if "use_cudnn" in vars(value) else {}
        apart = _apart(value, name=f"{value.name}_{next(count)}", **changes)
        return stand_in(value, apart) if as_tensors else apart

    def symbolic(value):
        return Constant(value, dtype=layer.dtype_policy)(inputs[0])

    def stand_in(value, apart):
        def called(*args, **kwargs):
            given = keras.tree.flatten((args, kwargs))
            if not any(isinstance(each, keras.KerasTensor) for each in given):
                args, kwargs = keras.tree.map_structure(
                    lambda x: symbolic(x) if ops.is_tensor(x) else x, (args, kwargs)
                )
            return apart(*args, **kwargs)

        other = others[id(value)] = derived(value, StandIn)
        other.stands_for(called, **changed(value))
        return other

    def changed(value):
        return {
            name: swapped(each)
            for name, each in vars(value).items()
            if not name.startswith(_TRACKING) and _holds(each, kinds)
        }

    other = object.__new__(type(layer))
    vars(other).update(vars(layer) | changed(layer))
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
    except Exception as error:  # a user's code may raise anything for symbolic tensors
        raise _Closed(why_not_followed(error)) from error


def _numbers(inputs, outputs) -> list[NDArray]:
    """The numbers, other than weights, in the calls between inputs and outputs."""
    values = []
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
                    values.append(ops.convert_to_numpy(value))
    return values
