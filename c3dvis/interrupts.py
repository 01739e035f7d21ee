"""Ctrl-C while a command starts: nothing is made yet, so it ends at once and says nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


def end_at_once_while_starting() -> None:
    """Lets Ctrl-C end the process where `python -m c3dvis...` or `c3dvis` is being started.

    It would else be told by a traceback out of an import. `expected` puts things back.
    """
    # While `python -m` still looks for the module, `-m` stands where the script's name will.
    started = [os.path.splitext(os.path.basename(name))[0] for name in sys.argv[:1]]
    if (
        started in (["-m"], ["c3dvis"])
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def expected() -> None:
    """Ctrl-C raises KeyboardInterrupt again, as is usual in Python."""
    if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Lets Ctrl-C end the process meanwhile, as for an import.

    An interrupted import of compiled code is told as an import that failed, or is not told at all.
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
