"""What the channels of a clip mean: from unbounded signals, 0 for grey, to clips in [0, 1]."""

import numpy as np
from keras import ops

from c3dvis.maximize.defaults import COLOURS
from c3dvis.text import unknown

# Square root of the covariance of natural images' RGB values, as published with lucid. Its columns
# are light against dark, red against blue, and both against green; their norms are how much natural
# colours vary along each. Divided by the largest, it maps independent channels to natural colours.
_NATURAL = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
_NORMS = np.linalg.norm(_NATURAL, axis=0)
# RGB of a signal's three channels.
_MIXING = {
    "decorrelated": _NATURAL / _NORMS.max(),
    "opponent": _NATURAL / _NORMS * np.array([1, 0.5, 0.5], np.float32),
}
# How near black and white `to_signals` tells apart: their own signals are infinite.
_DARKEST = 0.01


def check(colours: str) -> str:
    """The name of a choice of colours, or a ValueError with the nearest one."""
    if colours in COLOURS:
        return colours
    raise unknown("colours", colours, COLOURS)


def to_clips(signals, colours: str, clip_channels: int):
    """Signals `(..., K)` to values in [0, 1] `(..., C)`.

    Args:
        signals: Any real values; 0 is mid-grey or, in flow, rest.
        colours: One of `COLOURS`; clips of other than three channels have independent ones.
        clip_channels: C: 1 is grey, 2 is flow to the right and down (0.5 is rest), 3 is RGB.
    """
    if clip_channels == 3 and colours == "grey":
        signals = ops.repeat(signals, 3, axis=-1)
    elif clip_channels == 3 and colours in _MIXING:
        planes = ops.moveaxis(signals, -1, 1)
        flat = ops.reshape(planes, (planes.shape[0], 3, -1))
        mixed = ops.reshape(ops.matmul(_MIXING[colours], flat), planes.shape)
        return ops.moveaxis(ops.sigmoid(mixed), 1, -1)
    return ops.sigmoid(signals)


def to_signals(clips: np.ndarray, colours: str) -> np.ndarray:
    """The signals `(..., K)` that `to_clips` turns into given clips `(..., C)`.

    Black and white, which no finite signal gives, count as 0.01 and 0.99.
    """
    inside = np.clip(clips, _DARKEST, 1 - _DARKEST)
    signals = np.log(inside / (1 - inside))
    if clips.shape[-1] == 3 and colours == "grey":
        return signals.mean(axis=-1, keepdims=True)
    if clips.shape[-1] == 3 and colours in _MIXING:
        return signals @ np.linalg.inv(_MIXING[colours].T)
    return signals


def flow_in_pixels(bound: float = 20.0):
    """A `preprocess` function for networks that take optical flow in pixels per frame.

    Clips are in [0, 1] everywhere, so flow is too: 0.5 is rest, 0 and 1 are `bound` pixels per
    frame to the left or up, and to the right or down. I3D keeps steps of up to 20 pixels (Carreira
    and Zisserman 2017, https://arxiv.org/abs/1705.07750).

    Args:
        bound: Longest step in pixels per frame.

    Example:
        >>> flow_in_pixels(20.0)(np.array([0.0, 0.5, 1.0])).tolist()
        [-20.0, 0.0, 20.0]
    """
    if not bound > 0:
        raise ValueError(f"Expected a bound above 0 pixels. Received: {bound}.")
    return lambda clips: (2 * clips - 1) * bound
