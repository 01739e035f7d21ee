"""Names, labels and numbers as text that is safe in pages, tables and terminals."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

# Longest label in a Markdown table, in characters.
_LONGEST_LABEL = 60
# Number of names that an error lists if none is similar.
_MOST_NAMES = 8
# Characters that change the direction of text.
_DIRECTIONS = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}

# Of what a user's code says, in characters.
_LONGEST_REASON = 200


def visible(text: str) -> str:
    """The text with control and direction characters spelled out.

    >>> visible("left\\nright")
    'left⟨U+000A⟩right'
    """
    return "".join(
        f"⟨U+{ord(c):04X}⟩"
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or ord(c) in _DIRECTIONS
        else c
        for c in text
    )


# Escape sequences for colours, which Keras writes around the reason of an error.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OF_KERAS = re.compile(
    r"Exception encountered when calling .*?\.call\(\)\.\s*(.*?)\s*Arguments received by .*", re.S
)


def in_one_line(message: object) -> str:
    """A message as one safe line; of Keras's errors in a layer, only the reason.

    >>> in_one_line("no\\n  such \\x1b[2Jlayer")
    'no such ⟨U+001B⟩[2Jlayer'
    """
    text = str(message)
    wrapped = _OF_KERAS.fullmatch(text.strip())
    if wrapped is not None:
        text = _COLOURS.sub("", wrapped[1])
    return visible(" ".join(text.split()))


def markdown(text: str) -> Markup:
    """The text escaped for Markdown, on one line, also inside tables.

    >>> print(markdown("a|b_c <i> [d](e)"))
    a&#124;b\\_c &#60;i&#62; \\[d\\]\\(e\\)
    """
    shown = visible(text)
    shown = shown if len(shown) <= _LONGEST_LABEL else shown[: _LONGEST_LABEL - 1] + "…"
    # A colon before // would make a link; entities replace characters that tables or HTML read.
    marks = re.compile(r"[\\`*_{}\[\]()#!~$]|[&<>|\"@]|:(?=//)")
    return Markup(
        marks.sub(
            lambda match: f"&#{ord(match[0])};" if match[0] in '&<>|"@:' else f"\\{match[0]}", shown
        )
    )


def number(value: float | None) -> str:
    """A number in three significant digits; a dash for None.

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
    """A list of names; of more than seven, the first five and the last.

    >>> in_short("abcdefghij")
    'a, b, c, d, e, ..., j (10 in all)'
    """
    names = list(names)
    if len(names) > 7:
        return f"{', '.join(names[:5])}, ..., {names[-1]} ({len(names)} in all)"
    return ", ".join(names) or "(none)"


class UnknownLayer(ValueError):
    """An unknown layer name; a command adds how to list all layers."""


def unknown(
    what: str,
    name: Any,
    names: Iterable[str],
    *,
    meant: str | None = None,
    spelled: str | None = None,
) -> ValueError:
    """The error for an unknown name, with the nearest known ones.

    Args:
        what: What was expected, such as "a method".
        name: What was received.
        names: The known names.
        meant: What the name is called here, if it is another package's.
        spelled: The name in the spelling of the known ones, for the search of the nearest.

    >>> raise unknown("a method", "grad_cm", ["gradient", "grad_cam", "rise"])
    Traceback (most recent call last):
    ValueError: Expected a method, such as 'grad_cam', 'gradient'. Received: 'grad_cm'.
    """
    known = list(names)
    near = nearest(name if spelled is None else spelled, known)
    which = f", such as {near}" if known else "; there is none"
    which = which if meant is None else f"; use {meant}"
    return ValueError(f"Expected {what}{which}. Received: {name!r}.")


def nearest(name: Any, names: Iterable[str]) -> str:
    """The similar names, for a sentence; if there are none, the first eight.

    >>> nearest("fourrier", ["pixels", "fourier"]), nearest("x", [])
    ("'fourier'", 'none')
    """
    known = list(names)
    near = similar(name, known)
    more = "" if near or len(known) <= _MOST_NAMES else f" and {len(known) - _MOST_NAMES} more"
    return ", ".join(map(repr, near or known[:_MOST_NAMES])) + more or "none"


def similar(name: Any, names: Iterable[str]) -> list[str]:
    """Up to three names of which this may be a misspelling, the likeliest first.

    >>> similar("Fourrier", ["pixels", "fourier"])
    ['fourier']
    """
    known = {one.casefold(): one for one in reversed(list(names))}
    return [known[near] for near in difflib.get_close_matches(str(name).casefold(), known, 3, 0.4)]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown, so escape names and labels with `markdown`.

    >>> print(table(["layer", "score"], [["conv1", "0.5"]]))
    | layer | score |
    | --- | --- |
    | conv1 | 0.5 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def regular_expression(given: str) -> re.Pattern[str]:
    """A compiled regular expression, or a ValueError that says why it is none."""
    try:
        return re.compile(given)
    except (re.error, OverflowError) as error:
        raise ValueError(f"Expected a regular expression: {error}. Received: {given!r}.") from None


def why_not_followed(error: Exception) -> str:
    """What a layer's code, which raised that of symbolic tensors, does that can't be followed."""
    said = in_one_line(error)
    if "KerasTensor" in said:  # Keras explains at length what that is
        return (
            "its code can't be followed, as it calls functions of TensorFlow, JAX or NumPy; those "
            "of keras.ops can be"
        )
    said = said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}..."
    return f"its code can't be followed on symbolic tensors ({type(error).__name__}: {said})"
