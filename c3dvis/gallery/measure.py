"""Measurements on a synthetic clip: whether it is one plain colour, and how it drifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips

# Weights of red, green and blue in luma (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float64)
# A clip is plain if its root-mean-square difference from one colour is below this: two of 255 grey
# levels, which are invisible.
_PLAIN = 2 / 255
# A clip is striped if the power of its gradients along the stripes is at most this share of that
# across them. Such gradients come from borders and rounding and would distort the drift.
_STRIPES = 0.01


@dataclass(frozen=True)
class Measures:
    """Measurements on a clip.

    Attributes:
        change: Root-mean-square difference between consecutive frames, divided by the standard
            deviation of the luminance: 0 for a still clip, about 1.4 for flickering noise; None
            for a plain clip or a single frame.
        plain_color: Such as "#ff0000" if the whole clip is one colour, otherwise None.
        drift: Pixels per frame to the right and down of the translation that explains most of the
            change between frames; None if nothing changes or no direction can be measured.
        drift_share: Share of the change that the drift explains, at most 1.
    """

    change: float | None = None
    plain_color: str | None = None
    drift: tuple[float, float] | None = None
    drift_share: float | None = None


def measure(clip: ArrayLike) -> Measures:
    """Measures a clip.

    The drift is the least-squares solution `(u, v)` of `I_t + u I_x + v I_y = 0` over all pixels
    of all pairs of frames, where I is the luminance: one step of Lucas and Kanade (1981) with the
    clip as its window. It holds for patterns that are wide compared with the drift.

    Args:
        clip: `(T, H, W, C)` in [0, 1]; C is 1 to 4, see `clips.to_rgb`.

    Example:
        >>> measure(np.ones((4, 8, 8, 3)) * [1, 0, 0]).plain_color
        '#ff0000'
    """
    shown = clips.to_rgb(clip).astype(np.float64)
    mean = shown.mean(axis=(0, 1, 2))
    if np.sqrt(np.square(shown - mean).mean()) < _PLAIN:
        return Measures(plain_color="#" + "".join(f"{round(255 * value):02x}" for value in mean))
    return _motion(shown @ _LUMA)


def _motion(luminance: NDArray[np.float64]) -> Measures:
    if min(luminance.shape) < 2:
        return Measures()
    differences = np.diff(luminance, axis=0).ravel()
    energy = differences @ differences
    spread = luminance.std()
    change = float(np.sqrt(energy / differences.size) / spread) if spread else None
    between = (luminance[1:] + luminance[:-1]) / 2
    slopes = np.stack([np.gradient(between, axis=axis).ravel() for axis in (2, 1)], axis=1)
    # A shift of stripes along themselves is invisible: the pseudoinverse gives the shortest one.
    inverse = np.linalg.pinv(slopes.T @ slopes, rcond=_STRIPES, hermitian=True)
    drift = -inverse @ (slopes.T @ differences)
    if not energy or not drift.any():
        return Measures(change)
    rest = differences + slopes @ drift
    share = float(1 - rest @ rest / energy)
    return Measures(change, drift=(float(drift[0]), float(drift[1])), drift_share=share)
