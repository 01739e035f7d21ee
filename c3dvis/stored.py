"""Checks of values from JSON files: each returns the value, or raises a ValueError."""

from __future__ import annotations

import dataclasses
import math
import reprlib
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind")


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


def shape_or_none(value: Any) -> tuple[int, int, int] | None:
    """Frames, height and width, or None."""
    return None if value is None else shape(value)


def lengths(value: Any) -> tuple[int | None, ...]:
    """The lengths of axes; None for any length."""
    return tuple(None if length is None else count(length) for length in items(value))


def finite(value: float | None) -> float | None:
    """A number for JSON, which has no NaN: None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


# By annotation, the check of a dataclass's field.
_CHECKS = {
    "str": text,
    "str | None": text_or_none,
    "int": count,
    "float": number,
    "float | None": number_or_none,
    "tuple[int, int, int]": shape,
    "tuple[int, int, int] | None": shape_or_none,
    "tuple[int | None, ...] | None": lambda value: None if value is None else lengths(value),
}


def dataclass_of(kind: type[Kind], values: Any) -> Kind:
    """A dataclass from a JSON object, each field checked by its annotation.

    Raises:
        KeyError: If a field is missing.
        ValueError: If a value is of another type.
    """
    given = mapping(values)
    # That the type is one of a dataclass can't be said in annotations.
    fields: Any = dataclasses.fields(kind)  # type: ignore[arg-type]
    return kind(**{one.name: _CHECKS[one.type](given[one.name]) for one in fields})


def _checked(value: Any, is_right: bool, kind: str) -> Any:
    if not is_right:
        raise ValueError(f"Expected {kind}. Received: {reprlib.repr(value)}.")
    return value
