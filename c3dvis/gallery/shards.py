"""Shards: several runs that write to one folder at the same time, each a share of its units.

The runs do not communicate. Each holds its shard's lock in the shared folder, which the system
frees when a run ends, even if it is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from c3dvis.output_folder import InUse, take_lock

Item = TypeVar("Item")

# Seconds for which a shard waits for others that are starting or ending; neither takes long.
WAIT = 120
_LOCK = re.compile(r"\.shard-(\d+)-of-(\d+)\.lock")
# Variables of a Slurm array job: number of this task, lowest number, number of tasks.
_SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
_SLURM_STEP = "SLURM_ARRAY_TASK_STEP"


@dataclass(frozen=True)
class Shard:
    """A share of the work.

    Attributes:
        number: Number of the shard, from 1.
        count: Number of all shards.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th item, so that each shard gets some of each layer.

        >>> Shard(2, 3).share("abcdefgh")
        ['b', 'e', 'h']
        """
        return list(items[self.number - 1 :: self.count])


def parse(text: str) -> Shard:
    """The shard of a text such as "3/16"; "slurm" reads the variables of a Slurm array job.

    Raises:
        ValueError: If the text is not a shard, or the variables are missing.
    """
    if text == "slurm":
        return _of_slurm()
    number, slash, count = text.partition("/")
    given = (number, count)
    if not slash or not all(n.isascii() and n.isdigit() for n in given):
        raise ValueError(
            f"Expected a shard such as 3/16, the third of sixteen, or slurm. Received: {text!r}."
        )
    if not 1 <= int(number) <= int(count):
        last = f"{int(count)}/{int(count)}"
        raise ValueError(f"Expected a shard from 1/{int(count)} to {last}. Received: {text!r}.")
    return Shard(int(number), int(count))


@contextlib.contextmanager
def held(folder: Path, shard: Shard) -> Iterator[None]:
    """Holds a shard's lock; the caller must hold the folder's own lock.

    Raises:
        InUse: If another run has the same shard, or shards of another count are running.
    """
    for other in running(folder):
        if other.count != shard.count:
            raise InUse(
                f"Expected one of {other.count} shards, as {other} is running in {folder}. "
                f"Received: {shard}; wait for the others, or give --shard .../{other.count}."
            )
    lock = take_lock(folder / f".shard-{shard.number}-of-{shard.count}.lock")
    if lock is None:
        raise InUse(
            f"Expected a shard that no other run has. Received: {shard}, which is running in "
            f"{folder}; give each run its own number."
        )
    try:
        yield
    finally:
        lock.release()


def refuse_running(folder: Path) -> None:
    """Refuses a run of the whole gallery while shards are running; needs the folder's own lock.

    Raises:
        InUse: With the shards that are running.
    """
    others = running(folder)
    if others:
        raise InUse(
            f"Expected a folder that no other run is writing. Received: {folder}, where the shards "
            f"{', '.join(map(str, others))} are running; wait for them, or give --shard."
        )


def running(folder: Path) -> list[Shard]:
    """The shards whose lock is held."""
    shards = []
    for path in sorted(folder.glob(".shard-*.lock")):
        match = _LOCK.fullmatch(path.name)
        if match is None:
            continue
        lock = take_lock(path)
        if lock is None:
            shards.append(Shard(int(match[1]), int(match[2])))
        else:
            lock.release()
            path.unlink(missing_ok=True)  # of a run that has ended
    return shards


def _of_slurm() -> Shard:
    try:
        number, lowest, count = (int(os.environ[name]) for name in _SLURM)
        step = int(os.environ.get(_SLURM_STEP, "1"))
        shard = Shard((number - lowest) // step + 1, count)
    except (KeyError, ValueError, ZeroDivisionError):
        raise ValueError(
            f"Expected {', '.join(_SLURM)}, which Slurm sets in an array (sbatch --array). "
            f"Received: {', '.join(f'{n}={os.environ.get(n)!r}' for n in _SLURM)}."
        ) from None
    if not 1 <= shard.number <= shard.count:
        raise ValueError(
            "Expected an array of consecutive numbers, such as --array=1-16. Received: "
            f"task {number} of {count} from {lowest}; give --shard K/N."
        )
    return shard
