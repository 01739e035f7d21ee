"""Several processes of this machine, each with the network, and with a GPU if there are any."""

from __future__ import annotations

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from c3dvis import interrupts
from c3dvis.gallery.engines import pool
from c3dvis.gallery.engines.worker import Answer, Recipe, Worker

if TYPE_CHECKING:
    from c3dvis.gallery.engines import Best
    from c3dvis.gallery.groups import Task
    from c3dvis.gallery.record import Record
    from c3dvis.gallery.render import Renderer

# Without GPUs: cores per process, as each process computes on all cores.
_CORES_A_PROCESS = 4
_FEWEST = 2
# Seconds to wait for a process to end before it is killed.
_PATIENCE = 2


class Processes:
    """The engine of several processes.

    From Python, the script must keep its own work under `if __name__ == "__main__"`, as new
    processes import it.

    Args:
        workers: Number of processes; None means one per GPU, or one per four cores, at least two.
    """

    def __init__(self, workers: int | None = None):
        self.workers = workers

    def run(self, renderer: Renderer, tasks: Sequence[Task], best: Best) -> Iterator[Record]:
        from c3dvis import autodiff

        gpus = autodiff.gpu_count()
        usual = gpus or max(_FEWEST, (os.cpu_count() or 1) // _CORES_A_PROCESS)
        count = usual if self.workers is None else self.workers
        workers = _Processes(pool.recipe(renderer), count, gpus)
        yield from pool.run(workers, renderer, tasks, best)


class _Processes:
    """Processes that get tasks through pipes, and end when this process does."""

    def __init__(self, recipe: Recipe, count: int, gpus: int):
        self.recipe, self.count, self.gpus = recipe, count, gpus
        # TensorFlow does not work after a fork, which copies the locks of its threads.
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[Any, Connection]] = {}

    def start(self, number: int) -> None:
        ours, theirs = self._context.Pipe()
        gpu = number % self.gpus if self.gpus else None
        process = self._context.Process(target=_work, args=(self.recipe, theirs, gpu), daemon=True)
        # A Ctrl-C in a terminal goes to all processes, also to one that is only being started.
        if os.name == "posix":
            multiprocessing.resource_tracker.ensure_running()  # its start would end the context
        with interrupts.deferred():
            process.start()
        theirs.close()
        self._running[number] = process, ours

    def send(self, number: int, task: Task, best: Best) -> None:
        try:
            self._running[number][1].send((task, best.get(task.group.layer, {})))
        except OSError:
            pass  # it has died, which `wait` reports

    def wait(self) -> tuple[int, Answer]:
        pipes = {pipe: number for number, (_, pipe) in self._running.items()}
        pipe: Any = wait(list(pipes))[0]
        number = pipes[pipe]
        try:
            return number, pipe.recv()
        except (EOFError, OSError):
            process, _ = self._running.pop(number)
            pipe.close()
            process.join()
            return number, Answer("died", message=_ended(process.exitcode))

    def close(self) -> None:
        for process, pipe in self._running.values():
            pipe.close()
            process.terminate()
        for process, _ in self._running.values():
            process.join(_PATIENCE)
            process.kill()
        self._running.clear()


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"its process was terminated by signal {-code} ({name})"
    return f"its process exited with code {code}"


def _work(recipe: Recipe, pipe: Connection, gpu: int | None) -> None:
    """What a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that started it
    _end_with_parent()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    from c3dvis.keras_start import load_keras

    load_keras()
    pipe.send(Answer("ready"))
    worker = Worker(recipe)
    while True:
        try:
            task, best = pipe.recv()
            for answer in worker.answer(task, best):
                pipe.send(answer)
        except (EOFError, OSError):  # the other end of the pipe is closed
            return


def _end_with_parent() -> None:
    """Ends this process as soon as the one that started it has ended, even if it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
