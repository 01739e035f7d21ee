"""Ctrl-C ends a command: immediately while it starts, at its next step at the latest afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

_interrupted = False  # True from the time that Ctrl-C has raised KeyboardInterrupt


def end_at_once_while_starting() -> None:
    """Lets Ctrl-C end the process where `python -m c3dvis...` or `c3dvis` is being started.

    Otherwise an import would print a traceback. `raised` undoes it.
    """
    # While `python -m` looks for the module, `sys.argv[0]` is "-m".
    started = [os.path.splitext(os.path.basename(name))[0] for name in sys.argv[:1]]
    if (
        started in (["-m"], ["c3dvis"])
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt within the context.

    If it is lost, `check` raises it again. If it becomes another exception, this does.
    """
    global _interrupted
    before, before_hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if not _in_main_thread() or before not in (signal.SIG_DFL, signal.default_int_handler):
        yield
        return

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            before_hook(unraisable)

    signal.signal(signal.SIGINT, _raise)
    sys.unraisablehook = hook
    try:
        yield
    except Exception:
        if _interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = before_hook
        _interrupted = False


def check() -> None:
    """Raises KeyboardInterrupt if Ctrl-C has raised one that did not get through.

    Python and TensorFlow swallow what is raised in a callback of the garbage collector or of a
    weak reference, in a `__del__` or while a gradient is traced. Long work calls this on its way.
    """
    if _interrupted:
        raise KeyboardInterrupt


def _raise(*_: Any) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Lets Ctrl-C end the process within the context, such as during an import.

    An interrupted import of compiled code raises an ImportError, or no error at all.
    """
    before = signal.getsignal(signal.SIGINT)
    if not _in_main_thread() or before not in (signal.default_int_handler, _raise):
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Lets Ctrl-C wait for the end of the context; processes started in it never see one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
