"""The scheduling of tasks among workers, shared by engines with workers.

If a worker dies, its task is tried again, as the cause may be the unit or something else. After a
second death each of its units is tried alone, and a unit whose worker dies again is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from c3dvis.gallery.engines.worker import Answer, Recipe
from c3dvis.gallery.folder import existing
from c3dvis.gallery.groups import Group, Task

if TYPE_CHECKING:
    from c3dvis.gallery.engines import Best
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer

# Number of times that a task is tried.
_TRIES = 2
# Number of consecutive workers that may die before they are ready; then the run fails.
_FALSE_STARTS = 3


class Workers(Protocol):
    """Workers of one kind, numbered from 0."""

    count: int

    def start(self, number: int) -> None:
        """Starts a worker, also to replace one that died; it answers "ready" later."""

    def send(self, number: int, task: Task, best: Best) -> None:
        """Sends a task to a worker that is ready."""

    def wait(self) -> tuple[int, Answer]:
        """The next answer of any worker."""

    def close(self) -> None:
        """Ends all of them."""


@dataclass(frozen=True)
class _Attempt:
    task: Task
    number: int = 1

    @property
    def layer(self) -> str:
        return self.task.group.layer


def recipe(renderer: Renderer) -> Recipe:
    """What workers need to make the clips of a renderer."""
    settings = renderer.settings
    return Recipe(settings, settings.absolute(), renderer.out.resolve(), renderer.identity)


def run(
    workers: Workers, renderer: Renderer, tasks: Sequence[Task], best: Best
) -> Iterator[Record]:
    """Distributes tasks until all are done; yields records as they are made.

    Raises:
        OSError: If files cannot be written, or workers cannot start.
        ValueError: If a worker cannot load the network, or does not see the folder.
    """
    waiting = [_Attempt(task) for task in tasks]
    ready: dict[int, str | None] = {}
    busy: dict[int, _Attempt] = {}
    false_starts = 0
    try:
        for number in range(min(workers.count, len(tasks))):
            workers.start(number)
        while waiting or busy:
            for number in sorted(set(ready) - set(busy)):
                if waiting:
                    busy[number] = _next(waiting, ready[number], busy.values())
                    ready[number] = busy[number].layer
                    workers.send(number, busy[number].task, best)
            number, answer = workers.wait()
            match answer.kind:
                case "ready":
                    ready[number], false_starts = None, 0
                case "made":
                    assert answer.record is not None
                    busy[number] = _without(busy[number], answer.record)
                    yield answer.record
                case "done":
                    del busy[number]
                case "refused":
                    raise ValueError(answer.message)
                case "failed":
                    raise OSError(answer.message)
                case "died":
                    false_starts += number not in ready
                    if false_starts == _FALSE_STARTS:
                        raise OSError(f"workers die before they are ready: {answer.message}")
                    ready.pop(number, None)
                    if number in busy:
                        yield from _after_death(renderer, busy.pop(number), waiting, answer.message)
                    if waiting:
                        workers.start(number)
    finally:
        workers.close()


def _next(waiting: list[_Attempt], layer: str | None, busy) -> _Attempt:
    """Takes the best task for a worker: of its own layer, which is compiled, or else of a layer
    without a worker."""
    busy_layers = {one.layer for one in busy}
    own = [one for one in waiting if one.layer == layer]
    free = [one for one in waiting if one.layer not in busy_layers]
    attempt = (own or free or waiting)[0]
    waiting.remove(attempt)
    return attempt


def _without(one: _Attempt, record: Record) -> _Attempt:
    left = tuple(unit for unit in one.task.missing if unit.channel != record.channel)
    return replace(one, task=replace(one.task, missing=left))


def _after_death(
    renderer: Renderer, one: _Attempt, waiting: list[_Attempt], reason: str
) -> Iterator[Record]:
    """Records of the units finished before the worker died; the others are queued again or set
    aside."""
    records = existing(renderer.out, one.task.missing, identity=renderer.identity)
    # A failure is made again by `--retry-failed`: it may be of an earlier run.
    finished = {unit: record for unit, record in records.items() if not record.is_failure}
    yield from finished.values()
    left = [unit for unit in one.task.missing if unit not in finished]
    if not left:
        return
    if one.number < _TRIES:
        waiting.insert(0, _Attempt(replace(one.task, missing=tuple(left)), one.number + 1))
    elif len(one.task.group.units) > 1:
        waiting[:0] = [_Attempt(Task(Group((unit,), 1), (unit,)), _TRIES) for unit in left]
    else:
        message = f"given up after {_TRIES} tries: {reason}"
        for unit in left:
            yield renderer.write_error(unit, message, cause=message)
