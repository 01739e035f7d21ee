"""Where units are made: one after the other in this process, or on the workers of a Ray cluster.

Units depend on nothing but the settings, so any engine makes the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from c3dvis.gallery import plan
from c3dvis.gallery.plan import Unit
from c3dvis.text import unknown

if TYPE_CHECKING:
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer
    from c3dvis.gallery.settings import Settings

# Where nobody says how many: enough that tracing a layer's step pays.
_CLIPS_A_TASK = 8

# Layer to channel to best score of the held-out clips.
Best = Mapping[str, Mapping[int, float | None]]


class Engine(Protocol):
    """Makes the files of units and yields their records, in any order."""

    def run(self, renderer: Renderer, units: Sequence[Unit], best: Best) -> Iterator[Record]:
        """Renders `units`, which are sorted by layer."""


class Serial:
    """One unit after the other in this process."""

    def run(self, renderer: Renderer, units: Sequence[Unit], best: Best) -> Iterator[Record]:
        for group in plan.groups(units, size=len(units) or 1):
            yield from renderer.render(group, best.get(group[0].layer, {}))


class Ray:
    """Groups of units as tasks on a Ray cluster, or on this machine's cores where there is none.

    The folder and the files of weights must lie where all workers reach them under the same path.
    `RAY_ADDRESS` names a running cluster.
    """

    def __init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise ValueError(
                "Expected Ray to be installed for the ray engine: pip install 'c3dvis[ray]'. "
                "Received: a Python without it."
            ) from None
        self.ray = ray

    def run(self, renderer: Renderer, units: Sequence[Unit], best: Best) -> Iterator[Record]:
        ray, started = self.ray, not self.ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            task = ray.remote(num_cpus=1, num_gpus=gpus)(_render_group)
            out, settings = renderer.out.resolve(), renderer.settings.absolute()
            waiting = [
                task.remote(settings, out, group, best.get(group[0].layer, {}))
                for group in plan.groups(units, size=renderer.settings.batch_size or _CLIPS_A_TASK)
            ]
            while waiting:
                done, waiting = ray.wait(waiting)
                for records in ray.get(done):
                    yield from records
        finally:
            if started:
                ray.shutdown()


ENGINES: dict[str, Callable[[], Engine]] = {"serial": Serial, "ray": Ray}


def build(name: str) -> Engine:
    """An engine by its name.

    Raises:
        ValueError: If there is none of that name, or it needs what is not installed.
    """
    if name not in ENGINES:
        raise unknown("an engine", name, ENGINES)
    return ENGINES[name]()


# The renderer of a worker process, kept from one task to the next: loading takes seconds.
_kept: list[tuple[Settings, Path, Renderer]] = []


def _render_group(
    settings: Settings, out: Path, group: Sequence[Unit], best: Mapping
) -> list[Record]:
    from c3dvis.gallery.render import Renderer

    if not _kept or _kept[0][:2] != (settings, out):
        _kept[:] = [(settings, out, Renderer(settings, out))]
    return list(_kept[0][2].render(group, best))
