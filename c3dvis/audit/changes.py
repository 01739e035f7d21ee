"""The changes of an audit: a clip without its motion, background or actor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.baselines import blur
from c3dvis.audit.actor import Actor
from c3dvis.clips.frame_orders import CHANGES as ORDERS
from c3dvis.clips.frame_orders import frame_orders

ORIGINAL, ONE_FRAME = "original", "one_frame"
SWAPPED, SAME, BLURRED = "swapped_background", "same_background", "blurred_background"
BLURRED_ACTOR = "blurred_actor"

CHANGES: Mapping[str, str] = MappingProxyType(
    {
        ORIGINAL: "original",
        "freeze": "one frame throughout (mean over several frames)",
        ONE_FRAME: "one frame throughout: of these, the one with the most confident prediction",
        "shuffle": "frames in random order (mean over several orders)",
        "reverse": "from the last frame to the first",
        BLURRED: "background blurred",
        SWAPPED: "on the background of a clip of another class",
        SAME: "on the background of another clip of its class",
        BLURRED_ACTOR: "actor blurred",
    }
)
"""What is done to the clips, by name."""

# Standard deviation of the blur as a share of the shorter side: what is left are large areas.
_BLUR = 1 / 8


def versions(
    clip: NDArray[np.float32],
    actor: Actor | None,
    backgrounds: Mapping[str, NDArray[np.float32]],
    *,
    draws: int,
    seed: int,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """A clip, and its changed versions, each with the name of the change.

    Args:
        clip: float32 `(T, H, W, C)` in [0, 1].
        actor: Actor of the clip; None yields only the versions that need none.
        backgrounds: Backgrounds `(H, W, C)` of other clips by `SWAPPED` and `SAME`, if available.
        draws: Number of frozen frames, and of random orders.
        seed: Seed of the random orders.

    Returns:
        Pairs of a name of `CHANGES`, but `ONE_FRAME`, and a clip; freezing and shuffling give
        several.
    """
    yield ORIGINAL, clip
    for change in ORDERS:
        for order in frame_orders(change, len(clip), draws=draws, seed=seed):
            yield change, clip[order]
    if actor is None:
        return
    sigma = _BLUR * min(clip.shape[1:3])
    # Without the actor, whose colours would else spread into the background.
    empty = _mixed(actor.mask, actor.background, clip)
    yield BLURRED, _mixed(actor.mask, clip, blur(empty, sigma))
    yield BLURRED_ACTOR, _mixed(actor.mask, blur(clip, sigma), clip)
    for change, background in backgrounds.items():
        yield change, _mixed(actor.mask, clip, background)


def _mixed(mask: NDArray, inside: NDArray, outside: NDArray) -> NDArray[np.float32]:
    """One clip or picture where the mask is 1, another where it is 0."""
    share = mask[..., None]
    return (share * inside + (1 - share) * outside).astype(np.float32)
