"""Objectives in words, for people."""

from c3dvis.objectives.classes import Logit, LogOdds, OfClass
from c3dvis.objectives.functions import Function
from c3dvis.objectives.objective import Objective

_OF_CLASSES: dict[type[OfClass], str] = {Logit: "logit", LogOdds: "log odds"}


def describe(objective: Objective) -> str:
    """An objective for people.

    >>> from c3dvis.objectives import channel, log_odds, logit
    >>> describe(logit("moving left") - 0.5 * channel("conv3b", 7))
    'logit of moving left + -0.5 x channel 7 of conv3b'
    >>> describe(log_odds(3))
    'log odds of 3'
    """
    parts = []
    for weight, term in objective.terms:
        unit = ", ".join(map(str, term.units))
        if isinstance(term, OfClass):
            what = f"{_OF_CLASSES[type(term)]} of {unit}"
        elif isinstance(term, Function):
            called = getattr(term.function, "__name__", type(term.function).__name__)
            what = f"{called} of {', '.join(term.names)}"
        else:
            what = f"{type(term).__name__.lower()} {unit} of {term.layer}"
        parts.append(what if weight == 1 else f"{weight:g} x {what}")
    return " + ".join(parts)
