"""Which units are made in one batch: decided once and kept, so that every run makes the same ones.

On some processors convolutions round differently in other batches: a clip then has the same bits
only in a batch of the same size and at the same index.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from c3dvis.gallery.plan import Section, Unit

# Default number of units in a group: enough to fill a device.
ON_CPU, ON_GPU = 16, 32


@dataclass(frozen=True)
class Group:
    """Units of one layer that are made in one batch.

    Attributes:
        units: The units, in order.
        size: Batch size; it can exceed the number of units, so that one compiled step serves all
            groups of a layer.
    """

    units: tuple[Unit, ...]
    size: int

    @property
    def layer(self) -> str:
        return self.units[0].layer


@dataclass(frozen=True)
class Task:
    """The smallest piece of work of a worker: the missing units of one group.

    Attributes:
        group: The whole group.
        missing: Its units that are not finished.
    """

    group: Group
    missing: tuple[Unit, ...]


def split(units: Sequence[Unit], max_size: int) -> list[Group]:
    """Splits units of one layer evenly into the fewest groups of at most `max_size`."""
    if not units:
        return []
    count = -(-len(units) // max_size)
    size = -(-len(units) // count)
    return [Group(tuple(units[i : i + size]), size) for i in range(0, len(units), size)]


def extend(
    before: Mapping[str, Sequence[Group]], sections: Iterable[Section], max_size: int
) -> dict[str, tuple[Group, ...]]:
    """The groups of sections by layer: the existing ones, and new ones for the other units."""
    groups = {}
    for section in sections:
        ungrouped = {unit.channel: unit for unit in section.units}
        old = [
            Group(tuple(ungrouped.pop(unit.channel) for unit in group.units), group.size)
            for group in before.get(section.layer, ())
        ]
        groups[section.layer] = (*old, *split(list(ungrouped.values()), max_size))
    return groups


def tasks(groups: Mapping[str, Iterable[Group]], missing: Collection[Unit]) -> list[Task]:
    """A task for each group that has missing units, in order."""
    wanted = set(missing)
    listed = []
    for group in itertools.chain.from_iterable(groups.values()):
        units = tuple(unit for unit in group.units if unit in wanted)
        if units:
            listed.append(Task(group, units))
    return listed
