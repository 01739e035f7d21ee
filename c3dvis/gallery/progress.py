"""How far a gallery is: a bar on a terminal, else a line a layer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import keras

from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.record import Record

# Gets one line.
Report = Callable[[str], None]


class Progress:
    """A bar, or one line a layer when its last unit is there; and one line a unit that fails."""

    def __init__(
        self, sections: Sequence[Section], missing: Sequence[Unit], report: Report, *, bar: bool
    ):
        self.titles = {section.layer: section.title for section in sections}
        self.asked = Counter(unit.layer for unit in missing)
        self.left = Counter(self.asked)
        self.report, self.since = report, time.monotonic()
        self.began = self.since
        self.bar = keras.utils.Progbar(len(missing), unit_name="clip") if bar else None

    def layer_done(self, record: Record) -> bool:
        """Reports one more record; returns whether it was its layer's last."""
        layer = record.layer
        self.left[layer] -= 1
        if self.bar is not None:
            self.bar.add(1)
        message = outcome(record)
        if message:
            self.report(f"{self.titles[layer]} {record.channel}: {message}")
        if self.left[layer]:
            return False
        now = time.monotonic()
        if self.bar is None:
            self.report(
                f"{self.titles[layer]}: {self.asked[layer]} clips, {now - self.since:.1f} s"
                + self._time_left(now)
            )
        self.since = now
        return True

    def _time_left(self, now: float) -> str:
        """About how long the clips that are left take, at the pace of those that are made."""
        asked, left = self.asked.total(), self.left.total()
        if not left:
            return ""
        seconds = (now - self.began) * left / (asked - left)
        return f"; about {f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'} left"


def outcome(record: Record) -> str:
    """What went wrong; empty where nothing did."""
    match record.status:
        case "ok":
            return ""
        case "failed":
            return f"failed at step {record.failed_step}, its last finite clip is kept"
        case "no gradient":
            return "zero gradient at the initial clip"
    return f"not made: {record.error}"
