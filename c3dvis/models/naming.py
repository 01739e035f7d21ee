"""Resolves the name of a layer, possibly inside other layers, to a tensor of a network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import keras

from c3dvis import graph, opening
from c3dvis.models.description import describe, fitness, visualizable
from c3dvis.text import UnknownLayer, unknown

Output = Callable[[graph.Call, graph.Place], Any]


def resolve(network: keras.Model, name: str, output: Output):
    """`output(call, place)` of the call with a name: a tensor of this network's graph."""
    calls = graph.named_calls(network)
    inline = [call for call in calls.values() if opening.is_inline(call.operation)]
    if inline:
        return _inside(inline[0], name, output)
    own = name if _calls_of(calls, name) else name.replace("/", ".")
    if own in calls:
        _, reason = fitness(calls[own])
        if reason is not None:
            raise ValueError(f"Layer {name!r} can't be visualised: {reason}.")
        return output(calls[own], calls[own].place)
    outer, _, rest = name.partition("/")
    nested = {key: call.inside for key, call in calls.items() if call.inside is not None}
    if rest and outer in nested:
        try:
            return _inside(calls[outer], rest, output)
        except UnknownLayer:  # which names the layers as they are called inside
            raise _unknown(network, name) from None
    several = _calls_of(calls, own) or [f"{key}/{rest}" for key in _calls_of(nested, outer) if rest]
    if several:
        raise _called_several_times(name, several)
    holders = [key for key, inner in nested.items() if name in _names(inner)]
    if len(holders) == 1:
        return _inside(calls[holders[0]], name, output)
    if holders:
        choices = " or ".join(repr(f"{key}/{name}") for key in graph.in_order(holders))
        raise ValueError(f"Several layers have this name. Expected {choices}. Received: {name!r}.")
    closed = [calls[key].why_closed for key in _calls_of(calls, outer)]
    reason = next(filter(None, closed), None)
    if reason is not None:
        raise ValueError(f"The layers inside {outer!r} can't be reached: {reason}.")
    raise _unknown(network, name)


def _calls_of(calls: Iterable[str], name: str) -> list[str]:
    """The names of one call, or of all calls of a layer, that a name may mean."""
    return graph.in_order(key for key in calls if name in (key, graph.without_number(key)))


def _called_several_times(name: str, choices: list[str]) -> ValueError:
    return ValueError(
        f"Expected {' or '.join(map(repr, choices))}, as the network calls that layer "
        f"{len(choices)} times. Received: {name!r}."
    )


def _inside(call: graph.Call, name: str, output: Output):
    """The tensor of a layer inside another, where the outer network calls that one."""
    model = call.inside
    assert model is not None

    def within(inner: graph.Call, place: graph.Place):
        return output(inner, (*call.place, *place))

    return graph.call_in_place(keras.Model(model.inputs, resolve(model, name, within)), call)


def _names(model: keras.Model) -> set[str]:
    """Names inside a model, as its own `resolve` understands them without a path."""
    calls = graph.named_calls(model)
    inner = [_names(call.inside) for call in calls.values() if call.inside is not None]
    return {*calls, *map(graph.without_number, calls), *itertools.chain(*inner)}


def _unknown(network: keras.Model, name: str) -> UnknownLayer:
    usable = [info.name for info in describe(network) if info.reason is None]
    # Where none is near, those with weights come first.
    shown = [info.name for info in visualizable(network)]
    names = dict.fromkeys([*shown, *usable])
    return UnknownLayer(unknown("the name of a layer", name, names))
