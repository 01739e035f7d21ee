"""The tensor of a network that the name of a layer means, layers inside others too."""

import itertools

import keras

from c3dvis import graph, opening
from c3dvis.models.description import describe, fitness, several_calls, visualizable
from c3dvis.text import unknown


def resolve(network: keras.Model, name: str, output):
    """`output(layer, call)` of the layer that a name means: a tensor of this network's graph."""
    calls = _calls(network)
    inline = next((layer for layer in network.layers if opening.is_inline(layer)), None)
    if inline is not None:
        return _inside(calls[opening.original(inline).name], name, output)
    own = name if name in calls else name.replace("/", ".")
    if own in calls:
        _, reason = fitness(calls[own])
        if reason is not None:
            raise ValueError(f"Layer {name!r} can't be visualised: {reason}.")
        return output(calls[own][0].layer, calls[own][0])
    outer, _, rest = name.partition("/")
    nested = {key: inner for key, of_key in calls.items() if (inner := _inner(of_key))}
    if rest and outer in nested:
        return _inside(calls[outer], rest, output)
    holders = [key for key, inner in nested.items() if name in _names(inner)]
    if len(holders) == 1:
        return _inside(calls[holders[0]], name, output)
    if holders:
        choices = " or ".join(repr(f"{key}/{name}") for key in holders)
        raise ValueError(f"Several layers have this name; expected {choices}. Received: {name!r}.")
    reason = next((call.why_closed for call in calls.get(outer, []) if call.why_closed), None)
    if reason is not None:
        raise ValueError(f"The layers inside {outer!r} can't be reached: {reason}.")
    raise ValueError(_unknown(network, name))


def _calls(network: keras.Model) -> dict[str, list[graph.Call]]:
    """The calls of each of a network's own layers, by the layer's name."""
    calls = graph.calls(network)
    return {opening.original(each).name: calls.get(id(each), []) for each in network.layers}


def _inside(calls: list[graph.Call], name: str, output):
    """The tensor of a layer inside another, where the outer network calls that one."""
    if len(calls) != 1:
        reason = several_calls(calls[0].layer, len(calls))
        raise ValueError(f"Layer {name!r} can't be visualised: {reason}.")
    model = calls[0].inside
    assert model is not None
    inner = keras.Model(model.inputs, resolve(model, name, output))
    return graph.call_in_place(inner, calls[0])


def _inner(calls: list[graph.Call]) -> keras.Model | None:
    """The model of the layers inside a layer, by the calls of that."""
    return calls[0].inside if calls else None


def _names(model: keras.Model) -> list[str]:
    """Names inside a model, as its own `resolve` understands them without a path."""
    calls = _calls(model)
    inner = [_names(each) for of_layer in calls.values() if (each := _inner(of_layer))]
    return [*calls, *itertools.chain(*inner)]


def _unknown(network: keras.Model, name: str) -> str:
    usable = [info.name for info in describe(network) if info.reason is None]
    # Where none is near, those with weights come first.
    shown = [info.name for info in visualizable(network)]
    return str(unknown("the name of a layer", name, dict.fromkeys([*shown, *usable])))
