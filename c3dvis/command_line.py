"""Shared by all commands: exit codes, one-line errors, argument types."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from c3dvis import interrupts
from c3dvis.memory import is_out_of_memory
from c3dvis.text import UnknownLayer, in_one_line, similar, visible

if TYPE_CHECKING:
    from c3dvis.clips.reading import Excerpt

# Messages of argparse, and their replacements in the package's wording.
_MESSAGES = (
    (r"invalid choice: (.+) \(choose from (.+)\)$", r"Expected one of \2. Received: \1."),
    (r"invalid (\w+) value: (.+)$", r"Expected a number (\1). Received: \2."),
    (r"expected one argument$", "Expected a value after it. Received: none."),
    (r"expected at least one argument$", "Expected one or more values after it. Received: none."),
    (r"expected (\d+) arguments$", r"Expected \1 values after it. Received: fewer."),
    (r"^one of the arguments (.+) is required$", r"Expected one of \1 in the command."),
    (r"^the following arguments are required: (.+)$", r"Expected \1 in the command."),
)

# Default number of windows shown per objective or filter.
_TOP = 4


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit code 2, and whose help keeps its lines."""

    def __init__(self, **kwargs: Any):
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=layout, allow_abbrev=False, **kwargs)

    def parse_args(self, args=None, namespace=None):
        """As in argparse, but the error for an unknown option suggests the nearest one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            near = similar(next((x for x in unknown if x.startswith("--")), ""), options)
            hint = f"; did you mean {near[0]}?" if near else ""
            if not any(one.startswith("-") for one in unknown):
                hint = "; names with spaces need quotation marks"
                for one in self._get_positional_actions():
                    hint += f", and only one {one.metavar} is allowed"
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return parsed

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Within the context, a ValueError is an error of the arguments."""
        try:
            yield
        except ValueError as error:
            self.error(str(error))

    def error(self, message: str) -> NoReturn:
        for pattern, words in _MESSAGES:
            message = re.sub(pattern, words, message)
        self.exit(2, f"error: {in_one_line(message)} (see --help)\n")


def run(work: Callable[[], int], *, resume: str | None = None) -> int:
    """Runs a command; returns its exit code: that of `work`, 1, 2 or 130.

    Wrong input prints one line and returns 2; file errors and lack of memory print one line and
    return 1; Ctrl-C returns 130. Each warning is one line.

    Args:
        work: Function that does the work; a ValueError is reported as wrong input, an OSError as a
            file error.
        resume: The command that resumes the work, if there is one.
    """
    _open_streams()
    hint = "" if resume is None else f"finished files are kept. Resume with:\n  {visible(resume)}"
    try:
        with interrupts.raised(), warnings.catch_warnings():
            warnings.showwarning = _print_warning
            code = work()
        sys.stdout.flush()  # reports write errors here, and not when Python exits
        return code
    except KeyboardInterrupt:
        print(f"\nStopped; {hint}" if hint else "\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return leave_pipe()
    except UnknownLayer as error:
        print_error(f"{error} {_LIST_LAYERS}")
        return 2
    except ValueError as error:
        print_error(error)
        return 2
    except OSError as error:
        with contextlib.suppress(OSError):
            _print_failure(in_one_line(error), hint)
        try:
            sys.stdout.flush()
        except OSError:
            leave_pipe()  # otherwise Python tries again on exit
        return 1
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _print_failure(f"Expected more memory. {_SMALLER} {in_one_line(error)}", hint)
        return 1


_LIST_LAYERS = "python -m c3dvis.gallery --list-layers lists the layers of a network."
_SMALLER = "Use a smaller --size, fewer --frames or a smaller --batch-size. Received:"


def _print_failure(text: str, hint: str) -> None:
    print(f"error: {text}; {hint}" if hint else f"error: {text}", file=sys.stderr)


def print_error(error: Exception | str) -> None:
    """Prints an error as one line, with control characters spelled out."""
    print(f"error: {in_one_line(error)}", file=sys.stderr)


def say(line: str) -> None:
    """Prints a line and flushes it, with control characters spelled out.

    If the reader of the output, such as `head`, has closed the pipe, the work continues.
    """
    try:
        print(visible(line), flush=True)
    except BrokenPipeError:
        leave_pipe()


def leave_pipe() -> int:
    """Discards further output after the reader, such as `head`, has closed the pipe; returns 0."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _open_streams() -> None:
    """Replaces closed standard streams by the null device.

    Otherwise a file opened later would get the descriptor of a closed stream, and its output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for terminals with limited encodings


def _print_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"warning: {in_one_line(message)}", file=sys.stderr)


