"""The clips of an audit with all their changed versions."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from c3dvis.audit.actor import Actor, NoActor
from c3dvis.audit.backgrounds import Backgrounds
from c3dvis.audit.changes import versions
from c3dvis.audit.clip_set import ClipSet


class ChangedClips:
    """The versions of clips; the same arguments always give the same versions.

    Args:
        clip_set: The clips.
        draws: Frames that are frozen, and random orders.
        seed: Seed of the random orders and of the choice of backgrounds.
    """

    def __init__(self, clip_set: ClipSet, *, draws: int, seed: int):
        self.clip_set, self.draws, self.seed = clip_set, draws, seed

    def clip(self, index: int) -> tuple[NDArray[np.float32], Actor | None, str | None]:
        """A clip, its actor, and if there is none, why; ValueError if it can't be read."""
        clip = self.clip_set.clip(index)
        try:
            return clip, self.clip_set.actor(index, clip), None
        except NoActor as error:
            return clip, None, str(error)

    def versions(
        self, index: int, clip: NDArray[np.float32], actor: Actor | None
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The clip and its changed versions, each with the name of the change."""
        others = {} if actor is None else self._backgrounds.of(index, actor)
        return versions(clip, actor, others, draws=self.draws, seed=self.seed)

    def example(self, index: int, change: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A clip, and its version under the first draw of a change."""
        clip, actor, _ = self.clip(index)
        every = self.versions(index, clip, actor)
        return clip, next(version for name, version in every if name == change)

    @functools.cached_property
    def _backgrounds(self) -> Backgrounds:
        return Backgrounds(self.clip_set, self.seed)
