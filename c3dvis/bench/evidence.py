"""Clips with known evidence, and verification that a network decides by it."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.attribution import baselines
from c3dvis.attribution.scorer import Scorer
from c3dvis.motion import MovingEvidence

# Both chosen by the share of verified clips on seed 1234.
DILATION, FILL = 2, "blur"
KEPT_SHARE, ABOVE_CHANCE = 0.9, 0.1
_TRIES = 20  # clips for each verified one that is wanted


@dataclass(frozen=True)
class Known:
    """One clip whose evidence is known.

    Attributes:
        clip: float32 `(T, H, W, 3)` in [0, 1].
        label: Index of its class.
        mask: bool `(T, H, W)`, true on the evidence.
        window: First frame of the evidence, and the frame after its last.
    """

    clip: NDArray[np.float32]
    label: int
    mask: NDArray[np.bool_]
    window: tuple[int, int]


@dataclass(frozen=True)
class Verdict:
    """Whether a network decides a clip by its evidence, and by nothing else.

    Attributes:
        right: The network predicts the clip's class.
        keeps: With all else blurred, the class keeps 90 % of its probability.
        falls: With the evidence blurred, it falls to 10 points above chance or lower.
    """

    right: bool
    keeps: bool
    falls: bool

    @property
    def verified(self) -> bool:
        return self.right and self.keeps and self.falls


@dataclass(frozen=True)
class Verified:
    """Clips that a network verifiably decides by their evidence.

    Attributes:
        clips: The verified clips.
        verdicts: Verdicts on all clips that were tried.
    """

    clips: tuple[Known, ...]
    verdicts: tuple[Verdict, ...]


def known_clip(world: MovingEvidence, index: int) -> Known:
    """Clip `index` of a world."""
    one = world.batch(index, 1)
    first, end = map(int, one.windows[0])
    return Known(one.clips[0], int(one.labels[0]), one.masks[0], (first, end))


def dilated(mask: NDArray[np.bool_], radius: int = DILATION) -> NDArray[np.bool_]:
    """A tube made wider by a disc in every frame; the world of the clips wraps around."""
    wider = np.zeros_like(mask)
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            if down**2 + right**2 <= radius**2:
                wider |= np.roll(mask, (down, right), axis=(1, 2))
    return wider


def verify(network: keras.Model, known: Known) -> Verdict:
    """Verifies that a network decides by the evidence: from the tube alone, and not without it.

    The tube is made wider by 2 pixels.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.motion import MovingEvidence
        >>> verify(models.build("c3d-motion"), known_clip(MovingEvidence(seed=1), 0)).right
        True
    """
    tube = dilated(known.mask)[..., None]
    hidden = baselines.baseline(FILL, known.clip)
    shown = [known.clip, np.where(tube, known.clip, hidden), np.where(tube, hidden, known.clip)]
    scorer = Scorer(network, objectives.logit(known.label), batch_size=len(shown))
    classes = scorer.class_scores(np.stack(shown))
    whole, kept, removed = scorer.probabilities(np.stack(shown))
    return Verdict(
        right=int(classes[0].argmax()) == known.label,
        keeps=bool(kept >= KEPT_SHARE * whole),
        falls=bool(removed <= 1 / classes.shape[1] + ABOVE_CHANCE),
    )


def verified_clips(network: keras.Model, world: MovingEvidence, count: int) -> Verified:
    """The first clips of a world for which the network is verified to decide by their evidence.

    Args:
        network: Takes clips `(N, 16, 64, 64, 3)` in [0, 1], and ends in the ten classes.
        world: Generator of the clips.
        count: Number of verified clips. At most 20 times as many are tried, so there may be fewer.
    """
    verified: list[Known] = []
    verdicts: list[Verdict] = []
    for index in range(_TRIES * count):
        known = known_clip(world, index)
        verdicts.append(verify(network, known))
        if verdicts[-1].verified:
            verified.append(known)
        if len(verified) == count:
            break
    return Verified(tuple(verified), tuple(verdicts))
