"""Names, labels and numbers as text that no page, table or terminal takes for anything else."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

# Longest label in a Markdown table, in characters.
_LONGEST_LABEL = 60
# Names that an error lists where none is near to the one received.
_MOST_NAMES = 8
# They turn the direction of the text that follows them.
_DIRECTIONS = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def visible(text: str) -> str:
    """The text with control characters and changes of direction spelled out.

    >>> visible("left\\nright")
    'left⟨U+000A⟩right'
    """
    return "".join(
        f"⟨U+{ord(c):04X}⟩"
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or ord(c) in _DIRECTIONS
        else c
        for c in text
    )


# What colours a terminal's text; Keras writes it around the reason of an error.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OF_KERAS = re.compile(
    r"Exception encountered when calling .*?\.call\(\)\.\s*(.*?)\s*Arguments received by .*", re.S
)


def in_one_line(message: object) -> str:
    """A message as one line that no terminal obeys; of Keras's errors in a layer, the reason alone.

    >>> in_one_line("no\\n  such \\x1b[2Jlayer")
    'no such ⟨U+001B⟩[2Jlayer'
    """
    text = str(message)
    wrapped = _OF_KERAS.fullmatch(text.strip())
    if wrapped is not None:
        text = _COLOURS.sub("", wrapped[1])
    return visible(" ".join(text.split()))


def markdown(text: str) -> Markup:
    """The text as Markdown that shows it, on one line and inside a table too.

    >>> print(markdown("a|b_c <i> [d](e)"))
    a&#124;b\\_c &#60;i&#62; \\[d\\]\\(e\\)
    """
    shown = visible(text)
    shown = shown if len(shown) <= _LONGEST_LABEL else shown[: _LONGEST_LABEL - 1] + "…"
    # A colon before // would make a link; entities stand for marks that tables or HTML read first.
    marks = re.compile(r"[\\`*_{}\[\]()#!~$]|[&<>|\"@]|:(?=//)")
    return Markup(
        marks.sub(
            lambda found: f"&#{ord(found[0])};" if found[0] in '&<>|"@:' else f"\\{found[0]}", shown
        )
    )


def number(value: float | None) -> str:
    """A number in three digits; a dash where there is none.

    >>> number(0.012345), number(12.345), number(12345.6), number(None)
    ('0.0123', '12.3', '12,346', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def counted(number: int, noun: str) -> str:
    """A number of things: "1 clip", "2 clips".

    >>> counted(1, "GIF"), counted(0, "clip"), counted(2, "class")
    ('1 GIF', '0 clips', '2 classes')
    """
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def in_short(names: Iterable[str]) -> str:
    """A list of at most seven names, the last always among them.

    >>> in_short("abcdefghij")
    'a, b, c, d, e, ..., j (10 in all)'
    """
    names = list(names)
    if len(names) > 7:
        return f"{', '.join(names[:5])}, ..., {names[-1]} ({len(names)} in all)"
    return ", ".join(names) or "(none)"


class UnknownLayer(ValueError):
    """A name that is no layer's; a command adds how all of them are listed."""


def unknown(
    what: str,
    name: Any,
    names: Iterable[str],
    *,
    meant: str | None = None,
    spelled: str | None = None,
) -> ValueError:
    """The error for a name that is none of those known, with the nearest of them.

    Args:
        what: What was expected, such as "a method".
        name: What was received.
        names: The known names.
        meant: What the name is called here, if it is another package's.
        spelled: The name as those known are spelled, to which the nearest are found.

    >>> raise unknown("a method", "grad_cm", ["gradient", "grad_cam", "rise"])
    Traceback (most recent call last):
    ValueError: Expected a method, such as 'grad_cam', 'gradient'. Received: 'grad_cm'.
    """
    known = list(names)
    near = nearest(name if spelled is None else spelled, known)
    which = f", such as {near}" if known else "; there is none"
    which = which if meant is None else f", here {meant}"
    return ValueError(f"Expected {what}{which}. Received: {name!r}.")


def nearest(name: Any, names: Iterable[str]) -> str:
    """The names similar to one, to be put into a sentence; where none is, the first eight.

    >>> nearest("fourrier", ["pixels", "fourier"]), nearest("x", [])
    ("'fourier'", 'none')
    """
    known = list(names)
    near = similar(name, known)
    more = "" if near or len(known) <= _MOST_NAMES else f" and {len(known) - _MOST_NAMES} more"
    return ", ".join(map(repr, near or known[:_MOST_NAMES])) + more or "none"


def similar(name: Any, names: Iterable[str]) -> list[str]:
    """The names that one may be a misspelling of, at most three, the likeliest first.

    >>> similar("fourrier", ["pixels", "fourier"])
    ['fourier']
    """
    return difflib.get_close_matches(str(name), list(names), 3, 0.4)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; cells are Markdown, so pass names and labels through `markdown`.

    >>> print(table(["layer", "score"], [["conv1", "0.5"]]))
    | layer | score |
    | --- | --- |
    | conv1 | 0.5 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
