"""What the package's commands share: errors of one line, kinds of arguments, a quiet start."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn


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


def folder_argument(parser: argparse.ArgumentParser, out: str) -> None:
    """Refuses --out where a file stands in the way of the folder, by the parser's own error."""
    path = Path(out)
    if any(os.path.isfile(part) for part in (path, *path.parents)):
        parser.error(f"argument --out: Expected a folder. Received: {path}, which is a file.")


def add_time_arguments(group: Any) -> None:
    """Adds --start, --step and --short to a parser's group, as `c3dvis.clips.read` takes them."""
    group.add_argument(
        "--start",
        type=whole(0),
        default=0,
        metavar="FRAME",
        help="first frame to use, counted from 0 (default 0)",
    )
    group.add_argument(
        "--step",
        type=whole(1),
        metavar="N",
        help="take every N-th frame (default: spread evenly from the first to the clip's end)",
    )
    group.add_argument(
        "--short",
        choices=("loop", "hold"),
        help="where a clip has too few frames: play it again, or hold its last frame",
    )


def whole(lowest: int) -> Callable[[str], int]:
    """An argument that is a whole number from `lowest`."""

    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(
                f"Expected a whole number from {lowest}. Received: {text!r}."
            )
        return value

    return read


def size_argument(text: str) -> tuple[int, int]:
    """An argument such as 64, or 48x64 for height x width."""
    sides = text.split("x")
    if len(sides) > 2 or not all(s.isascii() and s.isdigit() and int(s) > 0 for s in sides):
        raise argparse.ArgumentTypeError(
            f"Expected pixels as 64, or height x width as 48x64. Received: {text!r}."
        )
    return int(sides[0]), int(sides[-1])


def choice_of_filters(text: str) -> tuple[int, ...] | str:
    """An argument such as 0-3,7 or all."""
    try:
        chosen = numbers(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return "all" if chosen is None else chosen


def numbers(text: str) -> tuple[int, ...] | None:
    """Reads a choice of filters or classes; None stands for all.

    >>> numbers("0-3,7")
    (0, 1, 2, 3, 7)
    >>> numbers("all") is None
    True
    """
    if text.strip() == "all":
        return None
    chosen: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,7})(?:\s*-\s*(\d{1,7}))?\s*", part, re.ASCII)
        last = int(match[2] or match[1]) if match else -1
        if match is None or last < int(match[1]):
            raise ValueError(
                f"Expected numbers from 0 and ranges of them, such as 0-3,7, or all. "
                f"Received: {text!r}."
            )
        chosen.extend(range(int(match[1]), last + 1))
    return tuple(dict.fromkeys(chosen))
