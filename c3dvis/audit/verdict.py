"""The rule by which scores under changes become a verdict: motion, background or appearance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c3dvis.audit.changes import BLURRED, BLURRED_ACTOR, ONE_FRAME, ORIGINAL, SAME, SWAPPED

if TYPE_CHECKING:
    from c3dvis.audit.result import Summary

__all__ = ["Verdict"]

YES, NO, OPEN = "yes", "no", "can't tell"
# Share of the evidence from which on a loss says that something is read.
_HALF = 0.5
# Films from which on an interval by resampling them means anything.
_FEWEST = 5
# Evidence that there must surely be in the clips as they are.
_RECOGNISED = 0.1

RULE = (
    "Evidence is how much more probable a class is for its own clips than for those of other "
    "classes under the same change (than chance, where there are no others), and a loss the share "
    "of it that a change takes. A loss is large where its whole 95 % interval is above a half, "
    "small where all of it is below. Intervals resample films; fewer than "
    f"{_FEWEST} films give no verdict, nor does evidence in the clips as they are that is not "
    f"surely above {_RECOGNISED}. "
    "Motion is read where freezing loses much, in the mean over frames and in the one frame of "
    "which the network is surest; it is not where either loses little. The background is read "
    "where that of another class in its place loses much, while that of another clip of the same "
    "class (where there is one) loses little; it is not where another class's loses little. "
    "Without such clips the blurred background decides. The actor's appearance is read where "
    "motion is not, and the blurred actor loses much; it is not where that loses little. All "
    "else: can't tell. A network that can do with either of two things loses little without one, "
    "and so may be said to read neither."
)
"""The rule in words."""


@dataclass(frozen=True)
class Verdict:
    """What a network reads, each "yes", "no" or "can't tell".

    Attributes:
        motion: What moves how.
        background: What is behind the actor.
        appearance: What the actor looks like in a still.
        why: Why nothing can be told; None where it can.
    """

    motion: str
    background: str
    appearance: str
    why: str | None = None

    @property
    def text(self) -> str:
        """The verdict in a few words."""
        read = {
            "motion": self.motion,
            "the background": self.background,
            "the actor's appearance": self.appearance,
        }
        features = [name for name, answer in read.items() if answer == YES]
        if features:
            return f"reads {' and '.join(features)}"
        return "can't tell" if self.why is None else f"can't tell: {self.why}"


def judge(summaries: Mapping[str, Summary]) -> Verdict:
    """The verdict on the summaries, by change, of one class or of all."""
    original = summaries.get(ORIGINAL)
    if original is None:
        return Verdict(OPEN, OPEN, OPEN, "no clip could be read")
    if original.sources < _FEWEST:
        films = "film" if original.sources == 1 else "films"
        return Verdict(OPEN, OPEN, OPEN, f"{original.sources} {films}, fewer than {_FEWEST}")
    if not original.evidence.low > _RECOGNISED:
        return Verdict(OPEN, OPEN, OPEN, "it does not recognise the clips as they are")
    size = {change: _size(summary) for change, summary in summaries.items()}
    motion = _motion(size)
    return Verdict(motion, _background(size), _appearance(size, motion))


def _size(summary: Summary) -> str | None:
    """Whether a loss is "large" or "small"; None where that is open."""
    if summary.loss is None or summary.sources < _FEWEST:
        return None
    if summary.loss.low > _HALF:
        return "large"
    return "small" if summary.loss.high < _HALF else None


def _motion(size: Mapping[str, str | None]) -> str:
    losses = [size.get("freeze"), size.get(ONE_FRAME)]
    return NO if "small" in losses else YES if losses == ["large", "large"] else OPEN


def _background(size: Mapping[str, str | None]) -> str:
    loss = size[SWAPPED] if SWAPPED in size else size.get(BLURRED)
    if loss is None:
        return OPEN
    if loss == "small":
        return NO
    return YES if SAME not in size or size[SAME] == "small" else OPEN


def _appearance(size: Mapping[str, str | None], motion: str) -> str:
    loss = size.get(BLURRED_ACTOR)
    if loss is None:
        return OPEN
    if loss == "small":
        return NO
    return YES if motion == NO else OPEN
