"""The rule that turns scores under changes into a verdict: motion, background or appearance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c3dvis.audit.changes import BLURRED, BLURRED_ACTOR, ONE_FRAME, ORIGINAL, SAME, SWAPPED

if TYPE_CHECKING:
    from c3dvis.audit.result import Summary

__all__ = ["Verdict"]

YES, NO, OPEN = "yes", "no", "can't tell"
# Share of the evidence above which a loss means that the network relies on what was removed.
_HALF = 0.5
# Minimum number of films for meaningful intervals by resampling.
_FEWEST = 5
# Minimum evidence in the original clips: the lower end of its interval must exceed this.
_RECOGNISED = 0.1

RULE = (
    "Evidence is how much more probable a class is for its own clips than for those of other "
    "classes under the same change (or than chance, if there are no others). A loss is the share "
    "of the evidence that a change removes. It is large if its whole 95 % interval is above one "
    "half, and small if all of it is below. Intervals resample films. There is no verdict with "
    f"fewer than {_FEWEST} films, or if the interval of the evidence in the original clips is not "
    f"above {_RECOGNISED}. "
    "A network relies on motion if freezing causes a large loss, both in the mean over frames and "
    "in the one frame with the most confident prediction; it does not if either loss is small. It "
    "relies on the background if the background of another class causes a large loss, and that of "
    "another clip of the same class (if there is one) a small loss; it does not if that of another "
    "class causes a small loss. Without such clips, the blurred background decides. It relies on "
    "the actor's appearance if it does not rely on motion and blurring the actor causes a large "
    "loss; it does not if that loss is small. Otherwise: can't tell. A network that can use either "
    "of two cues loses little without one of them, so it may seem to rely on neither."
)
"""The rule in words."""


@dataclass(frozen=True)
class Verdict:
    """What a network relies on, each "yes", "no" or "can't tell".

    Attributes:
        motion: What moves how.
        background: What is behind the actor.
        appearance: What the actor looks like in a still.
        why: Why there is no verdict; None if there is one.
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
            return f"relies on {' and '.join(features)}"
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
        return Verdict(OPEN, OPEN, OPEN, "it does not recognise the original clips")
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
