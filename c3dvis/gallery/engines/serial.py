"""One batch after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c3dvis.gallery.engines import Best
    from c3dvis.gallery.groups import Task
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer


class Serial:
    """The engine of one process: starts and copies nothing."""

    def run(self, renderer: Renderer, tasks: Sequence[Task], best: Best) -> Iterator[Record]:
        for task in tasks:
            yield from renderer.render(task, best.get(task.group.layer, {}))
