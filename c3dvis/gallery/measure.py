"""What can be measured on a made clip: whether it is one plain colour, and how it drifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips

# Weights of red, green and blue in luma (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float64)
# A clip is plain if its values are closer than this to one colour (root of the mean square): two
# of 255 grey levels, which nobody sees.
_PLAIN = 2 / 255


@dataclass(frozen=True)
class Measures:
    """What was measured on a clip.

    Attributes:
        plain_color: Such as "#ff0000", where the whole clip is that one colour; else None.
        drift: Pixels a frame to the right and down of the one translation that explains most of
            the change between frames; None where nothing changes, or no direction can be told.
        drift_share: Share of that change that it explains, at most 1.
    """

    plain_color: str | None = None
    drift: tuple[float, float] | None = None
    drift_share: float | None = None


def measure(clip: ArrayLike) -> Measures:
    """Measures a clip.

    The drift is the least-squares solution `(u, v)` of `I_t + u I_x + v I_y = 0` over all pixels
    of all pairs of frames, where I is the luminance: one step of Lucas and Kanade (1981) with the
    clip as its window. It holds for patterns that are wide compared with the drift.

    Args:
        clip: `(T, H, W, C)` in [0, 1]; C is 1 to 4, as `clips.to_rgb` takes it.

    Example:
        >>> measure(np.ones((4, 8, 8, 3)) * [1, 0, 0]).plain_color
        '#ff0000'
    """
    shown = clips.to_rgb(clip).astype(np.float64)
    mean = shown.mean(axis=(0, 1, 2))
    if np.sqrt(np.square(shown - mean).mean()) < _PLAIN:
        return Measures(plain_color="#" + "".join(f"{round(255 * value):02x}" for value in mean))
    return _drift(shown @ _LUMA)


def _drift(luminance: NDArray[np.float64]) -> Measures:
    if min(luminance.shape) < 2:
        return Measures()
    change = np.diff(luminance, axis=0).ravel()
    between = (luminance[1:] + luminance[:-1]) / 2
    slopes = np.stack([np.gradient(between, axis=axis).ravel() for axis in (2, 1)], axis=1)
    energy = change @ change
    products = slopes.T @ slopes
    # Stripes slide along themselves unseen: the shortest of their translations is taken.
    drift = -np.linalg.pinv(products, rcond=1e-6, hermitian=True) @ (slopes.T @ change)
    if not energy or not drift.any():
        return Measures()
    rest = change + slopes @ drift
    return Measures(None, (float(drift[0]), float(drift[1])), float(1 - rest @ rest / energy))
