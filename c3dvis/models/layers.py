"""The layers of a network: which can be visualised, and reading their activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import keras
from keras import ops

from c3dvis import folding, graph, opening
from c3dvis.objectives import BEFORE_ACTIVATION, CLIP, LOGITS, Objective
from c3dvis.rewire import WithoutActivation
from c3dvis.text import unknown

_LAST_ACTIVATIONS = ("softmax", "sigmoid")
# Layers that are an activation function and nothing else.
_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
)


@dataclass(frozen=True)
class LayerInfo:
    """A layer, and whether it can be visualised.

    Attributes:
        name: As given to `objectives.channel`; `model/layer` inside a nested model, a wrapper such
            as `TimeDistributed`, or a layer of one's own.
        kind: Class of the layer, such as "Conv3D".
        shape: Of its output without the batch axis, channels last; None if it has not one output.
            Frames folded into the batch are its first axis.
        weights: Whether the layer has weights of its own.
        reason: Why it can't be visualised, in words; None if it can.
        closed: Why layers inside it can't be reached, in words; None if there are none, or they
            are listed.
        is_open: Whether the layers inside it are listed before it.
        layer: The layer itself.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...] | None
    weights: bool
    reason: str | None = None
    closed: str | None = None
    is_open: bool = False
    layer: keras.layers.Layer | None = field(default=None, repr=False, compare=False)

    @property
    def channels(self) -> int:
        return 0 if self.shape is None else self.shape[-1] or 0

    @property
    def is_convolution(self) -> bool:
        return self.weights and "Conv" in self.kind


def describe(network: keras.Model) -> list[LayerInfo]:
    """Every layer in network order, those inside others too, with the reason where it's unfit.

    Example:
        >>> import keras
        >>> from c3dvis.models import layers
        >>> clip = keras.Input((4, 8, 8, 3))
        >>> network = keras.Sequential([clip, keras.layers.Conv3D(2, 3, name="conv")])
        >>> [(info.name, info.channels, info.reason) for info in layers.describe(network)]
        [('conv', 2, None)]
    """
    check(network)
    flat = graph.flattened(network)
    rows = folding.rows(flat, network.inputs)
    folded = {
        layer: rows[calls[0][0]]
        for layer, calls in flat.made.items()
        if len(calls) == 1 and calls[0]
    }
    return list(_walk(network, folded, ""))


def visualizable(network: keras.Model, *, weightless: bool = False) -> list[LayerInfo]:
    """The layers whose channels can be visualised, in network order.

    Args:
        network: A functional or Sequential model that has been built.
        weightless: Whether to list those without weights too, such as a ReLU or a concatenation.

    Raises:
        ValueError: If the network is not such a model.
    """
    fit = [info for info in describe(network) if info.reason is None]
    return [info for info in fit if info.weights or weightless]


def tap(network: keras.Model, names: Sequence[str]) -> keras.Model:
    """The part of a network that ends at the named layers; weights are shared, not copied.

    Args:
        network: A functional or Sequential model that has been built; models inside it too.
        names: Layer names, those of a nested model as `model/layer` or, where unique, alone.
            Published names with slashes find layers whose names have dots in their place. With
            `objectives.BEFORE_ACTIVATION` behind it, a layer is read before its own activation;
            `objectives.LOGITS`, alone or before the name of an output, is the class scores before
            a softmax. `objectives.CLIP` is what the network is given; where that is not the clip
            itself, as transforms or preprocessing come between, put the clip in its place.

    Returns:
        A model with one output a name, in their order. Where a layer sees frames folded into the
        batch, `(N * k, ...)`, its output is `(N, k, ...)`.

    Raises:
        ValueError: An unknown or unfit layer, with the nearest names.
    """
    check(network)
    outputs = [_read(network, name) for name in names]
    model = keras.Model(network.inputs, outputs, name="tap")
    flat = graph.flattened(model)
    rows = folding.rows(flat, network.inputs)
    if all(rows[key] == 1 for key in flat.outputs):
        return model
    pairs = zip(outputs, (rows[key] for key in flat.outputs), strict=True)
    unfolded = [_unfolded(network, output, count) for output, count in pairs]
    return keras.Model(network.inputs, unfolded, name="tap")


