"""The exit code of a command, whether its main function returns it or its parser exits."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def exit_code(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int | str | None:
    try:
        return main(arguments)
    except SystemExit as left:
        return left.code
