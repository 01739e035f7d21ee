"""What the package's commands share: errors of one line, and a quiet start of Keras."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {' '.join(message.split())} (--help tells more)\n")


def leave_pipe() -> int:
    """Ends quietly where what reads the output, such as `head`, has stopped reading; returns 0."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextlib.contextmanager
def startup_notes_kept_back() -> Iterator[None]:
    """Keeps what TensorFlow writes to stderr while it starts, and shows it only if that fails.

    It writes its notes on what the machine has before it reads TF_CPP_MIN_LOG_LEVEL, and they would
    bury an error of one line.
    """
    # 3, as its graph optimizer calls a rewrite that it drops an error; real errors are raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
