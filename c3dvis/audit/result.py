"""The result of an audit: scores of each clip and change, means with intervals, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from c3dvis.audit.changes import CHANGES, ORIGINAL
from c3dvis.audit.verdict import Verdict, judge
from c3dvis.intervals import Interval, bootstrap_ratio
from c3dvis.text import unknown

__all__ = ["Audit", "ClipScores", "Score", "Summary"]


class Score(NamedTuple):
    """A network's score of one clip under one change, averaged over draws.

    Attributes:
        probability: Probability of the clip's class.
        logit: Logit of the clip's class.
        correct: Share of the draws in which no other class has a higher score: 0 or 1 for one draw.
        predicted: Number of the class of the highest score, in most draws.
    """

    probability: float
    logit: float
    correct: float
    predicted: int


@dataclass(frozen=True)
class ClipScores:
    """One clip.

    Attributes:
        name: Name of the clip.
        source: Name of its film.
        label: Number of its class.
        scores: By change; those of background and actor only where the clip has such.
        no_actor: Why actor and background can't be separated; None if they can.
    """

    name: str
    source: str
    label: int
    scores: Mapping[str, Score]
    no_actor: str | None = None


@dataclass(frozen=True)
class Summary:
    """Clips of one class, or all of them, under one change.

    Intervals are 95 % intervals over films.

    Attributes:
        label: Number of the class; None means all classes.
        change: One of `c3dvis.audit.changes.CHANGES`.
        clips: How many have a score under this change.
        sources: Number of films.
        accuracy: Share of clips whose class has the highest score.
        probability: Mean probability of the class.
        logit: Mean logit of the class.
        evidence: Mean probability of the class for its own clips minus that for clips of other
            classes under the same change; 0 for a network with constant output.
        loss: Share of the evidence in the original clips that the change removes; None if they
            have no evidence.
    """

    label: int | None
    change: str
    clips: int
    sources: int
    accuracy: Interval
    probability: Interval
    logit: Interval
    evidence: Interval
    loss: Interval | None


@dataclass(frozen=True, eq=False)
class Audit:
    """The scores of one network for a folder of clips and their changed versions.

    Attributes:
        network: Name of the network.
        class_names: Names of all its classes.
        clips: The clips that could be read.
        failed: Name of each of the others, and why.
        elsewhere: By change and number of a class, its mean probability for the clips of other
            classes; chance, one over the number of classes, stands for what is missing.
    """

    network: str
    class_names: tuple[str, ...]
    clips: tuple[ClipScores, ...]
    failed: tuple[tuple[str, str], ...] = ()
    elsewhere: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    # Summaries by change and class: resampling takes seconds, and pages ask for each several times.
    _summaries: dict[tuple[str, int | None], Summary | None] = field(
        default_factory=dict, init=False, repr=False
    )

    def __repr__(self) -> str:
        return (
            f"Audit({self.network!r}, {len(self.clips)} clips of {len(self.labels)} classes: "
            f"{self.verdict().text})"
        )

    @property
    def chance(self) -> float:
        """One over the number of the network's classes."""
        return 1 / len(self.class_names)

    @property
    def labels(self) -> list[int]:
        """Numbers of the classes that have clips, in order."""
        return sorted({clip.label for clip in self.clips})

    def summary(self, change: str, label: int | None = None) -> Summary | None:
        """Means of one class under one change; None where no clip has a score.

        Args:
            change: One of `c3dvis.audit.changes.CHANGES`.
            label: Number of the class; None means all classes.

        Returns:
            Means and intervals.

        Raises:
            ValueError: An unknown change.
        """
        if change not in CHANGES:
            raise unknown("a change", change, CHANGES)
        if (change, label) not in self._summaries:
            self._summaries[change, label] = self._summarized(change, label)
        return self._summaries[change, label]

    def _summarized(self, change: str, label: int | None) -> Summary | None:
        chosen = [
            clip
            for clip in self.clips
            if change in clip.scores and (label is None or clip.label == label)
        ]
        if not chosen:
            return None
        films = [clip.source for clip in chosen]
        scores = np.array([clip.scores[change][:3] for clip in chosen], np.float64)
        before = np.array([self._evidence(clip, ORIGINAL) for clip in chosen])
        after = np.array([self._evidence(clip, change) for clip in chosen])
        ones = np.ones(len(chosen))
        probability, logit, accuracy = (bootstrap_ratio(column, ones, films) for column in scores.T)
        return Summary(
            label=label,
            change=change,
            clips=len(chosen),
            sources=len(set(films)),
            accuracy=accuracy,
            probability=probability,
            logit=logit,
            evidence=bootstrap_ratio(after, ones, films),
            loss=bootstrap_ratio(before - after, before, films) if before.sum() > 0 else None,
        )

    def summaries(self, label: int | None = None) -> dict[str, Summary]:
        """The summary of every change that has scores.

        Args:
            label: Number of the class; None means all classes.

        Returns:
            Summaries by change.
        """
        every = {change: self.summary(change, label) for change in CHANGES}
        return {change: one for change, one in every.items() if one is not None}

    def verdict(self, label: int | None = None) -> Verdict:
        """What the network relies on in clips of one class, or of all.

        Args:
            label: Number of the class; None means all classes.

        Returns:
            The verdict, by the rule in `c3dvis.audit.verdict.RULE`.
        """
        return judge(self.summaries(label))

    def _evidence(self, clip: ClipScores, change: str) -> float:
        elsewhere = self.elsewhere.get(change, {}).get(clip.label, self.chance)
        return clip.scores[change].probability - elsewhere
