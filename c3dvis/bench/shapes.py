"""A second world of known evidence: textured shapes of five kinds on natural textures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from c3dvis.motion import MovingEvidence, pixels_around

# Half a side, or the radius of the outermost points, relative to that of a disc of the same area.
_SIZES = {"square": 0.886, "triangle": 1.555, "bar": 1.253, "cross": 1.108, "star": 1.367}
_ARM = 0.4  # half the width of a cross's arm, relative to its length
_SPIKE = 0.3  # of a star: its radius is 0.7 + 0.3 cos(5 angle)
_REACH = max(_SIZES.values()) * 2**0.5
_CONTRAST = 0.25  # of the texture on an object, relative to its colour
_BACKGROUND_CONTRAST = 0.16


class MovingShapes(MovingEvidence):
    """`MovingEvidence` with other pictures: no discs, and nothing in one flat colour.

    Objects are squares, triangles, bars, crosses and stars, each as large as a disc, in two tones
    under a texture of its own. What stands behind them is a natural texture (noise with a 1/f
    spectrum, its colours alike as in photographs) of more contrast than that of `MovingEvidence`.
    The marked object is red or magenta as there, so networks that were trained there can know it.

    Example:
        >>> some = MovingShapes(seed=1).batch(0, 2)
        >>> some.clips.shape, bool(some.masks.any(axis=(1, 2, 3)).all())
        ((2, 16, 64, 64, 3), True)
    """

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        texture = natural_texture(rng, self.size)
        return (rng.uniform(0.3, 0.5) + _BACKGROUND_CONTRAST * texture).astype(np.float32)

    def _stamp(self, rng: np.random.Generator) -> Callable:
        shape = list(_SIZES)[int(rng.integers(len(_SIZES)))]
        texture = natural_texture(rng, self.size).mean(axis=-1)
        return partial(_stamp_shape, shape=shape, texture=texture / texture.std())


def natural_texture(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Wrapping noise with a 1/f spectrum, `(height, width, 3)`, of mean 0 and deviation 1.

    Most of it is common to the colours, as in photographs.
    """
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = np.fft.rfft2(rng.standard_normal((3, height, width)))
    spectrum /= np.maximum(frequency, 1 / max(height, width))
    texture = np.fft.irfft2(spectrum, s=size)
    texture -= texture.mean(axis=(1, 2), keepdims=True)
    texture = texture.mean(axis=0) * 3**0.5 * 0.95 + 0.3 * texture
    return (texture / texture.std()).transpose(1, 2, 0)


def _stamp_shape(canvas: np.ndarray, rows, columns, radius, angles, tones, *, shape: str, texture):
    """Draws a shape, wrapped around; returns the pixels that it covers at least half."""
    place, down, right = pixels_around(canvas.shape, rows, columns, int(_REACH * radius) + 2)
    angles = angles[:, None, None]
    along = right * np.cos(angles) + down * np.sin(angles)
    across = down * np.cos(angles) - right * np.sin(angles)
    cover = np.clip(_inside(shape, along, across, radius) + 0.5, 0, 1)[..., None]
    side = np.clip(along + 0.5, 0, 1)[..., None]
    colour = tones[1] + (tones[0] - tones[1]) * side
    grain = texture[tuple(np.round(a).astype(int) % min(texture.shape) for a in (across, along))]
    colour = np.clip(colour * (1 + _CONTRAST * grain[..., None]), 0, 1)
    canvas[place] += (cover * (colour - canvas[place])).astype(np.float32)
    return tuple(index[cover[..., 0] >= 0.5] for index in place)


def _inside(shape: str, along: np.ndarray, across: np.ndarray, radius: float) -> np.ndarray:
    """How far inside a shape's edge a place is, in pixels, roughly; negative outside."""
    r = _SIZES[shape] * radius
    x, y = np.abs(along), np.abs(across)
    match shape:
        case "square":
            return r - np.maximum(x, y)
        case "bar":
            return np.minimum(r - x, r / 2 - y)
        case "triangle":
            return r / 2 - np.maximum(-along, along / 2 + y * 3**0.5 / 2)
        case "cross":
            return np.maximum(np.minimum(r - x, _ARM * r - y), np.minimum(r - y, _ARM * r - x))
        case _:
            edge = 1 - _SPIKE + _SPIKE * np.cos(5 * np.arctan2(across, along))
            return r * edge - np.hypot(along, across)
