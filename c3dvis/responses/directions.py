"""Directions of motion in words."""

from __future__ import annotations

SELECTIVE = 1 / 3
"""Direction selectivity from which on a unit is called selective: twice the opposite's response."""

_WAYS = (
    *("right", "up and right", "up", "up and left"),
    *("left", "down and left", "down", "down and right"),
)


def in_words(direction: float) -> str:
    """The nearest of eight directions, such as "up and left", of degrees: 0 is right, 90 up.

    >>> in_words(130.0)
    'up and left'
    """
    return _WAYS[round(direction / 45) % 8]
