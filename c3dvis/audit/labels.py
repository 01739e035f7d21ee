"""The class of each clip: from its folder, from a table, or as given."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from c3dvis import files
from c3dvis.text import in_short, unknown

# A table of classes is text of lines; more than this is another file by mistake.
_MAXIMUM_BYTES = 64 * 2**20


def class_numbers(
    names: Sequence[str],
    labels: Mapping[str, str | int] | Sequence[str | int] | None,
    class_names: Sequence[str] | None,
    count: int,
) -> list[int]:
    """The index of each clip's class.

    Args:
        names: Names of the clips, such as "wave/1.mp4".
        labels: Class by the name of a clip or of a folder that it lies in; or one for each clip;
            None takes the name of the folder.
        class_names: Class names of the network, if known.
        count: Number of its classes.

    Raises:
        ValueError: A clip without a class, a class that the network doesn't have, or an entry of
            `labels` that matches no clip.
    """
    if labels is not None and not isinstance(labels, Mapping):
        if isinstance(labels, str) or len(labels) != len(names):
            raise ValueError(
                f"Expected a class for each of {len(names)} clips. Received: "
                f"{labels if isinstance(labels, str) else len(labels)!r}."
            )
        return [class_number(label, class_names, count) for label in labels]
    table = {str(key).strip("/"): label for key, label in (labels or {}).items()}
    known = {part for name in names for part in _paths(name)}
    for key in table:
        if key not in known:
            raise unknown("a clip or folder", key, sorted(known))
    return [class_number(_label(name, table), class_names, count) for name in names]


def _paths(name: str) -> list[str]:
    """A clip's name, and the folders that it lies in from the nearest on."""
    parts = name.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _label(name: str, table: Mapping[str, str | int]) -> str | int:
    for path in _paths(name):
        if path in table:
            return table[path]
    folder, slash, _ = name.partition("/")
    if not slash:
        raise ValueError(
            "Expected clips in folders that are named as classes, or a class for each (labels, "
            f"--clip-classes). Received: {name!r}, which is in none."
        )
    return folder


def class_number(label: str | int, class_names: Sequence[str] | None, count: int) -> int:
    """The index of a class given by name or number; "_" and case don't matter."""
    text = str(label).strip()
    names = list(class_names or ())
    if text in names:
        return names.index(text)
    plain = [_plain(name) for name in names]
    if plain.count(_plain(text)) == 1:
        return plain.index(_plain(text))
    if text.isascii() and text.isdigit() and int(text) < count:
        return int(text)
    if not names:
        raise ValueError(
            f"Expected a class from 0 to {count - 1}, as the network has no names of classes "
            f"(--labels gives it some). Received: {text!r}."
        )
    raise unknown("a class of the network", text, names)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def read_table(path: str | os.PathLike[str]) -> dict[str, str]:
    """Classes from a CSV file of two columns: a clip or folder, and its class.

    Raises:
        ValueError: If it is not such a file.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _MAXIMUM_BYTES:
            raise OSError("larger than a table of clips")
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = files.why_unread(path, error)
        raise ValueError(f"Expected a CSV file of classes. Received: '{path}', {why}.") from None
    wrong = [row for row in rows if len(row) != 2 or not all(cell.strip() for cell in row)]
    if wrong or not rows:
        raise ValueError(
            "Expected lines of two columns, a clip or folder and its class. "
            f"Received: {','.join(wrong[0]) if wrong else 'none'!r} in {path}."
        )
    twice = [key for key, times in Counter(row[0].strip() for row in rows).items() if times > 1]
    if twice:
        raise ValueError(f"Expected a clip or folder once. Received: {in_short(twice)} in {path}.")
    return {key.strip(): label.strip() for key, label in rows}
