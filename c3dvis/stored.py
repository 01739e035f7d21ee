"""Checks of what JSON files hold: each gives the value, or raises a ValueError."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping
from typing import Any


def text(value: Any) -> str:
    """A text."""
    return _checked(value, isinstance(value, str), "a text")


def text_or_none(value: Any) -> str | None:
    """A text, or None."""
    return None if value is None else text(value)


def count(value: Any) -> int:
    """A whole number from 0."""
    return _checked(value, type(value) is int and value >= 0, "a whole number from 0")


def number(value: Any) -> float:
    """A finite number.

    >>> number(True)
    Traceback (most recent call last):
    ValueError: Expected a finite number. Received: True.
    """
    # NaN is not below anything, and a whole number may be larger than any float.
    is_finite = type(value) in (int, float) and abs(value) <= sys.float_info.max
    return float(_checked(value, is_finite, "a finite number"))


def number_or_none(value: Any) -> float | None:
    """A finite number, or None."""
    return None if value is None else number(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """An object of JSON."""
    return _checked(value, isinstance(value, Mapping), "an object")


def items(value: Any) -> list[Any]:
    """A list of JSON."""
    return _checked(value, isinstance(value, list), "a list")


def shape(value: Any) -> tuple[int, int, int]:
    """Frames, height and width of a clip, each at least 1."""
    is_shape = len(items(value)) == 3 and all(type(n) is int and n > 0 for n in value)
    frames, height, width = _checked(value, is_shape, "frames, height and width")
    return frames, height, width


def _checked(value: Any, is_right: bool, kind: str) -> Any:
    if not is_right:
        raise ValueError(f"Expected {kind}. Received: {reprlib.repr(value)}.")
    return value