def _unfolded(network: keras.Model, output, count: int):
    """What a layer makes, with what it has of each clip, such as frames, on an axis of its own."""
    if count == 1:
        return output
    clips = network.inputs[0]
    layer = folding.Unfold(count if None not in clips.shape[1:] else None, dtype=output.dtype)
    return graph.call_unnoted(layer, [output, clips])


def with_targets(
    objective: Objective, network: keras.Model, *, preprocess: Callable | None = None
) -> Objective:
    """The objective for one network: with what the clips that it was given, if any, do there.

    Args:
        objective: Perhaps with terms such as `objectives.caricature`.
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        preprocess: Function of clips in [0, 1] that gives what the network takes.

    Raises:
        ValueError: A given clip that the network can't take, or an unknown layer.
    """

    def read(clip, names):
        _check_takes(network, clip.shape, preprocess)
        inputs = clip[None] if preprocess is None else preprocess(clip[None])
        outputs = tap(network, names)([ops.convert_to_tensor(inputs)], training=False)
        return dict(zip(names, outputs if len(names) > 1 else [outputs], strict=True))

    return objective.with_targets(read)


def _check_takes(network: keras.Model, shape: tuple[int, ...], preprocess) -> None:
    own = tuple(network.inputs[0].shape[1:])
    fits = len(own) == 4 and all(n in (None, m) for n, m in zip(own, shape, strict=True))
    if preprocess is None and not fits:
        raise ValueError(
            f"Expected a given clip that the network takes, of shape {own}. Received: {shape}."
        )


def check(network) -> None:
    """Refuses what is not a built functional or Sequential model."""
    if not graph.is_graph(network) or not network.inputs:
        raise ValueError(
            "Expected a functional or Sequential Keras model that has been built (call it once on "
            "a keras.Input of your clip's shape, or wrap a subclassed model: "
            "keras.Model(clip, model(clip))). "
            f"Received: {type(network).__name__}."
        )
    first = next((x for x in _flat(network) if _channels_first(x)), None)
    if first is not None:
        raise ValueError(
            "Expected a network whose channels come last, as those of clips do. "
            f"Received: layer {first.name!r} with channels first."
        )


