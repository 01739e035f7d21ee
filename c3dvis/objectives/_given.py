"""Objectives from text and numbers: `"conv3b:7"`, `"moving left"`, `7`."""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from c3dvis.command_line import numbers
from c3dvis.objectives.basic import channel
from c3dvis.objectives.classes import logit
from c3dvis.objectives.objective import Objective
from c3dvis.objectives.terms import WholeTerm, names_of_classes
from c3dvis.text import unknown

if TYPE_CHECKING:
    import keras


def of(given: Any, network: keras.Model | None) -> Objective:
    """Converts text, a number or a list of these to an objective of a network.

    `maximize`, `attribute` and everything else that takes an objective converts its argument with
    this.

    Args:
        given: "conv3b:7" or "conv3b:0-3,7", channels of a layer; "moving left", the logit of a
            class by its name; 7, that of a class by its index; a list of these, one clip each, all
            of one layer or all of classes; or an objective.
        network: Keras model, whose `class_names` are the names of its classes; None where it is not
            known yet: then text is the channels of a layer, or else a class.

    Raises:
        ValueError: Text that is neither a layer's channels nor a class, with the nearest names; or
            a list of different kinds.

    Example:
        >>> from c3dvis import models, objectives
        >>> network = models.build("c3d-motion")
        >>> objectives.of("conv3b:0-2", network) == objectives.channel("conv3b", range(3))
        True
        >>> objectives.of(["moving left", 3], network) == objectives.logit(["moving left", 3])
        True
    """
    if isinstance(given, Objective):
        return given
    if isinstance(given, str):
        return _of_text(given, network)
    with contextlib.suppress(TypeError):  # NumPy's and tensors' whole numbers, too
        if not isinstance(given, bool):
            return logit(operator.index(given))
    if isinstance(given, Iterable) and not isinstance(given, (bytes, dict)):
        with contextlib.suppress(NotImplementedError):  # a symbolic tensor
            return _joined([of(one, network) for one in given])
    hint = " objectives.function(function, layers) makes one of a function of activations."
    raise ValueError(
        'Expected an objective, such as objectives.logit(3), "layer:channel", the name or index of '
        f"a class, or a list of these. Received: {given!r}.{hint if callable(given) else ''}"
    )


def _of_text(text: str, network: keras.Model | None) -> Objective:
    class_names = names_of_classes(network) or ()
    if text in class_names:
        return logit(text)
    layer, _, channels = text.rpartition(":")
    layers = list(dict.fromkeys(_layer_names(network)))
    if layer and re.fullmatch(r"[\d\s,-]+", channels):
        with contextlib.suppress(ValueError):
            return channel(layer, numbers(channels) or ())
    if network is None and not layer:
        return logit(text)
    named = next((name for name in (text, layer) if name in layers), None)
    if named is not None:
        raise ValueError(
            f"Expected channels after the layer, such as '{named}:0' or '{named}:0-3,7', or "
            f"objectives.layer({named!r}) for all of it. Received: {text!r}."
        )
    what = 'an objective: "layer:channel" or the name of a class'
    raise unknown(what, text, [*class_names, *layers])


def _layer_names(network) -> Iterator[str]:
    for layer in getattr(network, "layers", ()):
        yield layer.name
        yield from _layer_names(layer)


def _joined(several: Sequence[Objective]) -> Objective:
    """One objective of the units of several, which differ in nothing else."""
    if not several:
        raise ValueError("Expected at least one objective. Received: an empty list.")
    first = several[0]
    if any(one.signature != first.signature for one in several):
        layers = dict.fromkeys(layer for one in several for layer in one.layers)
        raise ValueError(
            "Expected a list of one kind: channels of one layer, or classes. "
            f"Received: objectives of {', '.join(map(repr, layers))}."
        )
    terms = []
    for i, (weight, term) in enumerate(first.terms):
        if not isinstance(term, WholeTerm):
            # A term of one unit serves all clips of its objective.
            each = [(one.terms[i][1].units, len(one)) for one in several]
            units = sum((u * count if len(u) == 1 else u for u, count in each), ())
            term = replace(term, units=units)
        terms.append((weight, term))
    return Objective(tuple(terms))
