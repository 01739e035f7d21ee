"""What is followed over the epochs, with a title for people and a safe name for its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST = 60


@dataclass(frozen=True)
class Unit:
    """One thing that is followed over the epochs.

    Attributes:
        title: For people.
        stem: Name of its folder.
    """

    title: str
    stem: str


def named(titles: Sequence[str]) -> list[Unit]:
    """A unit for each title; equal titles are numbered.

    >>> [unit.stem for unit in named(["channel 7 of conv3b", "channel 7 of conv3b"])]
    ['channel-7-of-conv3b-931730', 'channel-7-of-conv3b-2-d9e78c']
    """
    made = []
    for i, title in enumerate(titles):
        before = list(titles[:i]).count(title)
        title = f"{title} ({before + 1})" if before else title
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", title)[:_LONGEST].strip("-")
        # The digits keep names apart where only letters' case or other marks tell them apart.
        digest = hashlib.sha256(title.encode("utf-8", "surrogatepass")).hexdigest()
        made.append(Unit(title, f"{plain}-{digest[:6]}"))
    return made
