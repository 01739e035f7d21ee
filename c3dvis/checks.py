"""Checks of numbers that a user gives."""

import contextlib
import math
import numbers
from typing import Any


def are_numbers(*values: Any) -> bool:
    """Whether all are finite numbers; True and False are none."""
    return all(
        isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )


def as_numbers(given: Any) -> tuple[float, ...]:
    """Finite numbers as floats; an empty tuple if one of them is something else, such as text."""
    with contextlib.suppress(TypeError, ValueError):
        several = tuple(given)
        floats = tuple(map(float, several))
        is_other = any(isinstance(one, (str, bytes, bool)) for one in several)
        return () if is_other or not are_numbers(*floats) else floats
    return ()


def whole(value: Any, name: str, least: int = 0) -> int:
    """A whole number from `least`, or a ValueError that names it."""
    if not (are_numbers(value) and value >= least and float(value).is_integer()):
        raise ValueError(f"Expected {name} to be a whole number from {least}. Received: {value!r}.")
    return int(value)


def positive(value: Any, name: str) -> float:
    """A finite number above 0, or a ValueError that names it."""
    if not (are_numbers(value) and value > 0):
        raise ValueError(f"Expected {name} to be a finite number above 0. Received: {value!r}.")
    return value