def _channels_first(layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def _walk(
    network: keras.Model, folded: Mapping[int, int], prefix: str, outer: str | None = None
) -> Iterator[LayerInfo]:
    """The layers of a model in a network.

    Args:
        network: The model.
        folded: Rows of the batch for one clip, by the `id` of each layer that is called once.
        prefix: Of names.
        outer: Why nothing in this model can be visualised, or None.
    """
    for called in network.layers:
        layer = opening.original(called)
        if isinstance(layer, (keras.layers.InputLayer, folding.Fold, folding.Unfold)):
            continue
        calls = graph.calls(network, called)
        inner = calls[0].inside if calls else None
        if inner is not None:
            part = "" if opening.is_inline(called) else f"{layer.name}/"
            several = None if len(calls) == 1 else _several(layer, len(calls))
            yield from _walk(inner, folded, prefix + part, outer or several)
        if graph.is_graph(layer):
            continue
        shape, reason = _fitness(layer, calls)
        rows = folded.get(id(layer), 1)
        yield LayerInfo(
            prefix + layer.name,
            type(layer).__name__,
            shape if shape is None or rows == 1 else (rows, *shape),
            bool(layer.weights),
            outer or reason,
            calls[0].why_closed if calls else None,
            inner is not None,
            layer,
        )


def _several(layer, count: int) -> str:
    return f"the network calls {layer.name!r} {count} times"


def _fitness(layer, calls: list) -> tuple[tuple[int | None, ...] | None, str | None]:
    """Shape of a layer's output without the batch axis, and why it is unfit, or None."""
    if len(calls) != 1:
        return None, f"the network calls it {len(calls)} times"
    if len(calls[0].outputs) != 1:
        return None, "it has several outputs, or none"
    shape = tuple(calls[0].outputs[0].shape[1:])
    return shape, _unfit(layer, shape)


def _unfit(layer, shape: tuple[int | None, ...]) -> str | None:
    if not shape:
        return "its output has no channel axis"
    if shape[-1] is None:
        return "the number of its channels is not fixed"
    return None


def _read(network: keras.Model, name: str):
    if name == CLIP:
        return network.inputs[0]
    if name.startswith(LOGITS):
        return _logits(network, name.removeprefix(LOGITS))
    if not name.endswith(BEFORE_ACTIVATION):
        return _resolve(network, name, lambda layer, call: call.outputs[0])
    return _resolve(network, name.removesuffix(BEFORE_ACTIVATION), _before_activation)


def _resolve(network: keras.Model, name: str, output):
    """`output(layer, call)` of the layer that a name means: a tensor of this network's graph."""
    inline = next((layer for layer in network.layers if opening.is_inline(layer)), None)
    if inline is not None:
        return _inside(network, inline, name, output)
    own = {opening.original(layer).name: layer for layer in network.layers}
    layer = own.get(name) or own.get(name.replace("/", "."))
    if layer is not None:
        calls = graph.calls(network, layer)
        _, reason = _fitness(layer, calls)
        if reason is not None:
            raise ValueError(f"Layer {name!r} can't be visualised: {reason}.")
        return output(opening.original(layer), calls[0])
    outer, _, rest = name.partition("/")
    nested = {key: inner for key, layer in own.items() if (inner := _inner(network, layer))}
    if rest and outer in nested:
        return _inside(network, own[outer], rest, output)
    holders = [key for key, inner in nested.items() if name in _names(inner)]
    if len(holders) == 1:
        return _inside(network, own[holders[0]], name, output)
    if holders:
        choices = " or ".join(repr(f"{key}/{name}") for key in holders)
        raise ValueError(f"Several layers have this name; expected {choices}. Received: {name!r}.")
    if outer in own:
        _check_open(network, own[outer])
    raise ValueError(_unknown(network, name))


def _inner(network: keras.Model, layer) -> keras.Model | None:
    """The model of the layers inside a layer of a network."""
    return next((call.inside for call in graph.calls(network, layer)), None)


def _check_open(network: keras.Model, layer) -> None:
    reasons = [call.why_closed for call in graph.calls(network, layer)]
    reason = next(filter(None, reasons), None)
    if reason is not None:
        name = opening.original(layer).name
        raise ValueError(f"The layers inside {name!r} can't be reached: {reason}.")


def _inside(network: keras.Model, layer, name: str, output):
    """The tensor of a layer inside another, where the outer network calls that one."""
    calls = graph.calls(network, layer)
    if len(calls) != 1:
        reason = _several(opening.original(layer), len(calls))
        raise ValueError(f"Layer {name!r} can't be visualised: {reason}.")
    model = calls[0].inside
    assert model is not None
    inner = keras.Model(model.inputs, _resolve(model, name, output))
    return _called(inner, calls[0])


def _called(inner: keras.Model, call: graph.Call):
    """What a model with the inputs of what a call computes gives in its place."""
    if graph.is_graph(call.layer):
        return graph.call_unnoted(inner, call.first_argument)
    return graph.call_unnoted(inner, call.inputs if len(call.inputs) > 1 else call.inputs[0])


def _names(model: keras.Model) -> list[str]:
    """Names inside a model, as its own `_resolve` understands them without a path."""
    found = [opening.original(layer).name for layer in model.layers]
    for layer in model.layers:
        inner = _inner(model, layer)
        found += [] if inner is None else _names(inner)
    return found


def _unknown(network: keras.Model, name: str) -> str:
    usable = [info.name for info in describe(network) if info.reason is None]
    # Where none is near, those with weights come first.
    shown = [info.name for info in visualizable(network)]
    return str(unknown("the name of a layer", name, dict.fromkeys([*shown, *usable])))


def _logits(network: keras.Model, output_name: str):
    return _without_softmax(_class_output(network, output_name))


def output_activation(network: keras.Model, output_name: str = "") -> str | None:
    """What turns class scores into the network's output: "softmax", "sigmoid", ..., or None.

    Args:
        network: A functional or Sequential model that has been built.
        output_name: Of the output, where the network has several.
    """
    check(network)
    return _last_activation(_class_output(network, output_name))


def _last_activation(output) -> str | None:
    call, tensor_index = graph.producer(output)
    layer = call.layer
    if call.inside is not None:
        return _last_activation(call.inside.outputs[tensor_index])
    if type(layer).__name__ in ("Softmax", "Sigmoid"):
        return type(layer).__name__.lower()
    return _activation_name(layer)


def _class_output(network: keras.Model, output_name: str):
    names = graph.output_names(network)
    if output_name and output_name not in names:
        raise ValueError(
            f"Expected an output of the network: {', '.join(map(repr, names))}. "
            f"Received: {output_name!r}."
        )
    if not output_name and len(names) > 1:
        raise ValueError(
            f"Expected output= one of {', '.join(map(repr, names))}, as this network has several. "
            "Received: a logit without it."
        )
    return network.outputs[names.index(output_name) if output_name else 0]


def _without_softmax(output):
    call, tensor_index = graph.producer(output)
    layer, model = call.layer, call.inside
    if model is not None:
        own = _last_activation(model.outputs[tensor_index])
        if not graph.is_graph(layer) and own not in _LAST_ACTIVATIONS:
            return output
        inner = keras.Model(model.inputs, _without_softmax(model.outputs[tensor_index]))
        return _called(inner, call)
    # As a layer of its own, or as a function such as keras.ops.softmax.
    if type(layer).__name__ in ("Softmax", "Sigmoid"):
        return call.inputs[0]
    name = _activation_name(layer)
    if name == "<lambda>":
        raise ValueError(
            f"Expected a last layer whose activation is a named function, to read the class scores "
            f"before it. Received: layer {layer.name!r} with a lambda."
        )
    if name not in _LAST_ACTIVATIONS:
        return output
    if isinstance(layer, keras.layers.Activation):
        return call.inputs[0]
    logits = WithoutActivation(layer, name=f"{layer.name}_logits")
    return graph.call_unnoted(logits, call.inputs[0])


def _activation_name(layer) -> str | None:
    """Name of a layer's own activation, whether a function or a layer; "softmax", "relu", ..."""
    activation = getattr(layer, "activation", None)
    if isinstance(activation, keras.layers.Layer):
        return type(activation).__name__.lower()
    name = getattr(activation, "__name__", None)
    return name and name.removesuffix("_v2")  # as TensorFlow calls its softmax


def _before_activation(layer: keras.layers.Layer, call):
    """A layer's result before its own activation; its output where it has none.

    Of a layer that is nothing but an activation, such as the ReLU after a batch normalization,
    that is what goes into it.
    """
    if isinstance(layer, _ACTIVATIONS):
        return call.inputs[0]
    inner = getattr(layer, "cell", None) or getattr(layer, "layer", None)
    if inner is not None and _activation_name(inner) not in (None, "linear"):
        raise ValueError(
            "Expected a layer with one activation at its end, to read what comes before it. "
            f"Received: layer {layer.name!r}, a {type(layer).__name__}; use channel instead, or "
            "before_activation=False."
        )
    if not layer.weights or _activation_name(layer) in (None, "linear"):
        return call.outputs[0]
    name = f"{layer.name}_before_activation"
    return graph.call_unnoted(WithoutActivation(layer, name=name), call.inputs[0])


def find(network: keras.Model, name: str) -> keras.layers.Layer:
    """The layer that a name means, as `tap` understands names.

    Raises:
        ValueError: An unknown or unfit layer, with the nearest names.
    """
    found = []

    def note(layer, call):
        found.append(layer)
        return call.outputs[0]

    check(network)
    _resolve(network, name, note)
    return found[0]


def flat(network: keras.Model) -> list[keras.layers.Layer]:
    """All layers, those of nested models in their places, each once."""
    return list({id(layer): layer for layer in _flat(network)}.values())


def _flat(network: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in network.layers:
        if graph.is_graph(layer):
            yield from _flat(layer)
            continue
        yield layer
        wrapped = layer.layer if isinstance(layer, keras.layers.Wrapper) else None
        if wrapped is not None:
            yield from _flat(wrapped) if graph.is_graph(wrapped) else [wrapped]
