"""Objectives in words."""

from c3dvis.objectives.basic import Frame, Neuron
from c3dvis.objectives.classes import LogOdds, OfClass
from c3dvis.objectives.directions import DirectionNeuron
from c3dvis.objectives.functions import Function
from c3dvis.objectives.objective import Objective
from c3dvis.objectives.terms import Term

# Where it is not the name of the class in lower case.
_KINDS: dict[type[Term], str] = {Frame: "channel", LogOdds: "log odds"}


def describe(objective: Objective) -> str:
    """An objective in words.

    >>> from c3dvis.objectives import channel, frame, log_odds, logit, neuron
    >>> describe(logit("moving left") - 0.5 * channel("conv3b", 7))
    'logit of moving left + -0.5 x channel 7 of conv3b'
    >>> describe(log_odds(3))
    'log odds of 3'
    >>> describe(logit(3, where=5))
    'logit of 3 in frame 5'
    >>> describe(frame("scores", 1, frame=5)), describe(neuron("conv3b", 7))
    ('channel 1 of scores in frame 5', 'neuron 7 of conv3b/before activation in the centre')
    """
    parts = []
    for weight, term in objective.terms:
        unit = ", ".join(map(str, term.units))
        kind = _KINDS.get(type(term), type(term).__name__.lower())
        if isinstance(term, OfClass):
            what = f"{kind} of {unit}"
        elif isinstance(term, Function):
            called = getattr(term.function, "__name__", type(term.function).__name__)
            what = f"{called} of {', '.join(term.names)}"
        else:
            what = f"{kind} {unit} of {term.layer}"
        what += _where(term)
        parts.append(what if weight == 1 else f"{weight:g} x {what}")
    return " + ".join(parts)


def _where(term: Term) -> str:
    """Where a term reads its layer, as words behind what it reads; "" if everywhere."""
    if isinstance(term, Frame):
        return " in the middle frame" if term.frame is None else f" in frame {term.frame}"
    if isinstance(term, (Neuron, DirectionNeuron)):
        return f" at {term.position}" if term.position is not None else " in the centre"
    where = getattr(term, "where", None)
    return "" if where is None else f" in {where}"
