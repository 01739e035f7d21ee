"""Baselines: clips without evidence, which are black, blurred, noise, or the first frame frozen."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips

NAMES = ("black", "blur", "noise", "first_frame")

# Standard deviation of the blur as a share of the shorter side: 20 pixels of 112, as for the most
# blurred level of the reference clips of "Towards Visually Explaining Video Understanding Networks
# with Perturbation" (Li et al. 2021, https://arxiv.org/abs/2005.00375).
_BLUR = 20 / 112


def baseline(
    kind: str | float | NDArray[np.float32], clip: NDArray[np.float32], *, seed: int = 0
) -> NDArray[np.float32]:
    """The baseline of a clip: the clip without its evidence.

    Args:
        kind: "black"; "blur", every frame blurred until only its large areas are left; "noise",
            uniform in [0, 1] at every pixel; "first_frame", frozen; a clip; or a number in
            [0, 1], the same at every pixel.
        clip: float32 `(T, H, W, C)` in [0, 1].
        seed: Seed of the noise.

    Returns:
        float32 `(T, H, W, C)` in [0, 1].

    Raises:
        ValueError: An unknown name, or a clip of another shape.

    Example:
        >>> baseline("black", np.ones((2, 4, 4, 3), np.float32)).max()
        np.float32(0.0)
    """
    if isinstance(kind, Real):
        if not 0 <= kind <= 1:
            raise ValueError(f"Expected a baseline in [0, 1]. Received: {kind!r}.")
        return np.full_like(clip, kind)
    if not isinstance(kind, str):
        return clips.check(kind, clip.shape)
    match kind:
        case "black":
            return np.zeros_like(clip)
        case "blur":
            return blur(clip, _BLUR * min(clip.shape[1:3]))
        case "noise":
            if seed < 0:
                raise ValueError(f"Expected a seed of 0 or more. Received: {seed}.")
            return np.random.default_rng(seed).random(clip.shape, np.float32)
        case "first_frame":
            return np.repeat(clip[:1], len(clip), axis=0)
    raise ValueError(
        f"Expected a baseline: {', '.join(map(repr, NAMES))}, a number in [0, 1] or a clip. "
        f"Received: {kind!r}."
    )


def blur(clip: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A clip in [0, 1] whose frames are blurred by `gaussian`."""
    return np.clip(gaussian(clip, sigma), 0, 1).astype(np.float32)


def gaussian(frames: NDArray, sigma: float) -> NDArray[np.float64]:
    """Frames `(T, H, W, ...)` blurred by a Gaussian of `sigma` pixels; edges are repeated."""
    rows = np.tensordot(_gaussian(frames.shape[1], sigma), frames, (1, 1))  # (H, T, W, ...)
    both = np.tensordot(_gaussian(frames.shape[2], sigma), rows, (1, 2))  # (W, H, T, ...)
    return np.moveaxis(both, (2, 1, 0), (0, 1, 2))


def _gaussian(length: int, sigma: float) -> NDArray[np.float64]:
    """Matrix `(length, length)` that blurs a line of pixels; its rows sum to 1."""
    reach = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2)
    sources = np.clip(np.arange(length)[:, None] + reach, 0, length - 1)
    matrix = np.zeros((length, length))
    np.add.at(matrix, (np.arange(length)[:, None], sources), weights / weights.sum())
    return matrix
