"""Where units are made: in this process, in several, or on the workers of a Ray cluster.

Units depend on nothing but the settings, so any engine makes the same files. A file here is an
engine; `pool` is what those with workers share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from c3dvis.text import unknown

if TYPE_CHECKING:
    from c3dvis.gallery.groups import Task
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer

# Layer to channel to best score of the held-out clips.
Best = Mapping[str, Mapping[int, float | None]]


class Engine(Protocol):
    """Makes the files of units and yields their records, in any order."""

    def run(self, renderer: Renderer, tasks: Sequence[Task], best: Best) -> Iterator[Record]:
        """Renders what is missing.

        Raises:
            OSError: If files cannot be written, or the workers cannot be reached any longer.
            ValueError: If a worker cannot load the network, or does not see the folder.
        """


# The engines, and the options that they do not take.
ENGINES = {"serial": ("workers", "address"), "processes": ("address",), "ray": ()}


def check(name: str, *, workers: int | None = None, address: str | None = None) -> None:
    """Refuses what `build` does not take, without loading an engine.

    Raises:
        ValueError: If the name is unknown, or the engine does not take one of the arguments.
    """
    if name not in ENGINES:
        raise unknown("an engine", name, ENGINES)
    given = {"workers": workers, "address": address}
    for option in ENGINES[name]:
        value = given[option]
        if value is not None:
            raise ValueError(
                f"Expected an engine that accepts --{option}. Received: --{option} {value} "
                f"with the engine {name}."
            )


def build(name: str, *, workers: int | None = None, address: str | None = None) -> Engine:
    """An engine by its name.

    Args:
        name: One of `ENGINES`.
        workers: Maximum number of workers of "processes" and "ray"; None means one per device.
        address: `HOST:PORT` of a Ray cluster; None means RAY_ADDRESS, or this machine.

    Raises:
        ValueError: If the name is unknown, the engine needs a package that is not installed, or it
            does not take one of the arguments.
    """
    check(name, workers=workers, address=address)
    if name == "serial":
        from c3dvis.gallery.engines.serial import Serial

        return Serial()
    if name == "processes":
        from c3dvis.gallery.engines.processes import Processes

        return Processes(workers)
    from c3dvis.gallery.engines.ray import Ray

    return Ray(workers, address)
