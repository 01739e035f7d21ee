"""Runs work that must not change a training: in a thread, with `random` put back afterwards."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def run_isolated(work: Callable[[threading.Event], Result], *, makes_layers: bool = True) -> Result:
    """Runs `work` in a thread of its own and waits for what it returns.

    Keras and TensorFlow keep per thread what would otherwise leak either way: the dtype policy,
    Keras' random generator, the numbers in the names of layers, the scope of a
    `tf.distribute.Strategy`. A new layer without a seed draws one from Python's `random`, whose
    state is put back.

    Args:
        work: Given an event that is set where the waiting thread is interrupted: it should then
            end soon, by an exception.
        makes_layers: Whether `random` is put back. Draws that other threads make meanwhile, such as
            one that reads data ahead, would be put back too: so not where it isn't needed.

    Raises:
        BaseException: What `work` raises.
    """
    result: Future[Result] = Future()
    interrupted = threading.Event()

    def run() -> None:
        try:
            result.set_result(work(interrupted))
        except BaseException as error:  # raised again where it is waited for
            result.set_exception(error)

    state = random.getstate()
    thread = threading.Thread(target=run, name="c3dvis")
    try:
        thread.start()  # which waits for the thread, and can be interrupted there
        result.exception()  # waits; an interrupted `join` would leave the thread in doubt
    except BaseException:
        interrupted.set()
        raise
    finally:
        if thread.ident is not None:  # it has begun
            thread.join()
        if makes_layers:
            random.setstate(state)
    return result.result()
