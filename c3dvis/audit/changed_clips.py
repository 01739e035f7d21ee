"""The clips of an audit with their changed versions, and backgrounds of other clips for these."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3dvis.audit.actor import Actor, NoActor
from c3dvis.audit.changes import SAME, SWAPPED, versions
from c3dvis.audit.clip_set import ClipSet

# Backgrounds of a class that are kept, and clips that are read for them.
_KEPT, _READ = 4, 8
# Mean difference of two backgrounds, of a range of 1, from which on they are two.
_DIFFERENT = 0.05


@dataclass(frozen=True, eq=False)
class _Background:
    film: str
    label: int
    picture: NDArray[np.float32]


class ChangedClips:
    """The versions of clips; the same arguments always give the same versions.

    Args:
        clip_set: The clips.
        draws: Number of frozen frames, and of random orders.
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
        others = {} if actor is None else self._other_backgrounds(index, actor)
        return versions(clip, actor, others, draws=self.draws, seed=self.seed)

    def example(self, index: int, change: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A clip, and its version under the first draw of a change."""
        clip, actor, _ = self.clip(index)
        every = self.versions(index, clip, actor)
        return clip, next(version for name, version in every if name == change)

    def _other_backgrounds(self, index: int, actor: Actor) -> dict[str, NDArray[np.float32]]:
        """Backgrounds for a clip, by the name of the change; those that there are.

        Of another film, and unlike the clip's own: clips that are all filmed in one place have no
        other background.
        """
        label, film = self.clip_set.labels[index], self.clip_set.films[index]
        chosen = {}
        for change, is_same in ((SWAPPED, False), (SAME, True)):
            fit = [
                one.picture
                for one in self._backgrounds
                if (one.label == label) is is_same
                and one.film != film
                and np.abs(one.picture - actor.background).mean() > _DIFFERENT
            ]
            if fit:
                draw = np.random.default_rng([self.seed, index, int(is_same)])
                chosen[change] = fit[draw.integers(len(fit))]
        return chosen

    @functools.cached_property
    def _backgrounds(self) -> list[_Background]:
        """The backgrounds of a few clips of each class."""
        labels = self.clip_set.labels
        return [one for label in sorted(set(labels)) for one in self._backgrounds_of(label)]

    def _backgrounds_of(self, label: int) -> list[_Background]:
        own = [i for i, one in enumerate(self.clip_set.labels) if one == label]
        kept: list[_Background] = []
        # Spread over the class, as neighbours in a folder are often of one film.
        for index in own[:: max(1, len(own) // _READ)][:_READ]:
            film = self.clip_set.films[index]
            if len(kept) == _KEPT or film in {one.film for one in kept}:
                continue
            try:
                actor = self.clip_set.actor(index, self.clip_set.clip(index))
            except ValueError:
                continue  # reported where the clip itself is read
            kept.append(_Background(film, label, actor.background))
        return kept
