"""One unit on the pages."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from c3dvis.gallery.cards import Card
from c3dvis.gallery.forming import FormingClip
from c3dvis.gallery.more_clips import Variant, Variants
from c3dvis.gallery.plan import CLASSES, Unit
from c3dvis.gallery.real import RealClip
from c3dvis.gallery.record import Record
from c3dvis.gallery.trust import Trust
from c3dvis.text import number, visible

# A drift is shown if it explains at least this share of the change between frames.
MIN_DRIFT_SHARE = 1 / 3
# Directions in words and as arrows, clockwise from the right.
_DIRECTIONS = (
    ("right", "→"),
    ("down and right", "↘"),
    ("down", "↓"),
    ("down and left", "↙"),
    ("left", "←"),
    ("up and left", "↖"),
    ("up", "↑"),
    ("up and right", "↗"),
)
# Names of saturated hues, a twelfth of the circle each.
_HUES = "red orange yellow lime green turquoise cyan azure blue violet magenta pink".split()


@dataclass(frozen=True)
class Tile:
    """One unit on a page.

    Attributes:
        unit: The filter or class.
        record: Its record; None if it is not made yet.
        real: Real clips with its highest activation, best first.
        weakest: Real clips with its lowest activation, lowest first.
        card: Its motion card; None if there is none.
        trust: Whether to trust its clip, by real clips; None if unknown.
        more: By kind, more clips of it.
        forming: Its unfinished clip, while it is being made.
        kernel: Path of the picture of its kernel; None if there is none.
    """

    unit: Unit
    record: Record | None
    real: tuple[RealClip, ...] = ()
    weakest: tuple[RealClip, ...] = ()
    card: Card | None = None
    trust: Trust | None = None
    more: Mapping[str, Variants] = field(default_factory=dict)
    forming: FormingClip | None = None
    kernel: str | None = None

    @property
    def name(self) -> str:
        """Such as `filter 7` or `class 3`."""
        kind = "class" if self.unit.layer == CLASSES else "filter"
        return f"{kind} {self.unit.channel}"

    @property
    def description(self) -> str:
        """Such as `filter 7 of conv3b` or `class 3: moving left`."""
        unit = self.unit
        if unit.label:
            return f"{self.name}: {visible(unit.label)}"
        return self.name if unit.layer == CLASSES else f"{self.name} of {visible(unit.layer)}"

    @property
    def gif(self) -> str | None:
        return self._file("gif")

    @property
    def strip(self) -> str | None:
        if self.record is None and self.forming is not None:
            return self.forming.strip
        return self._file("jpg")

    def _file(self, ending: str) -> str | None:
        is_there = self.record and f"{self.unit.channel}.{ending}" in self.record.files
        return self.unit.path(ending) if is_there else None

    @property
    def note(self) -> str:
        """A short warning about the clip, such as a failed step; empty if there is none."""
        record = self.record
        if record is None:
            return "not made yet" if self.forming is None else f"forming: step {self.forming.step}"
        match record.status:
            case "no gradient":
                return "no gradient"
            case "failed":
                return f"failed at step {record.failed_step}"
            case "error":
                return f"not made: {visible(str(record.error))}"
        expected = (None, self.unit.label or str(self.unit.channel))
        if record.predicted_class in expected:
            return ""
        return f"classified as {visible(str(record.predicted_class))}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of its clip."""
        if self.record is None and self.forming is not None:
            return self.forming.shape
        if self.record is None or self.record.shape is None:
            return 1, 1, 1
        frames, height, width, _ = self.record.shape
        return frames, height, width

    @property
    def score(self) -> float | None:
        """The score of its clip; None if there is no clip: a number alone would be misleading."""
        return self.record.score if self.record and self.gif else None

    @property
    def ratio(self) -> float | None:
        """Its score over that of the best real clip, or else of the best held-out one."""
        if self.record is None or self.score is None:
            return None
        if not self.real:
            return self.record.ratio
        best = self.real[0].score
        return None if best <= 0 else self.score / best

    @property
    def best_real(self) -> str:
        """The best real clip's score and name."""
        return f"{number(self.real[0].score)}, {visible(self.real[0].name)}" if self.real else ""

    @property
    def id(self) -> str:
        """Its anchor in the page, whatever else the page shows."""
        return f"{self.unit.folder}-{self.unit.channel}"

    @property
    def rows(self) -> list[tuple[Variant, ...]]:
        """More clips in rows: one row for each kind with several clips, one for all others."""
        several = [one.clips for one in self.more.values() if len(one.clips) > 1]
        single = [clip for one in self.more.values() if len(one.clips) == 1 for clip in one.clips]
        return [*several, tuple(single)] if single else several

    @property
    def is_swatch(self) -> bool:
        """Whether a colour swatch is enough: the clip is one colour and there is nothing else."""
        return bool(self.plain) and not (self.real or self.card or self.more)

    @property
    def plain(self) -> str:
        """Description of a clip of one colour throughout; empty for others."""
        color = self.record.plain_color if self.record and self.gif else None
        return f"plain {_color_name(color)}: no pattern, no motion" if color else ""

    @property
    def drift(self) -> tuple[float, float] | None:
        """Pixels per frame to the right and down, if the clip moves as a whole; otherwise None."""
        record = self.record
        if record is None or self.gif is None or record.drift is None:
            return None
        return record.drift if (record.drift_share or 0) >= MIN_DRIFT_SHARE else None

    @property
    def angle(self) -> float:
        """Direction of its drift in degrees, clockwise from the right."""
        return math.degrees(math.atan2(self.drift[1], self.drift[0])) if self.drift else 0.0

    @property
    def direction(self) -> tuple[str, str]:
        """The direction nearest to its drift, in words and as an arrow; empty without drift."""
        return _DIRECTIONS[round(self.angle / 45) % 8] if self.drift else ("", "")

    @property
    def speed(self) -> float | None:
        """Speed of its drift, in pixels per frame."""
        return math.hypot(*self.drift) if self.drift else None

    @property
    def finding(self) -> str:
        """The measurements on the clip in words; empty if there is nothing to say."""
        if self.plain or not self.drift:
            return self.plain
        return f"drifts {self.direction[0]}, {number(self.speed)} pixels per frame"

    def alt(self, compared: int) -> str:
        """Alternative text of its clip."""
        parts = [self.description[:1].upper() + self.description[1:]]
        if self.score is not None:
            parts.append(f"activation {number(self.score)}")
        if compared and self.ratio is not None:
            kind = "real" if self.real else "held-out"
            parts.append(f"{number(self.ratio)} times the best {kind} clip")
        return ", ".join([*parts, *filter(None, (self.note, self.finding))])

    @property
    def sort_values(self) -> dict[str, str]:
        """Attributes by which the page sorts."""
        record = self.record
        if record is None or self.gif is None:
            return {}
        values = {
            "score": self.score,
            "ratio": self.ratio,
            "motion": self.card.motion_share if self.card else None,
            "change": record.change,
            "speed": self.speed,
            "interpretability": self.trust.made_score if self.trust else None,
        }
        return {f"data-{key}": f"{value:.6g}" for key, value in values.items() if value is not None}


def _color_name(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.15:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.9 else "grey"
    return ("dark " if value < 0.5 else "") + _HUES[round(12 * hue) % 12]
