"""Runs work without side effects on a training: in a thread, and with `random` restored."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def isolated_thread() -> Executor:
    """A thread for `run_isolated`, which keeps what is compiled per thread for the next work."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="c3dvis")
    # Begun here: were its start interrupted later, nobody would wait for the thread.
    thread.submit(_nothing).result()
    return thread


def _nothing() -> None:
    pass


def run_isolated(
    work: Callable[[threading.Event], Result], thread: Executor, *, makes_layers: bool = True
) -> Result:
    """Runs `work` in a thread of `isolated_thread` and waits for what it returns.

    Keras and TensorFlow keep per thread what would otherwise leak either way: the dtype policy,
    Keras' random generator, the numbers in the names of layers, the scope of a
    `tf.distribute.Strategy`. A new layer without a seed draws one from Python's `random`, whose
    state is put back.

    Args:
        work: Given an event that is set where the waiting thread is interrupted: it should then
            end soon, by an exception.
        thread: Result of `isolated_thread`.
        makes_layers: Whether to restore `random`. Draws that other threads make in the meantime,
            such as one that prefetches data, would be undone too, so do this only where needed.

    Raises:
        BaseException: What `work` raises.
    """
    interrupted, state = threading.Event(), random.getstate()
    try:
        result = thread.submit(work, interrupted)
        result.exception()  # waits, and can be interrupted
    except BaseException:
        interrupted.set()
        thread.submit(_nothing).result()  # one after the other: the work has ended before
        raise
    finally:
        if makes_layers:
            random.setstate(state)
    return result.result()
