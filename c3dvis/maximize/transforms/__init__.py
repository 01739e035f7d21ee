"""Transforms: small random changes of a clip at every step, which make the result robust to them.

Each is a Keras layer. It is called with clips and a few random numbers in [0, 1) per clip, which it
uses for all frames of the clip: a transform moves the camera, it does not shake it.
"""

import keras

from c3dvis import lazy
from c3dvis.maximize.transforms._resampling import Resampling, Transform, apply
from c3dvis.maximize.transforms.colour import ColourNoise
from c3dvis.maximize.transforms.spatial import Crop, Jitter, Pad, Rotate, Scale
from c3dvis.maximize.transforms.temporal import Freeze, Speed, TemporalJitter

__all__ = [
    "ColourNoise",
    "Crop",
    "Freeze",
    "Jitter",
    "Pad",
    "Resampling",
    "Rotate",
    "Scale",
    "Speed",
    "TemporalJitter",
    "Transform",
    "apply",
    "default",
    "names",
]


def names() -> list[str]:
    """Names of the transforms: the layers that the files of this folder define.

    Example:
        >>> names()[:3]
        ['ColourNoise', 'Crop', 'Freeze']
    """

    def is_transform(value) -> bool:
        return isinstance(value, type) and issubclass(value, Transform)

    return list(lazy.members(__name__, is_transform))


def default(
    frames: int,
    height: int,
    width: int,
    *,
    sizes: tuple[float, float] = (0.9, 1.1),
    shift: tuple[int, int] | None = None,
) -> list[keras.layers.Layer]:
    """Pad, jitter, scale and temporal jitter.

    Args:
        frames: Frames of the clip.
        height: Height in pixels.
        width: Width in pixels.
        sizes: Minimum and maximum magnification of the clip.
        shift: Maximum shift in frames and in pixels; None means a 16th of either.

    Returns:
        New layers, in the order in which they are applied.

    Example:
        >>> [type(layer).__name__ for layer in default(16, 64, 64)]
        ['Pad', 'Jitter', 'Scale', 'TemporalJitter']
    """
    later, pixels = (round(frames / 16), round(min(height, width) / 16)) if shift is None else shift
    return [Pad(pixels), Jitter(2 * pixels), Scale(*sizes), TemporalJitter(later)]
