"""What tests of motion tuning share: the tuning of one unit, made up."""

import numpy as np

from c3dvis.motion import DriftingGabor
from c3dvis.responses import MotionTuning


def of_one_unit(**changed) -> MotionTuning:
    """Of a unit that prefers leftward motion at 2 px per frame, but for what is given."""
    moving = np.array([[[[0, 0]], [[0, 0]], [[0.1, 1]], [[0, 0]]]], np.float32)
    values = {
        "layer": "conv",
        "channels": (0,),
        "directions": np.array([0, 90, 180, 270], np.float32),
        "spatial_frequencies": np.array([0.1], np.float32),
        "temporal_frequencies": np.array([0, 0.2], np.float32),
        "responses": moving,
        "best": (DriftingGabor(180.0, spatial_frequency=0.1, temporal_frequency=0.2),),
        "best_response": np.ones(1, np.float32),
        "opposite": np.zeros(1, np.float32),
        "standing": np.full(1, 0.1, np.float32),
        "contrasts": np.ones(1, np.float32),
        "to_contrast": np.ones((1, 1), np.float32),
        "to_colour": np.array([[0, 0, 1, 0]], np.float32),
    }
    return MotionTuning(**{**values, **changed})
