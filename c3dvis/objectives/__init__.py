"""What to maximize, explain or rank clips by: an objective is a score; higher is better.

An objective names the layers it reads and maps their activations to one number per clip. It holds
one unit or many: `channel("conv3b", range(64))` is 64 objectives, one clip each. Objectives add,
subtract and scale: `channel("conv3b", 7) - 0.5 * channel("conv3b", 8)`. Wherever an objective is
accepted, so are text and numbers, see `of`: "conv3b:7", the name or index of a class.

| maximize | with |
|---|---|
| a filter, one of its neurons, its mean in one frame | `channel`, `neuron`, `frame` |
| a whole layer (deep dream) | `layer` |
| some places of a layer or output: a frame, a region, a mask | `where=` of `channel`, `logit`, \
`log_odds` |
| a mixture of filters | `direction`, `direction_neuron`, `interpolation` |
| a class, alone or against the others | `logit`, `log_odds` |
| similarity to a clip: its content, its style, what a layer sees in it | `activation_difference`, \
`caricature` |
| similarity or diversity of the clips made | `alignment`, `diversity` |
| any function of activations | `function` |
| less of what a function of the clip measures | `- penalty(function)` |

Nothing here imports Keras before a score is computed, so commands that read finished folders start
without it.
"""

from c3dvis import lazy
from c3dvis.objectives._given import of
from c3dvis.objectives.basic import (
    Channel,
    Energy,
    Frame,
    Interpolated,
    Neuron,
    Penalty,
    channel,
    frame,
    interpolation,
    layer,
    neuron,
    penalty,
)
from c3dvis.objectives.batchwise import Alignment, Diversity, alignment, diversity
from c3dvis.objectives.classes import Logit, LogOdds, log_odds, logit
from c3dvis.objectives.directions import Direction, DirectionNeuron, direction, direction_neuron
from c3dvis.objectives.functions import Function, function
from c3dvis.objectives.objective import Objective
from c3dvis.objectives.references import (
    Caricature,
    Difference,
    StyleDifference,
    activation_difference,
    caricature,
)
from c3dvis.objectives.terms import BEFORE_ACTIVATION, CLIP, LOGITS, Position, Term, Unit

__all__ = [
    "BEFORE_ACTIVATION",
    "CLIP",
    "LOGITS",
    "Alignment",
    "Caricature",
    "Channel",
    "Difference",
    "Direction",
    "DirectionNeuron",
    "Diversity",
    "Energy",
    "Frame",
    "Function",
    "Interpolated",
    "LogOdds",
    "Logit",
    "Neuron",
    "Objective",
    "Penalty",
    "Position",
    "StyleDifference",
    "Term",
    "Unit",
    "activation_difference",
    "alignment",
    "caricature",
    "channel",
    "direction",
    "direction_neuron",
    "diversity",
    "frame",
    "function",
    "interpolation",
    "layer",
    "log_odds",
    "logit",
    "names",
    "neuron",
    "of",
    "penalty",
]


def names() -> list[str]:
    """Names of the functions that make objectives: all that the files of this folder define.

    Example:
        >>> names()[:4]
        ['activation_difference', 'alignment', 'caricature', 'channel']
    """

    def makes_objectives(value) -> bool:
        returned = getattr(value, "__annotations__", {}).get("return")
        return not isinstance(value, type) and returned in (Objective, "Objective")

    return list(lazy.members(__name__, makes_objectives))
