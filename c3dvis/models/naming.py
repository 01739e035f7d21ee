"""The tensor of a network that the name of a layer means, layers inside others too."""

import keras

from c3dvis import graph, opening
from c3dvis.models.description import describe, fitness, several_calls, visualizable
from c3dvis.text import unknown


def resolve(network: keras.Model, name: str, output):
    """`output(layer, call)` of the layer that a name means: a tensor of this network's graph."""
    inline = next((layer for layer in network.layers if opening.is_inline(layer)), None)
    if inline is not None:
        return _inside(network, inline, name, output)
    own = {opening.original(layer).name: layer for layer in network.layers}
    layer = own.get(name) or own.get(name.replace("/", "."))
    if layer is not None:
        calls = graph.calls(network, layer)
        _, reason = fitness(calls)
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


def _inside(network: keras.Model, layer, name: str, output):
    """The tensor of a layer inside another, where the outer network calls that one."""
    calls = graph.calls(network, layer)
    if len(calls) != 1:
        reason = several_calls(opening.original(layer), len(calls))
        raise ValueError(f"Layer {name!r} can't be visualised: {reason}.")
    model = calls[0].inside
    assert model is not None
    inner = keras.Model(model.inputs, resolve(model, name, output))
    return graph.call_in_place(inner, calls[0])


def _inner(network: keras.Model, layer) -> keras.Model | None:
    """The model of the layers inside a layer of a network."""
    return next((call.inside for call in graph.calls(network, layer)), None)


def _check_open(network: keras.Model, layer) -> None:
    reasons = [call.why_closed for call in graph.calls(network, layer)]
    reason = next(filter(None, reasons), None)
    if reason is not None:
        name = opening.original(layer).name
        raise ValueError(f"The layers inside {name!r} can't be reached: {reason}.")


def _names(model: keras.Model) -> list[str]:
    """Names inside a model, as its own `resolve` understands them without a path."""
    names = [opening.original(layer).name for layer in model.layers]
    for layer in model.layers:
        inner = _inner(model, layer)
        names += [] if inner is None else _names(inner)
    return names


def _unknown(network: keras.Model, name: str) -> str:
    usable = [info.name for info in describe(network) if info.reason is None]
    # Where none is near, those with weights come first.
    shown = [info.name for info in visualizable(network)]
    return str(unknown("the name of a layer", name, dict.fromkeys([*shown, *usable])))
