"""What `--list-layers` and `--dry-run` print."""

from __future__ import annotations

from collections.abc import Sequence

from c3dvis.gallery.overview import shape_text
from c3dvis.gallery.plan import CLASSES, LayerLike, Section, Unit
from c3dvis.text import visible


def layer_table(layers: Sequence[LayerLike], class_names: Sequence[str], count: int) -> str:
    """The layers that can be shown, and the classes."""
    rows = []
    for layer in layers:
        shape = shape_text(layer.shape or ()).replace("×", "x")
        rows.append((visible(layer.name), layer.kind, shape, str(layer.channels)))
    text = _table(("layer", "kind", "output", "filters"), rows)
    if not count:
        return text
    names = "".join(f"\n  {i}  {visible(name)}" for i, name in enumerate(class_names))
    return f"{text}\n\n{count} classes{':' if names else ''}{names}"


def plan_table(sections: Sequence[Section], finished: Sequence[Unit]) -> str:
    """What a run would make, layer by layer."""
    there = set(finished)
    rows = []
    for section in sections:
        done = sum(unit in there for unit in section.units)
        what = "classes" if section.layer == CLASSES else visible(section.layer)
        chosen = ranges([unit.channel for unit in section.units])
        rows.append((what, chosen, str(len(section.units) - done), str(done)))
    total = [sum(int(row[column]) for row in rows) for column in (2, 3)]
    rows.append(("together", "", str(total[0]), str(total[1])))
    return _table(("layer", "filters", "to make", "already made"), rows)


def ranges(channels: Sequence[int]) -> str:
    """Channels as they are written on the command line.

    >>> ranges([0, 1, 2, 3, 7])
    '0-3,7'
    """
    runs: list[list[int]] = []
    for channel in channels:
        if runs and channel == runs[-1][1] + 1:
            runs[-1][1] = channel
        else:
            runs.append([channel, channel])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, ["-" * width for width in widths], *rows)
    ]
    return "\n".join(lines)
