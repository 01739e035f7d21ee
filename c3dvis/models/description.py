"""The layers of a network: what they are called, what they make, and which can be visualised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import keras

from c3dvis import folding, graph, opening
from c3dvis.held import Held


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
        for layer, calls in flat.layer_outputs.items()
        if len(calls) == 1 and calls[0]
    }
    reached = graph.reached(flat)
    held = {
        layer
        for layer, calls in flat.layer_outputs.items()
        if calls and not any(key in reached for keys in calls for key in keys)
    }
    return [
        replace(info, reason="only inputs that are held reach it")
        if info.reason is None and id(info.layer) in held
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
                "Expected a network whose channels come last, as those of clips do. "
                f"Received: layer {layer.name!r} with channels first."
            )


def flat(network: keras.Model) -> list[keras.layers.Layer]:
    """All layers, those of nested models in their places, each once."""
    return list({id(layer): layer for layer in _flat(network)}.values())


def fitness(calls: list) -> tuple[tuple[int | None, ...] | None, str | None]:
    """Shape of a layer's output without the batch axis, and why it is unfit, or None."""
    if len(calls) != 1:
        return None, f"the network calls it {len(calls)} times"
    if len(calls[0].outputs) != 1:
        return None, "it has several outputs, or none"
    shape = tuple(calls[0].outputs[0].shape[1:])
    if not shape:
        return shape, "its output has no channel axis"
    if shape[-1] is None:
        return shape, "the number of its channels is not fixed"
    return shape, None


def several_calls(layer, count: int) -> str:
    return f"the network calls {layer.name!r} {count} times"


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
    calls_of = graph.calls(network)
    for called in network.layers:
        layer = opening.original(called)
        if isinstance(layer, (keras.layers.InputLayer, folding.Fold, folding.Unfold, Held)):
            continue
        calls = calls_of.get(id(called), [])
        inner = calls[0].inside if calls else None
        if inner is not None:
            part = "" if opening.is_inline(called) else f"{layer.name}/"
            several = None if len(calls) == 1 else several_calls(layer, len(calls))
            yield from _walk(inner, folded, prefix + part, outer or several)
        if graph.is_graph(layer):
            continue
        shape, reason = fitness(calls)
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


def _flat(network: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in network.layers:
        if graph.is_graph(layer):
            yield from _flat(layer)
            continue
        yield layer
        wrapped = layer.layer if isinstance(layer, keras.layers.Wrapper) else None
        if wrapped is not None:
            yield from _flat(wrapped) if graph.is_graph(wrapped) else [wrapped]
