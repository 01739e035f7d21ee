"""Workers of a Ray cluster, or of this machine if no cluster is given.

All workers must reach the folder and the weight files under the same paths.
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

# Timeout of a connection, and interval between two checks of the cluster, in seconds.
_TIMEOUT = 5
_POLL_INTERVAL = 2
# Number of consecutive checks without an answer after which the cluster counts as gone.
_MAX_MISSED_POLLS = 3
# Ray sets this variable in its workers. With another number of threads, rounding differs.
_THREADS_VARIABLE = "OMP_NUM_THREADS"


class Ray:
    """The engine of a Ray cluster.

    Args:
        workers: Maximum number; None means one per GPU of the cluster, or one per core without
            GPUs.
        address: `HOST:PORT` of its head; None means RAY_ADDRESS, or this machine.
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
        # Ray would wait minutes for an address where nobody answers.
        if self.address is not None and not _is_reachable(self.address):
            raise ValueError(
                "Expected the address of a running Ray cluster, HOST:PORT as `ray start` prints "
                f"it. Received: {self.address!r}, which does not respond."
            )

    def run(self, renderer: Renderer, tasks: Sequence[Task], best: Best) -> Iterator[Record]:
        if not tasks:
            return
        started = not self.ray.is_initialized()
        if started:
            self._connect()
        try:
            workers = _Actors(self.ray, pool.recipe(renderer), self.workers, self.address)
            yield from pool.run(workers, renderer, tasks, best)
        except self.ray.exceptions.RayError as error:
            raise OSError(f"{_where(self.address)} failed: {_reason(error)}") from error
        finally:
            if started and (self.address is None or _is_reachable(self.address)):
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
    """One actor per worker, on whatever machine Ray finds for it."""

    def __init__(self, ray: Any, recipe: Recipe, count: int | None, address: str | None):
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self.ray, self.recipe, self.address = ray, recipe, address
        self.count = (gpus or int(resources.get("CPU", 1))) if count is None else count
        self._actor = ray.remote(num_cpus=1, num_gpus=min(gpus, 1), max_restarts=0)(Actor)
        self._actors: dict[int, Any] = {}
        # Number of the worker by Ray's reference of a pending call.
        self._pending: dict[Any, int] = {}
        self._missed_polls = 0

    def start(self, number: int) -> None:
        self._actors[number] = self._actor.remote(self.recipe, os.environ.get(_THREADS_VARIABLE))
        self._pending[self._actors[number].ready.remote()] = number

    def send(self, number: int, task: Task, best: Best) -> None:
        answer = self._actors[number].answer.options(num_returns="streaming")
        self._pending[answer.remote(task, best.get(task.group.layer, {}))] = number

    def wait(self) -> tuple[int, Answer]:
        while True:
            done, _ = self.ray.wait(list(self._pending), num_returns=1, timeout=_POLL_INTERVAL)
            if done:
                self._missed_polls = 0
                answer = self._answer(done[0])
                if answer is not None:
                    return answer
            else:
                self._poll_cluster()

    def _answer(self, reference: Any) -> tuple[int, Answer] | None:
        number = self._pending[reference]
        try:
            if isinstance(reference, self.ray.ObjectRef):
                self.ray.get(reference)
                del self._pending[reference]
                return number, Answer("ready")
            return number, self.ray.get(next(reference))
        except StopIteration:  # after its "done"
            del self._pending[reference]
            return None
        except self.ray.exceptions.RayError as error:
            del self._pending[reference]
            actor = self._actors.pop(number)
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.kill(actor)
            return number, Answer("died", message=_reason(error))

    def _poll_cluster(self) -> None:
        """Raises an error if the cluster, or Ray here, has not answered several times."""
        answers = self.address is None or _is_reachable(self.address)
        self._missed_polls = (
            0 if answers and _within_timeout(self._node_lives) else self._missed_polls + 1
        )
        if self._missed_polls == _MAX_MISSED_POLLS:
            raise OSError(f"{_where(self.address)} no longer responds")

    def _node_lives(self) -> bool:
        """Whether Ray's process on this machine, which the connection needs, is alive."""
        own = self.ray.get_runtime_context().get_node_id()
        try:
            return any(node["NodeID"] == own and node["Alive"] for node in self.ray.nodes())
        except self.ray.exceptions.RayError:
            return False

    def close(self) -> None:
        if self._missed_polls:
            return  # killing actors would wait for the cluster
        for actor in self._actors.values():
            self.ray.kill(actor)
        self._actors.clear()


class Actor:
    """A worker that runs in Ray."""

    def __init__(self, recipe: Recipe, threads: str | None):
        if threads is None:
            os.environ.pop(_THREADS_VARIABLE, None)
        else:
            os.environ[_THREADS_VARIABLE] = threads
        from c3dvis.keras_start import load_keras

        load_keras()
        self._worker = Worker(recipe)

    def ready(self) -> None:
        """Returns once it has started."""

    def answer(self, task: Task, best: Any) -> Iterator[Answer]:
        """Yields the answers to a task."""
        yield from self._worker.answer(task, best)


def _where(address: str | None) -> str:
    return "the Ray cluster " + ("on this machine" if address is None else f"at {address}")


def _is_reachable(address: str) -> bool:
    """Whether the address accepts connections; name look-ups are limited to the timeout, too."""
    return _within_timeout(lambda: _reach(address))


def _within_timeout(check: Callable[[], bool]) -> bool:
    """Whether a check returns True within the timeout."""
    answered: list[bool] = []
    thread = threading.Thread(target=lambda: answered.append(check()), daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    return answered == [True]


def _reach(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def _reason(error: Exception) -> str:
    """The main part of a Ray error message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    deaths = [line for line in lines if "exit" in line.lower() or "died" in line.lower()]
    text = " ".join((deaths or lines or [type(error).__name__])[:2])
    return text.partition(" Some common causes")[0]
