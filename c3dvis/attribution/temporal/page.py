"""Renders a temporal report as Markdown and as a page of HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from c3dvis.pages import environment
from c3dvis.text import markdown, table

if TYPE_CHECKING:
    from c3dvis.attribution.temporal.report import Row, TemporalReport

_COLUMNS = ("OS", "FS", "RS", "CS", "P", "frames")
_LEGEND = (
    "OS: softmax score of the predicted class; FS: its score with the frames of the mask frozen; "
    "RS: with them reversed; CS: score of the true class, and P: the predicted class, where they "
    "differ; frames: the mask."
)
_SUMMARY = ("network", "OS", "FS", "RS", "drop by freezing", "drop by reversal", "frames")
_SUMMARY_LEGEND = "Scores and frames are means over the clips; drops, relative to OS, are medians."


def to_markdown(report: TemporalReport) -> str:
    """Renders a report as two Markdown tables: the clips, and a summary of the networks.

    Args:
        report: Result of `temporal_report`.

    Returns:
        Markdown, with a legend above each table.
    """
    several = len(report.networks) > 1
    heads = ["clip"]
    for network in report.networks:
        heads += [f"{network} {column}" if several else column for column in _COLUMNS]
    lines = [
        [clip, *(text for row in rows for text in (*_texts(row), _marks(row)))]
        for clip, rows in _by_clip(report)
    ]
    return "\n\n".join(
        [
            _LEGEND,
            _table(heads, lines),
            _SUMMARY_LEGEND,
            _table(_SUMMARY, _summary(report)),
        ]
    )


def to_html(report: TemporalReport) -> str:
    """Renders a report as a page, with a red mark for each frame of a mask, green for others.

    Args:
        report: Result of `temporal_report`.

    Returns:
        HTML that needs no other file.
    """
    return (
        environment()
        .get_template("temporal.html")
        .render(
            spans=_spans,
            method=report.method,
            legend=_LEGEND,
            networks=report.networks,
            columns=_COLUMNS,
            clips=[(clip, [(row, _texts(row)) for row in rows]) for clip, rows in _by_clip(report)],
            summary_legend=_SUMMARY_LEGEND,
            summary_heads=_SUMMARY,
            summary=_summary(report),
        )
    )


def _by_clip(report: TemporalReport) -> Iterable[tuple[str, Sequence[Row]]]:
    count = len(report.networks)
    for first in range(0, len(report.rows), count):
        rows = report.rows[first : first + count]
        yield rows[0].clip, rows


def _texts(row: Row) -> list[str]:
    scores = [f"{score:.3f}" for score in (row.original, row.frozen, row.reversed)]
    wrong = ["", ""] if row.correct is None else [f"{row.correct:.3f}", row.predicted]
    return scores + wrong


def _marks(row: Row) -> str:
    return "".join("█" if on else "·" for on in row.frames)


def _spans(frames: Sequence[bool]) -> str:
    """The frames of a mask as ranges.

    >>> _spans([False, True, True, False, True])
    'frames 1-2, 4'
    """
    runs = [
        (run.start(), run.end() - 1)
        for run in re.finditer("1+", "".join("1" if on else "0" for on in frames))
    ]
    texts = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    return f"frames {', '.join(texts)}" if texts else "no frames"


def _summary(report: TemporalReport) -> list[list[str]]:
    return [
        [
            one.network,
            *(f"{score:.3f}" for score in (one.original, one.frozen, one.reversed)),
            *(f"{drop:.0%}" for drop in (one.freeze_drop, one.reverse_drop)),
            f"{one.frames:.1f}",
        ]
        for one in report.summary()
    ]


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return table(list(map(markdown, heads)), [list(map(markdown, line)) for line in lines])
