"""What a maximizer takes where nothing is said: for filters, and for classes.

The values for classes were chosen on four classes of I3D with the weights of Kinetics-400 (playing
tennis, surfing water, playing piano, riding or walking with horse), by whether the network still
recognises a clip that is moved, scaled, cut short or shown in another size, and by how far its
variation is from that of real films; `benchmarks/recognition.py` measures that on other classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from c3dvis.objectives import LOGITS, Objective


@dataclass(frozen=True)
class Defaults:
    """Defaults of `Maximizer`.

    Attributes:
        sizes: Least and greatest factor by which a step magnifies the clip: a filter looks for a
            pattern of its own size, a class is the same at any.
        weight_decay: Of the optimizer. More leaves less contrast where the network does not look.
        spatial_exponent: Of the parametrization "fourier".
    """

    sizes: tuple[float, float]
    weight_decay: float
    spatial_exponent: float


FILTERS = Defaults(sizes=(0.9, 1.1), weight_decay=0.3, spatial_exponent=1.25)
CLASSES = Defaults(sizes=(0.6, 1.25), weight_decay=0.6, spatial_exponent=1.0)


def of(objective: Objective) -> Defaults:
    """The defaults for an objective: those of classes where it reads nothing but logits.

    Example:
        >>> from c3dvis import objectives
        >>> of(objectives.logit(3)) == CLASSES, of(objectives.channel("conv1", 0)) == CLASSES
        (True, False)
    """
    reads_classes = all(layer.startswith(LOGITS) for layer in objective.layers)
    return CLASSES if reads_classes else FILTERS
