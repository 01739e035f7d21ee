"""Describes the layers of a network: names, output shapes, and which can be visualised."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import keras

from c3dvis import folding, graph, opening
from c3dvis.held import Constant, Held

# Layers that are not listed.
_NO_LAYERS = (keras.layers.InputLayer, folding.Fold, folding.Unfold, Held, Constant)


@dataclass(frozen=True)
class LayerInfo:
    """A layer, and whether it can be visualised.

    Attributes:
        name: As given to `objectives.channel`; `model/layer` inside a nested model, a wrapper such
            as `TimeDistributed`, or a custom layer; `layer@1`, `layer@2` of calls of a layer or
            model that the network calls several times.
        kind: Class of the layer, such as "Conv3D".
        shape: Output shape without the batch axis, channels last; None if it does not have exactly
            one output. Frames folded into the batch are its first axis.
        weights: Whether the layer has weights of its own.
        reason: Why it can't be visualised, in words; None if it can.
        closed: Why layers inside it can't be reached, in words; None if there are none, or they
            are listed.
        is_open: Whether the layers inside it are listed before it.
        layer: The layer itself.
        place: Place of the call in the graph.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...] | None
    weights: bool
    reason: str | None = None
    closed: str | None = None
    is_open: bool = False
    layer: keras.layers.Layer | None = field(default=None, repr=False, compare=False)
    place: graph.Place = field(default=(), repr=False, compare=False)

    @property
    def channels(self) -> int:
        return 0 if self.shape is None else self.shape[-1] or 0

    @property
    def is_convolution(self) -> bool:
        inner = getattr(self.layer, "layer", None) if self.kind == "TimeDistributed" else None
        return self.weights and "Conv" in (self.kind if inner is None else type(inner).__name__)


def describe(network: keras.Model) -> list[LayerInfo]:
    """Every layer in network order, nested ones too, with the reason if it can't be visualised.

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
    keys_by_place = {place: sum(keys, ()) for place, keys in flat.outputs_by_place.items()}
    folded = {place: rows[keys[0]] for place, keys in keys_by_place.items() if keys}
    reached = graph.reached(flat)
    held = {
        place for place, keys in keys_by_place.items() if keys and not reached.intersection(keys)
    }
    return [
        replace(info, reason="it is the same for every clip")
        if info.reason is None and info.place in held
        else info
        for info in _walk(network, folded, "")
    ]


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


def check(network) -> None:
    """Refuses what is not a built functional or Sequential model."""
    if isinstance(network, (str, os.PathLike)):
        raise ValueError(
            "Expected a Keras model; models.build(name) builds a network of c3dvis, "
            f"models.load_keras_model(path) opens a file. Received: {str(network)!r}."
        )
    if not graph.is_graph(network) or not network.inputs:
        raise ValueError(
            "Expected a functional or Sequential Keras model that has been built (call it once on "
            "a keras.Input of your clip's shape, or wrap a subclassed model: "
            "keras.Model(clip, model(clip))). "
            f"Received: {type(network).__name__}."
        )
    for layer in _flat(network):
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                "Expected a network whose channels come last, as those of clips do; "
                "models.channels_last(network) makes it one, on the same weights. "
                f"Received: layer {layer.name!r} with channels first."
            )


def fitness(call: graph.Call) -> tuple[tuple[int | None, ...] | None, str | None]:
    """Shape of a layer's output without the batch axis, and why it is unfit, or None."""
    if len(call.outputs) != 1:
        return None, "it has several outputs, or none"
    shape = tuple(call.outputs[0].shape[1:])
    if not shape:
        return shape, "its output has no channel axis"
    if shape[-1] is None:
        return shape, "the number of its channels is not fixed"
    return shape, None


def _walk(
    network: keras.Model, folded: Mapping[graph.Place, int], prefix: str, outer: graph.Place = ()
) -> Iterator[LayerInfo]:
    """The layers of a model in a network, once for each call.

    Args:
        network: The model.
        folded: Rows of the batch for one clip, by the place of each call.
        prefix: Prefix of names.
        outer: Place of the model.
    """
    named = graph.named_calls(network)
    of_layer: dict[int, list[str]] = {}
    for name, call in named.items():
        of_layer.setdefault(id(call.operation), []).append(name)
    for called in network.layers:
        if isinstance(opening.original(called), _NO_LAYERS):
            continue
        for name in graph.in_order(of_layer.get(id(called), [])):
            call = named[name]
            place = (*outer, *call.place)
            inside = call.inside
            if inside is not None:
                part = "" if opening.is_inline(called) else f"{name}/"
                yield from _walk(inside, folded, prefix + part, place)
            if not graph.is_graph(call.layer):
                shape, reason = fitness(call)
                rows = folded.get(place, 1)
                yield LayerInfo(
                    prefix + name,
                    type(call.layer).__name__,
                    shape if shape is None or rows == 1 else (rows, *shape),
                    bool(call.layer.weights),
                    reason,
                    call.why_closed,
                    inside is not None,
                    call.layer,
                    place,
                )


def _flat(network: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in network.layers:
        if graph.is_graph(layer):
            yield from _flat(layer)
            continue
        yield layer
        wrapped = layer.layer if isinstance(layer, keras.layers.Wrapper) else None
        if wrapped is not None:
            yield from _flat(wrapped) if graph.is_graph(wrapped) else [wrapped]
