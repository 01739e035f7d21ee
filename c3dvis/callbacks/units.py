"""What is followed over the epochs, with a title for people and a safe name for its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from c3dvis.files import safe_names

# The folder's own files, in lower case.
OWN_NAMES = {"callback.json", "index.html", "readme.md"}


@dataclass(frozen=True)
class Tracked:
    """One thing that is followed over the epochs.

    Attributes:
        title: For people.
        stem: Name of its folder.
    """

    title: str
    stem: str


def named(titles: Sequence[str]) -> list[Tracked]:
    """What is tracked, for each title; equal titles are numbered.

    >>> [one.stem for one in named(["channel 7 of conv3b", "channel 7 of conv3b"])]
    ['channel_7_of_conv3b-931730ba', 'channel_7_of_conv3b_2-d9e78cb9']
    """
    numbered = []
    for i, title in enumerate(titles):
        before = list(titles[:i]).count(title)
        numbered.append(f"{title} ({before + 1})" if before else title)
    stems = safe_names(numbered, taken=OWN_NAMES, empty="unit")
    return [Tracked(title, stems[title]) for title in numbered]
