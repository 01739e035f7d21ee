"""Objectives in words, for people."""

from c3dvis.objectives.objective import Objective
from c3dvis.objectives.readings import Logit


def in_words(objective: Objective) -> str:
    """An objective for people.

    >>> from c3dvis.objectives import channel, logit
    >>> in_words(logit("moving left") - 0.5 * channel("conv3b", 7))
    'logit of moving left + -0.5 x channel 7 of conv3b'
    """
    parts = []
    for weight, term in objective.terms:
        unit = ", ".join(map(str, term.units))
        kind = type(term).__name__.lower()
        what = f"{kind} of {unit}" if isinstance(term, Logit) else f"{kind} {unit} of {term.layer}"
        parts.append(what if weight == 1 else f"{weight:g} x {what}")
    return " + ".join(parts)
