"""The workers of a Ray cluster, or of this machine where no cluster is named.

The folder and the files of weights must lie where all workers reach them under the same path.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from c3dvis.gallery.engines import pool
from c3dvis.gallery.engines.worker import Answer, Recipe, Worker

if TYPE_CHECKING:
    from c3dvis.gallery.engines import Best
    from c3dvis.gallery.groups import Task
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer

# Seconds until an address that does not answer is given up, and between two looks at the cluster.
_PATIENCE = 5
_LOOK = 2
# Looks in a row at which a cluster does not answer until it counts as gone.
_LOOKS = 3
# What Ray sets in its workers by itself, and a process that the user starts does not have: with
# other threads a clip is rounded otherwise.
_OWN = "OMP_NUM_THREADS"


class Ray:
    """The engine of a Ray cluster.

    Args:
        workers: Most at once; None is one a GPU of the cluster, or one a core where it has none.
        address: `HOST:PORT` of its head; None is that of RAY_ADDRESS, or this machine alone.
    """

    def __init__(self, workers: int | None = None, address: str | None = None):
        try:
            import ray
        except ImportError:
            raise ValueError(
                "Expected Ray to be installed for the ray engine: pip install 'c3dvis[ray]'. "
                "Received: a Python without it."
            ) from None
        self.ray, self.workers = ray, workers
        self.address = os.environ.get("RAY_ADDRESS") if address is None else address
        if self.address is not None:
            _check(self.address)

    def run(self, renderer: Renderer, tasks: Sequence[Task], best: Best) -> Iterator[Record]:
        if not tasks:
            return
        started = not self.ray.is_initialized()
        if started:
            self._connect()
        try:
            workers = _Actors(
                self.ray, pool.recipe(renderer, elsewhere=True), self.workers, self.address
            )
            yield from pool.run(workers, renderer, tasks, best)
        except self.ray.exceptions.RayError as error:
            raise OSError(f"{_where(self.address)} failed: {_reason(error)}") from error
        finally:
            if started and (self.address is None or _answers(self.address)):
                self.ray.shutdown()

    def _connect(self) -> None:
        address = "local" if self.address is None else self.address
        try:
            self.ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises that itself, where the machine is too busy
            if self.address is None:
                raise OSError(f"Ray did not start on this machine: {_reason(error)}") from error
            raise ValueError(
                f"Expected a Ray cluster of this version of Ray and Python, to which this user may "
                f"connect (see RAY_AUTH_MODE). Received: {address}, which says: {error}"
            ) from None


class _Actors:
    """One actor a worker, on whatever machine Ray finds for it."""

    def __init__(self, ray: Any, recipe: Recipe, count: int | None, address: str | None):
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self.ray, self.recipe, self.address = ray, recipe, address
        self.count = (gpus or int(resources.get("CPU", 1))) if count is None else count
        self._actor = ray.remote(num_cpus=1, num_gpus=min(gpus, 1), max_restarts=0)(Actor)
        self._actors: dict[int, Any] = {}
        # What a worker was asked: to be ready, or for the answers to a task.
        self._asked: dict[Any, int] = {}
        self._silent = 0

    def start(self, number: int) -> None:
        self._actors[number] = self._actor.remote(self.recipe, os.environ.get(_OWN))
        self._asked[self._actors[number].ready.remote()] = number

    def send(self, number: int, task: Task, best: Best) -> None:
        answer = self._actors[number].answer.options(num_returns="streaming")
        self._asked[answer.remote(task, best.get(task.layer, {}))] = number

    def wait(self) -> tuple[int, Answer]:
        while True:
            done, _ = self.ray.wait(list(self._asked), num_returns=1, timeout=_LOOK)
            if done:
                self._silent = 0
                answer = self._answer(done[0])
                if answer is not None:
                    return answer
            else:
                self._look()

    def _answer(self, asked: Any) -> tuple[int, Answer] | None:
        number = self._asked[asked]
        try:
            if isinstance(asked, self.ray.ObjectRef):
                self.ray.get(asked)
                del self._asked[asked]
                return number, Answer("ready")
            return number, self.ray.get(next(asked))
        except StopIteration:  # "done" was said before
            del self._asked[asked]
            return None
        except self.ray.exceptions.RayError as error:
            del self._asked[asked]
            actor = self._actors.pop(number)
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.kill(actor)
            return number, Answer("died", message=_reason(error))

    def _look(self) -> None:
        """Gives the cluster up once it has not answered, or had no place here, for a while."""
        answers = self.address is None or _answers(self.address)
        self._silent = 0 if answers and _in_time(self._node_lives) else self._silent + 1
        if self._silent == _LOOKS:
            raise OSError(f"{_where(self.address)} does not answer any longer")

    def _node_lives(self) -> bool:
        """Whether Ray's process on this machine, through which all goes, has not ended."""
        own = self.ray.get_runtime_context().get_node_id()
        try:
            return any(node["NodeID"] == own and node["Alive"] for node in self.ray.nodes())
        except self.ray.exceptions.RayError:
            return False

    def close(self) -> None:
        if self._silent:
            return  # it would wait for the cluster
        for actor in self._actors.values():
            self.ray.kill(actor)
        self._actors.clear()


class Actor:
    """A worker as Ray runs it."""

    def __init__(self, recipe: Recipe, threads: str | None):
        if threads is None:
            os.environ.pop(_OWN, None)
        else:
            os.environ[_OWN] = threads
        from c3dvis.command_line import load_keras

        load_keras()
        self._worker = Worker(recipe)

    def ready(self) -> None:
        """Returns once it has started."""

    def answer(self, task: Task, best: Any) -> Iterator[Answer]:
        """Yields the answers to a task."""
        yield from self._worker.answer(task, best)


def _where(address: str | None) -> str:
    return "the Ray cluster " + ("on this machine" if address is None else f"at {address}")


def _check(address: str) -> None:
    """Refuses an address at which nobody answers, before Ray tries for minutes."""
    if not _answers(address):
        raise ValueError(
            "Expected the address of a running Ray cluster, HOST:PORT as `ray start` prints it. "
            f"Received: {address!r}, where nobody answers."
        )


def _answers(address: str) -> bool:
    """Whether somebody answers there; looking up a name can take longer than that may."""
    return _in_time(lambda: _reach(address))


def _in_time(check: Callable[[], bool]) -> bool:
    """Whether a check says yes within seconds."""
    answered: list[bool] = []
    thread = threading.Thread(target=lambda: answered.append(check()), daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return answered == [True]


def _reach(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def _reason(error: Exception) -> str:
    """What Ray says of what failed, without ids and guesses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "exit" in line.lower() or "died" in line.lower()]
    text = " ".join((told or lines or [type(error).__name__])[:2])
    return text.partition(" Some common causes")[0]
