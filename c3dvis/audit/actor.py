"""Separates what moves in a clip from a static camera from the background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips
from c3dvis.attribution.baselines import gaussian

__all__ = ["Actor", "find_actor"]

# A pixel has changed if it differs from the background by more than this, of a range of 1: above
# compression artefacts.
_CHANGED = 0.08
# A pixel that changes in at least this share of the frames is the actor's in all frames, as an
# actor who stays in place is part of the median.
_OFTEN = 0.25
# Standard deviations of Gaussians, as shares of the shorter side.
_SPECKS, _EDGE = 0.02, 0.01
# Threshold of the blurred mask; low, so that no part of the actor is left out.
_GENEROUS = 0.25
# Minimum and maximum share of the picture that the actor covers.
_SMALLEST, _LARGEST = 0.002, 0.7
# Up to this share of the picture, motion is not taken for camera motion.
_FEW = 0.1


class NoActor(ValueError):
    """A clip in which frame differences can't separate actor and background."""


@dataclass(frozen=True, eq=False)
class Actor:
    """An actor and its background.

    Attributes:
        mask: float32 `(T, H, W)` in [0, 1]: 1 is the actor, with soft edges.
        background: float32 `(H, W, C)` in [0, 1]: the median of the frames in which a place is not
            the actor's; where it always is, what surrounds it, blurred.
    """

    mask: NDArray[np.float32]
    background: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Actor({self.mask.mean():.0%} of the clip)"


def find_actor(clip: ArrayLike, mask: ArrayLike | None = None) -> Actor:
    """Separates what moves from the background, which is the median over time.

    Pixels that change in a quarter of the frames or more belong to the actor in all of them, so
    that a person who only moves the arms stays whole. Shadows and other moving things are included.

    Args:
        clip: `(T, H, W, C)` in [0, 1].
        mask: `(T, H, W)` in [0, 1], where the actor is known; None finds it.

    Returns:
        Mask and background.

    Raises:
        NoActor: If the camera moves, nothing does, or too much.
        ValueError: A mask of another shape, or values outside [0, 1].

    Example:
        >>> clip = np.full((8, 32, 32, 3), 0.5, np.float32)
        >>> for frame in range(8):
        ...     clip[frame, 12:16, 3 * frame : 3 * frame + 4] = 1
        >>> actor = find_actor(clip)
        >>> bool(actor.mask[0, 14, 2] > 0.9), bool(actor.mask[0, 14, 24] < 0.1)
        (True, True)
    """
    clip = clips.check(clip)
    side = min(clip.shape[1:3])
    if mask is None:
        is_actor = _moving(clip)
    else:
        given = np.asarray(mask, np.float32)
        if given.shape != clip.shape[:3] or not (given.min() >= 0 and given.max() <= 1):
            raise ValueError(
                f"Expected a mask of shape {clip.shape[:3]} in [0, 1]. Received: shape "
                f"{given.shape}, values from {given.min()} to {given.max()}."
            )
        is_actor = given > 0.5
        _check_share(is_actor)
    soft = np.clip(gaussian(is_actor.astype(np.float32), _EDGE * side), 0, 1)
    return Actor(soft.astype(np.float32), _background(clip, soft > 0.05))


def _moving(clip: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The pixels of what moves."""
    side = min(clip.shape[1:3])
    difference = np.abs(clip - np.median(clip, axis=0)).max(axis=-1)
    changed = gaussian(difference, _EDGE * side) > _CHANGED
    is_actor = changed | (changed.mean(axis=0) >= _OFTEN)
    if is_actor.mean() > _FEW and not _camera_stands(clip):
        raise NoActor("the camera moves, or the film is cut")
    is_actor = gaussian(is_actor.astype(np.float32), _SPECKS * side) > _GENEROUS
    _check_share(is_actor)
    return is_actor


def _camera_stands(clip: NDArray[np.float32]) -> bool:
    """Whether frames half a clip apart mostly match best without a shift.

    By phase correlation: Kuglin and Hines 1975, "The Phase Correlation Image Alignment Method".
    """
    grey = clip.mean(axis=-1)
    window = np.outer(np.hanning(clip.shape[1]), np.hanning(clip.shape[2]))
    waves = np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)
    half = len(clip) // 2
    cross = waves[:-half] * np.conj(waves[half:])
    fit = np.fft.ifft2(cross / (np.abs(cross) + 1e-9 * np.abs(cross).max())).real
    best = fit.reshape(len(fit), -1).argmax(axis=1)
    shifts = np.stack(np.unravel_index(best, fit.shape[1:]), axis=-1)
    wrapped = np.minimum(shifts, np.array(fit.shape[1:]) - shifts)
    return bool((wrapped.max(axis=1) <= 1).mean() >= 0.5)


def _check_share(is_actor: NDArray[np.bool_]) -> None:
    share = is_actor.mean()
    if share < _SMALLEST:
        raise NoActor("nothing moves")
    if share > _LARGEST:
        raise NoActor("what moves leaves no background")


def _background(clip: NDArray[np.float32], is_actor: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Median of the frames in which a place is free; else what surrounds it."""
    hidden = np.broadcast_to(is_actor[..., None], clip.shape)
    in_order = np.sort(np.where(hidden, np.inf, clip), axis=0)
    free = (~is_actor).sum(axis=0)
    middle = np.maximum(free - 1, 0) // 2
    median = np.take_along_axis(in_order, middle[None, ..., None], axis=0)[0]
    known = (free > 0)[..., None]
    median = np.where(known, median, 0)
    side = min(clip.shape[1:3])
    for sigma in (side / 16, side / 2):  # near, then far, where the hole is deep
        weight = gaussian(known[None].astype(np.float64), sigma)[0]
        around = gaussian((median * known)[None], sigma)[0] / np.maximum(weight, 1e-9)
        reached = ~known & (weight > 1e-2)
        median, known = np.where(reached, around, median), known | reached
    return np.clip(median, 0, 1).astype(np.float32)
