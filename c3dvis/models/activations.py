"""What a layer computes before its activation function, and class scores before a softmax."""

import warnings

import keras

from c3dvis import graph
from c3dvis.models.description import check
from c3dvis.rewire import WithoutActivation

_OF_CLASSES = ("softmax", "sigmoid")
# Layers that are an activation function and nothing else.
ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
)


def output_activation(network: keras.Model, output_name: str = "") -> str | None:
    """What turns class scores into the network's output: "softmax", "sigmoid", ..., or None.

    Args:
        network: A functional or Sequential model that has been built.
        output_name: Name of the output, if the network has several.
    """
    check(network)
    return _last_activation(_class_output(network, output_name))


def class_scores(network: keras.Model, output_name: str):
    """The scores of a network's classes before a softmax or sigmoid.

    Warns:
        UserWarning: A last layer whose code can't be followed, so that a softmax in it stays.
    """
    return _without_softmax(_class_output(network, output_name))


def before_activation(call: graph.Call):
    """A layer's result before its own activation; its output where it has none.

    Of a layer that is nothing but an activation, such as the ReLU after a batch normalization,
    that is what goes into it.
    """
    layer = call.layer
    if isinstance(layer, ACTIVATIONS):
        return call.inputs[0]
    if isinstance(layer, keras.layers.TimeDistributed) and _activates(layer.layer):
        return _without_activation(call)
    inner = getattr(layer, "cell", None) or getattr(layer, "layer", None)
    if inner is not None and _activation_name(inner) not in (None, "linear"):
        raise ValueError(
            "Expected a layer with one activation at its end, to read what comes before it. "
            f"Received: layer {layer.name!r}, a {type(layer).__name__}; use channel instead, or "
            "before_activation=False."
        )
    if not layer.weights or _activation_name(layer) in (None, "linear"):
        return call.outputs[0]
    return _without_activation(call)


def _activates(layer: keras.layers.Layer) -> bool:
    """Whether it is a layer with weights and an activation of its own, and no model."""
    has_own = bool(layer.weights) and not graph.is_graph(layer)
    return has_own and _activation_name(layer) not in (None, "linear")


def _without_activation(call: graph.Call):
    """What a layer, or the one in `TimeDistributed`, computes before its own activation."""
    layer, name = call.layer, f"{call.layer.name}_before_activation"
    if isinstance(layer, keras.layers.TimeDistributed):
        inner = WithoutActivation(layer.layer, name=f"{layer.layer.name}_before_activation")
        other = keras.layers.TimeDistributed(inner, name=name)
    else:
        other = WithoutActivation(layer, name=name)
    return graph.call_unrecorded(other, call.inputs[0], in_place_of=call)


def _class_output(network: keras.Model, output_name: str):
    if not output_name and len(network.outputs) == 1:
        return network.outputs[0]
    names = graph.output_names(network)
    if output_name and output_name not in names:
        raise ValueError(
            f"Expected an output of the network: {', '.join(map(repr, names))}. "
            f"Received: {output_name!r}."
        )
    if not output_name:
        raise ValueError(
            f"Expected objectives.logit with output= one of {', '.join(map(repr, names))}, as this "
            "network has several. "
            "Received: a logit without it."
        )
    return network.outputs[names.index(output_name)]


def _last_activation(output) -> str | None:
    call, tensor_index = graph.producer(output)
    layer = call.layer
    if call.inside is not None:
        return _last_activation(call.inside.outputs[tensor_index])
    if type(layer).__name__ in ("Softmax", "Sigmoid"):
        return type(layer).__name__.lower()
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    return _activation_name(layer)


def _without_softmax(output):
    call, tensor_index = graph.producer(output)
    layer, model = call.layer, call.inside
    if call.why_closed is not None:
        warnings.warn(
            f"the layers inside {layer.name!r} can't be reached ({call.why_closed}): if it ends in "
            "a softmax or sigmoid, its probabilities are used instead of the scores before it",
            stacklevel=2,
        )
    if model is not None:
        own = _last_activation(model.outputs[tensor_index])
        if not graph.is_graph(layer) and own not in _OF_CLASSES:
            return output
        inner = keras.Model(model.inputs, _without_softmax(model.outputs[tensor_index]))
        return graph.call_in_place(inner, call)
    if isinstance(layer, keras.layers.TimeDistributed) and _activates(layer.layer):
        return _without_activation(call) if _activation_name(layer.layer) in _OF_CLASSES else output
    # As a layer of its own, or as a function such as keras.ops.softmax.
    if type(layer).__name__ in ("Softmax", "Sigmoid"):
        return call.inputs[0]
    name = _activation_name(layer)
    if name == "<lambda>":
        raise ValueError(
            "Expected a last layer whose activation is a named function, to read the class scores "
            "before it, such as layer.activation = keras.activations.softmax. "
            f"Received: layer {layer.name!r} with a lambda."
        )
    if name not in _OF_CLASSES:
        return output
    if isinstance(layer, keras.layers.Activation):
        return call.inputs[0]
    return _without_activation(call)


def _activation_name(layer) -> str | None:
    """Name of a layer's own activation, whether a function or a layer; "softmax", "relu", ..."""
    activation = getattr(layer, "activation", None)
    if isinstance(activation, keras.layers.Layer):
        return type(activation).__name__.lower()
    name = getattr(activation, "__name__", None)
    return name and name.removesuffix("_v2")  # as TensorFlow calls its softmax
