"""Defaults of `Maximizer` for filters, neurons and classes.

The values for classes were chosen on four classes of I3D with the weights of Kinetics-400 (playing
tennis, surfing water, playing piano, riding or walking with horse), by whether the network still
recognises a clip that is moved, scaled, cut short or shown in another size, and by how far its
variation is from that of real films; `benchmarks/recognition.py` measures that on other classes.
Those for filters and neurons are what finds planted ones; `benchmarks/planted.py` measures that.
Filters that are trained on real films score about as high with opponent colours as with natural
ones, and show the same patterns, those of deep layers in less natural colours; classes become
garish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `--help` says how many steps there are, and imports nothing for it
    from c3dvis.objectives import Objective

COLOURS = ("decorrelated", "opponent", "independent", "grey")

# Of the optimizer. After 96, as many planted units are recovered, but scores are 5 % lower.
STEPS = 128
# Their random numbers are drawn before the first step, about 60 bytes per step and clip.
MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Defaults:
    """Defaults of `Maximizer`.

    Attributes:
        sizes: Minimum and maximum magnification of the clip in a step: a filter looks for a
            pattern of its own size, a class is the same at any.
        weight_decay: Weight decay of the optimizer; more gives less contrast in ignored places.
        spatial_exponent: See the parametrization "fourier".
        temporal_exponent: See the parametrization "fourier".
        colours: Colours of a parametrization given by name.
        is_local: Whether the clip is moved by little only, as a neuron looks at one place and time.
    """

    sizes: tuple[float, float] = (0.9, 1.1)
    weight_decay: float = 0.3
    spatial_exponent: float = 1.25
    temporal_exponent: float = 1.25
    colours: str = "opponent"
    is_local: bool = False

    @property
    def fourier(self) -> dict[str, float]:
        """The options of the parametrization "fourier"."""
        return {
            "spatial_exponent": self.spatial_exponent,
            "temporal_exponent": self.temporal_exponent,
        }


FILTERS = Defaults()
NEURONS = Defaults(sizes=(1.0, 1.0), spatial_exponent=1.0, temporal_exponent=1.0, is_local=True)
CLASSES = Defaults(
    sizes=(0.6, 1.25), weight_decay=0.6, spatial_exponent=1.0, colours="decorrelated"
)


def of(objective: Objective) -> Defaults:
    """The defaults for an objective; those of classes if it reads only logits.

    Example:
        >>> from c3dvis import objectives
        >>> of(objectives.logit(3)) == CLASSES, of(objectives.channel("conv1", 0)) == FILTERS
        (True, True)
        >>> of(objectives.neuron("conv1", 0)) == NEURONS
        True
    """
    from c3dvis.objectives import LOGITS

    if all(layer.startswith(LOGITS) for layer in objective.layers):
        return CLASSES
    return NEURONS if all(term.at_one_place for _, term in objective.terms) else FILTERS
