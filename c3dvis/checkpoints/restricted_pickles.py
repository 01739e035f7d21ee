"""Unpickles plain values and a few known names: no code of a file runs.

A pickle can call anything that Python can import. The unpickler here knows a few names, each with a
harmless replacement, and refuses a file at the first other name, before looking it up.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from c3dvis.checkpoints.checks import damaged

Globals = Mapping[tuple[str, str], Any]  # module and name to their replacement


class Refused(ValueError):
    """What is wrong with a file, in words that follow its path in a message."""


@contextlib.contextmanager
def refusals(path: Path, kind: str) -> Iterator[None]:
    """Turns any exception of reading a file into a ValueError with its path.

    Args:
        path: The file.
        kind: What was expected, such as "a PyTorch file".
    """
    try:
        yield
    except Refused as reason:
        raise ValueError(f"Expected {kind}. Received: '{path}', {reason}") from None
    except Exception as reason:  # a damaged pickle raises anything
        raise damaged(path, f"{kind} that can be read", reason) from reason


class Function:
    """A function that a pickle may call but not modify."""

    __slots__ = ("function",)

    def __init__(self, function: Callable):
        self.function = function

    def __call__(self, *arguments) -> Any:
        return self.function(*arguments)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a function with attributes")


class Dict(dict):
    """Replaces OrderedDict; attributes set by a pickle are dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class Unpickler(pickle.Unpickler):
    """Unpickles the next pickle of a file, after checking its opcodes.

    Args:
        file: The file in memory; a pickle on disk could claim to be longer than it is.
        known: The names that it may use.
        part: What these names belong to, in words, such as "a tensor".
        advice: What to do with a file that uses other names.
        encoding: Encoding of the strings of Python 2.
    """

    def __init__(
        self, file: io.BytesIO, known: Globals, part: str, advice: str, encoding: str = "utf-8"
    ):
        check_opcodes(file)
        super().__init__(file, encoding=encoding)
        self._known, self._part, self._advice = known, part, advice

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            # repr: the name is the file's, and may hold anything.
            raise Refused(
                f"which calls for {f'{module}.{name}'!r}, which is not part of {self._part}; "
                f"nothing of it was run. {self._advice}"
            )
        return self._known[module, name]


def check_opcodes(file: io.BytesIO) -> None:
    """Checks that the next pickle is complete and of sane size, and seeks back to its start."""
    start = file.tell()
    for opcode, argument, position in pickletools.genops(file):
        # Memo indices count up from 0; a large one would claim gigabytes.
        if "PUT" in opcode.name and int(argument or 0) > int(position or 0):
            raise ValueError(f"value number {argument} at byte {position}")
    file.seek(start)


def is_binary_pickle(head: bytes) -> bool:
    """Whether a file begins as a binary pickle of protocol 2 or later."""
    return len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= pickle.HIGHEST_PROTOCOL


def shown(value: Any) -> str:
    """A value for a message; only the type if it is not a string or integer, as it may be long."""
    return f"{value!r:.60}" if isinstance(value, str | int) else f"a {type(value).__name__}"
