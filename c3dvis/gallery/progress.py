"""Progress of a gallery: a bar on a terminal, otherwise one line per layer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import keras

from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.record import Record
from c3dvis.text import counted

# Takes one line of text.
Report = Callable[[str], None]


class Progress:
    """A bar, or one line for each finished layer; and one line for each unit that fails."""

    def __init__(
        self, sections: Sequence[Section], missing: Sequence[Unit], report: Report, *, bar: bool
    ):
        self.titles = {section.layer: section.title for section in sections}
        self.total = Counter(unit.layer for unit in missing)
        self.remaining = Counter(self.total)
        self.report, self.layer_started = report, time.monotonic()
        self.started = self.layer_started
        self.bar = keras.utils.Progbar(len(missing), unit_name="clip") if bar else None

    def layer_done(self, record: Record) -> bool:
        """Counts one more record; returns whether it was the last of its layer."""
        layer = record.layer
        self.remaining[layer] -= 1
        if self.bar is not None:
            self.bar.add(1)
        message = failure(record)
        if message:
            self.report(f"{self.titles[layer]} {record.channel}: {message}")
        if self.remaining[layer]:
            return False
        now = time.monotonic()
        if self.bar is None:
            self.report(
                f"{self.titles[layer]}: {counted(self.total[layer], 'clip')}, "
                f"{now - self.layer_started:.1f} s{self._time_left(now)}"
            )
        self.layer_started = now
        return True

    def _time_left(self, now: float) -> str:
        """Estimated time for the remaining clips, at the average time per clip so far."""
        total, remaining = self.total.total(), self.remaining.total()
        if not remaining:
            return ""
        seconds = (now - self.started) * remaining / (total - remaining)
        return f"; about {f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'} left"


def failure(record: Record) -> str:
    """What went wrong with a unit; empty if nothing did."""
    match record.status:
        case "ok":
            return ""
        case "failed":
            return f"failed at step {record.failed_step}; its last finite clip is kept"
        case "no gradient":
            return "zero gradient at the initial clip"
    return f"not made: {record.error}"
