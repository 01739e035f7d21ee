"""How near a synthetic clip is to the planted optimum of its unit."""

from dataclasses import dataclass

import measures
import numpy as np
from planted_networks import Unit

# What counts as recovered: degrees, relative error, degrees, cosine of power spectra.
DIRECTION, SPEED, COLOUR, OVERLAP = 10.0, 0.10, 10.0, 0.9


@dataclass(frozen=True)
class Recovery:
    """How near a synthetic clip is to the optimum of its unit.

    Attributes:
        unit: The unit.
        direction: Error in degrees; of the worse event, where there are two.
        speed: Relative error, signed; of the worse event. So are the two frequencies.
        spatial_frequency: Relative error.
        temporal_frequency: Relative error.
        flicker: Of `measures.Motion`; the lowest, where there are two events.
        colour: Angle between the colours in degrees.
        overlap: Cosine of the power spectra of the synthetic clip and of the planted optimum.
        shared: Intersection of the two spectra.
        score: Of the synthetic clip, over that of the planted optimum.
    """

    unit: Unit
    direction: float
    speed: float
    spatial_frequency: float
    temporal_frequency: float
    flicker: float
    colour: float
    overlap: float
    shared: float
    score: float

    @property
    def misses(self) -> list[str]:
        """Names of the measures outside their limits; none if the unit is recovered."""
        within = {
            "direction": self.direction <= DIRECTION,
            "speed": abs(self.speed) <= SPEED,
            "colour": self.colour <= COLOUR,
            "overlap": self.overlap >= OVERLAP,
        }
        return [name for name, met in within.items() if not met]


def judge(unit: Unit, clip: np.ndarray, score: float) -> Recovery:
    """Measures the synthetic clip of a unit.

    Args:
        unit: The unit.
        clip: `(T, H, W, 3)` in [0, 1]; a fourth channel is opacity over grey.
        score: Score of the clip, over that of the unit's planted optimum.
    """
    if clip.shape[-1] == 4:
        clip = 0.5 + (clip[..., :3] - 0.5) * clip[..., 3:]
    parts = np.array_split(clip, len(unit.events))
    motions = [measures.motion(part, unit.window) for part in parts]
    pairs = list(zip(motions, unit.events, strict=True))

    def worst(errors):
        return max(errors, key=abs)

    spectra = [measures.spectrum(one, unit.window) for one in (clip, unit.best)]
    return Recovery(
        unit=unit,
        direction=worst(
            # A wave that flickers on the spot has an orientation and no direction.
            measures.angle_between(m.direction, e.direction, turn=180 if e.flicker else 360)
            for m, e in pairs
        ),
        speed=worst(m.speed / e.speed - 1 for m, e in pairs),
        spatial_frequency=worst(m.spatial_frequency / e.spatial_frequency - 1 for m, e in pairs),
        temporal_frequency=worst(m.temporal_frequency / e.temporal_frequency - 1 for m, e in pairs),
        flicker=min(m.flicker for m in motions),
        colour=measures.colours_between(measures.colour(clip), unit.events[0].colour),
        overlap=measures.overlap(*spectra),
        shared=measures.shared(*spectra),
        score=score,
    )
