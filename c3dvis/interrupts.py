"""Ctrl-C while a command starts: the process ends at once, without a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


def end_at_once_while_starting() -> None:
    """Lets Ctrl-C end the process where `python -m c3dvis...` or `c3dvis` is being started.

    Otherwise an import would print a traceback. `raise_again` undoes it.
    """
    # While `python -m` looks for the module, `sys.argv[0]` is "-m".
    started = [os.path.splitext(os.path.basename(name))[0] for name in sys.argv[:1]]
    if (
        started in (["-m"], ["c3dvis"])
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again() -> None:
    """Lets Ctrl-C raise KeyboardInterrupt again, Python's default."""
    if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Lets Ctrl-C end the process within the context, such as during an import.

    An interrupted import of compiled code raises an ImportError, or no error at all.
    """
    before = signal.getsignal(signal.SIGINT)
    if not _in_main_thread() or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