def folder_argument(parser: argparse.ArgumentParser, out: str) -> None:
    """Ends with a parser error if --out, or one of its parents, is not a folder."""
    if not out:
        parser.error("argument --out: Expected a folder. Received: an empty name.")
    path = Path(out)
    for part in (path, *path.parents):
        if os.path.lexists(part) and not part.is_dir():
            what = "is a file" if part.is_file() else "is a broken link"
            what = what if part.is_symlink() or part.is_file() else "is not a folder"
            parser.error(f"argument --out: Expected a folder. Received: {path}, which {what}.")


def add_time_arguments(group: Any) -> None:
    """Adds --start, --step and --short to a parser's group; see `c3dvis.clips.read`."""
    group.add_argument(
        "--start",
        type=_start,
        default=0,
        metavar="FRAME",
        help="first frame to use, counted from 0, or a time such as 12.5s (default 0)",
    )
    group.add_argument(
        "--step",
        type=whole(1),
        metavar="N",
        help="take every N-th frame (default: spread evenly from --start to the end)",
    )
    group.add_argument(
        "--short",
        choices=("loop", "hold"),
        help="if a clip has too few frames: repeat it, or hold its last frame",
    )


def add_window_arguments(group: Any, *, windows: str, top: str) -> None:
    """Adds --windows and --top to a parser's group.

    Args:
        group: Group with the arguments of `add_time_arguments`.
        windows: Help on what is shown of the windows.
        top: Help on what --top counts.
    """
    group.add_argument(
        "--windows",
        type=whole(1),
        default=1,
        metavar="N",
        help="split each film into N clips of equal length (with --step they may overlap or leave "
        f"gaps); {windows} (default 1)",
    )
    group.add_argument(
        "--top",
        type=whole(1),
        metavar="N",
        help=f"with --windows: {top} (default {_TOP})",
    )


def check_window_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with an error if --top is given without --windows or --sweep; sets its default."""
    if args.top is not None and args.windows == 1 and not getattr(args, "sweep", False):
        takers = "--windows or --sweep" if hasattr(args, "sweep") else "--windows"
        parser.error(f"argument --top: Expected {takers} with it.")
    args.top = _TOP if args.top is None else args.top


def _start(text: str) -> int | str:
    """The number of a frame, or a time such as "12.5s"."""
    if re.fullmatch(r"\d+(\.\d+)?s", text, re.ASCII):
        return text
    try:
        return whole(0)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"Expected the number of a frame, or a time such as 12.5s. Received: {text!r}."
        ) from None


def read_clip(
    path: str | Path,
    args: argparse.Namespace,
    *,
    frames: int,
    size: tuple[int, int],
    channels: int = 3,
) -> Excerpt:
    """Reads a clip by the arguments of `add_time_arguments`, with the network's channels.

    Raises:
        ValueError: See `c3dvis.clips.read`, in the words of the command line.
    """
    (one,) = read_windows(path, args, 1, frames=frames, size=size, channels=channels)
    return one


def read_windows(
    path: str | Path,
    args: argparse.Namespace,
    windows: int,
    *,
    frames: int,
    size: tuple[int, int],
    channels: int = 3,
) -> list[Excerpt]:
    """Reads several clips of one film, as `read_clip` reads one.

    Raises:
        ValueError: See `read_clip`; a film that is too short for so many.
    """
    from c3dvis.clips.geometry import TooFewFrames
    from c3dvis.clips.reading import excerpts

    times = {"start": args.start, "step": args.step, "short": args.short}
    try:
        read = excerpts(path, windows, frames=frames, size=size, **times)
    except TooFewFrames as error:
        python = 'short="loop" or "hold" accepts fewer'
        command = "--short loop or --short hold accepts fewer (a GIF merges equal frames)"
        command = command if windows == 1 else f"fewer than {windows} --windows, or {command}"
        raise ValueError(str(error).replace(python, command)) from error
    return [one.with_channels(channels) for one in read]


def whole(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """The argument type of whole numbers from `lowest`, to `highest` if there is one."""
    limit = "" if highest is None else f" to {highest}"

    def read(text: str) -> int:
        # int() refuses numbers of more than some thousand digits
        value = int(text) if re.fullmatch("[0-9]{1,100}", text) else lowest - 1
        if value < lowest or (highest is not None and value > highest):
            raise argparse.ArgumentTypeError(
                f"Expected a whole number from {lowest}{limit}. Received: {text!r:.100}."
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
