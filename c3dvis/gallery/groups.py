"""Which units are made at once: shared out once and kept, so that each run shares them out alike.

On processors whose convolutions round differently in other batches, a clip has the same bits only
among as many others, at the same place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from c3dvis.gallery.plan import Section, Unit

# Units of a group where nobody says how many: enough to fill a device.
ON_CPU, ON_GPU = 16, 32


@dataclass(frozen=True)
class Group:
    """Units of one layer that are made one beside the other.

    Attributes:
        units: In order.
        size: Of the largest group that was shared out with it; a smaller one is made in batches of
            the same size, so that one compiled step serves both.
    """

    units: tuple[Unit, ...]
    size: int


@dataclass(frozen=True)
class Task:
    """What is to be made of a group: the least that is given to a worker.

    Attributes:
        group: All its units.
        missing: Those to be made.
    """

    group: Group
    missing: tuple[Unit, ...]

    @property
    def layer(self) -> str:
        return self.group.units[0].layer


def share(units: Sequence[Unit], most: int) -> list[Group]:
    """Shares units of one layer out evenly among the fewest groups of at most `most`."""
    if not units:
        return []
    count = -(-len(units) // most)
    size = -(-len(units) // count)
    return [Group(tuple(units[i : i + size]), size) for i in range(0, len(units), size)]


def grown(
    before: Mapping[str, Sequence[Group]], sections: Iterable[Section], most: int
) -> dict[str, tuple[Group, ...]]:
    """The groups of sections by layer: those there were, and new ones of the units they lack."""
    groups = {}
    for section in sections:
        now = {unit.channel: unit for unit in section.units}
        old = [
            Group(tuple(now.pop(unit.channel) for unit in group.units), group.size)
            for group in before.get(section.layer, ())
        ]
        groups[section.layer] = (*old, *share(list(now.values()), most))
    return groups


def tasks(groups: Mapping[str, Iterable[Group]], missing: Collection[Unit]) -> list[Task]:
    """What is to be made of each group that has missing units, in order."""
    wanted = {(unit.layer, unit.channel): unit for unit in missing}
    made = []
    for group in (group for of_layer in groups.values() for group in of_layer):
        keys = [(unit.layer, unit.channel) for unit in group.units]
        left = tuple(wanted[key] for key in keys if key in wanted)
        if left:
            made.append(Task(group, left))
    return made
