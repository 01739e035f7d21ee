"""Clips perturbed by a mask: the lower the mask, the more they are blurred or faded.

A clip is perturbed at a few levels once. A mask then selects a level at every pixel: 1 is the clip
itself, 0 its strongest perturbation; values between are interpolated linearly
(Fong et al. 2019, https://arxiv.org/abs/1910.08485).
"""

import math

import numpy as np
from keras import ops

from c3dvis.attribution.baselines import blur
from c3dvis.text import unknown

LEVELS = 8
_MAX_SIGMA = 20.0  # pixels; of the blur at mask 0


def pyramid(clip: np.ndarray, kind: str = "blur", *, levels: int = LEVELS) -> np.ndarray:
    """A clip at several strengths of perturbation, the strongest first, the clip itself last.

    Level `l` of `L` is blurred by a Gaussian of `20 * (1 - l / (L - 1))` pixels, frame by frame,
    or multiplied by `l / (L - 1)`. Where a blur reaches over the edge, the edge's pixels
    are repeated; the published code takes zeros there, which draws a dark frame around the clip.

    Args:
        clip: `(T, H, W, C)` in [0, 1].
        kind: "blur" or "fade" (to black).
        levels: At least 2.

    Returns:
        float32 `(levels, T, H, W, C)` in [0, 1].

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.masks import perturbations
        >>> clip = np.ones((4, 8, 8, 3), np.float32)
        >>> perturbations.pyramid(clip, "fade", levels=3).mean(axis=(1, 2, 3, 4))
        array([0. , 0.5, 1. ], dtype=float32)
    """
    if kind not in ("blur", "fade"):
        raise unknown("a perturbation", kind, ("blur", "fade"))
    shares = np.linspace(0, 1, levels)
    if kind == "fade":
        return np.stack([clip * np.float32(share) for share in shares])
    blurred = [blur(clip, _MAX_SIGMA * (1 - share)) for share in shares[:-1]]
    return np.stack([*blurred, clip.astype(np.float32)])


def level_table(levels: np.ndarray) -> np.ndarray:
    """A pyramid as the lookup table of `blend`: `((L - 1) * T * H * W, 2 * C)`.

    A row holds one pixel at one level, and its difference to the next level.
    """
    rows = np.concatenate([levels[:-1], np.diff(levels, axis=0)], axis=-1)
    return rows.reshape(-1, rows.shape[-1])


def blend(table, masks):
    """Clips under masks.

    Args:
        table: Result of `level_table` for a clip `(T, H, W, C)`, as a tensor.
        masks: Tensor `(N, T, H, W)` in [0, 1]; 1 keeps the clip.

    Returns:
        Tensor `(N, T, H, W, C)`, differentiable in `masks`.
    """
    pixels = math.prod(masks.shape[1:])
    steps, channels = table.shape[0] // pixels, table.shape[1] // 2
    height = masks * steps
    # A mask of 1 belongs to the last step, so that its gradient is not zero.
    step = ops.clip(ops.floor(height), 0, steps - 1)
    rows = ops.reshape(ops.cast(step, "int32"), (-1, pixels)) * pixels
    rows = rows + ops.arange(pixels, dtype="int32")
    pairs = ops.reshape(ops.take(table, rows, axis=0), (-1, *masks.shape[1:], 2 * channels))
    level, difference = pairs[..., :channels], pairs[..., channels:]
    return level + (height - ops.stop_gradient(step))[..., None] * difference
