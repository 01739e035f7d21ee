"""Runs over batches of units: steps and seeds, and the batch size, halved if memory runs out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from c3dvis.maximize.defaults import MOST_STEPS
from c3dvis.memory import is_out_of_memory
from c3dvis.objectives import Objective

if TYPE_CHECKING:
    from c3dvis.maximize.maximizer import Maximizer

Result = TypeVar("Result")

# What a clip's random numbers are drawn for.
START, TRANSFORMS = 1, 2


def in_batches(
    maximizer: Maximizer, count: int, run: Callable[[slice], list[Result]]
) -> Iterator[Result]:
    """The results of a run for each unit, in order.

    Args:
        maximizer: Its `batch_size` is the number of units per run. It is halved where memory
            does not hold them, and stays so.
        count: Number of units.
        run: Function of the slice of units of one batch that returns one result for each of them.

    Raises:
        MemoryError: Memory does not hold the smallest batch.
    """
    first = 0
    while first < count:

        def one_batch(first: int = first) -> list[Result]:
            size = count if maximizer.batchwise else maximizer.batch_size
            return run(slice(first, first + size))

        results = halving(maximizer, one_batch)
        first += len(results)
        yield from results


def halving(
    maximizer: Maximizer, work: Callable[[], Result], *, batch_size: int | None = None
) -> Result:
    """Returns `work()`; halves the maximizer's batch size and repeats while memory runs out.

    Args:
        maximizer: Its batch size is halved.
        work: Uses the maximizer.
        batch_size: Initial batch size; None means the maximizer's own.

    Raises:
        MemoryError: Memory does not hold the smallest batch.
    """
    while True:
        try:
            if batch_size is not None:
                maximizer.allocate(batch_size)
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            size = maximizer.batch_size
            if size <= maximizer.min_batch_size:
                raise MemoryError(
                    f"Expected memory for {size} clips of shape {maximizer.clip_shape} at once, "
                    "the smallest possible batch. Use a smaller size= or fewer frames= if the "
                    "network accepts them, dtype='bfloat16', or an earlier layer."
                ) from error
            batch_size = max(size // 2, maximizer.min_batch_size)


def check(steps: int, seed: int) -> None:
    """Raises a ValueError for steps below 1 or above `MOST_STEPS`, or a negative seed."""
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        several = isinstance(steps, (list, tuple, range))
        way = "; snapshots= gives the clips after several numbers of steps" if several else ""
        raise ValueError(
            f"Expected a whole number of steps, 1 step or more. Received: {steps!r}{way}."
        )
    if steps > MOST_STEPS:
        raise ValueError(f"Expected {MOST_STEPS:,} steps at most. Received: {steps:,}.")
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"Expected a whole number, a seed of 0 or more. Received: {seed!r}.")


def clip_seeds(
    objective: Objective, unit_indices: np.ndarray, seed: int, *, stream: int
) -> list[list[int]]:
    """Seeds for `np.random.default_rng`, one per clip, of its unit and the run's seed alone.

    Args:
        objective: Its layers are part of the seeds.
        unit_indices: `(N, terms)`, the clips' units.
        seed: Seed of the run.
        stream: What is drawn: `START` or `TRANSFORMS`.
    """
    layers = zlib.crc32("\0".join(objective.layers).encode())
    units = [[int(index) for index in row] for row in unit_indices]
    if objective.batchwise:
        # Compared clips have different starts, even of one unit, and the same transforms.
        units = [[] if stream == TRANSFORMS else [*row, i] for i, row in enumerate(units)]
    return [[seed, stream, layers, *unit] for unit in units]
