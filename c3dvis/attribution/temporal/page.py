"""Renders a temporal report as Markdown and as a page of HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import jinja2

from c3dvis.attribution.temporal.report import Row, TemporalReport
from c3dvis.text import markdown, visible

_COLUMNS = ("OS", "FS", "RS", "CS", "P", "frames")
_LEGEND = (
    "OS: softmax score of the predicted class; FS: its score with the frames of the mask frozen; "
    "RS: with them reversed; CS: score of the true class, and P: the predicted class, where they "
    "differ; frames: the mask."
)
_SUMMARY = ("network", "OS", "FS", "RS", "drop by freezing", "drop by reversal", "frames")
_SUMMARY_LEGEND = "Scores and frames are means over the clips; drops, relative to OS, are medians."

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Frames that decide</title>
<style>
body { margin: 2rem; font: 16px/1.5 system-ui, sans-serif; color: #1c1f23; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #dcdfe3; text-align: left; }
.first { border-left: 1px solid #dcdfe3; }
.frames { white-space: nowrap; }
.frames i { display: inline-block; width: .45rem; height: 1rem; margin-right: 1px; }
.on { background: #c62828; }
.off { background: #66bb6a; height: .5rem !important; }
</style>
</head>
<body>
<h1>Frames that decide</h1>
<p>Masks by the method {{ method|visible }}. {{ legend }}</p>
<div class="wide"><table>
<thead>
<tr><th rowspan="2">clip</th>
{% for network in networks %}
<th class="first" colspan="{{ columns|length }}"><bdi>{{ network|visible }}</bdi></th>
{% endfor %}
</tr>
<tr>
{% for network in networks %}
{% for column in columns %}
<th{% if loop.first %} class="first"{% endif %}>{{ column }}</th>
{% endfor %}
{% endfor %}
</tr>
</thead>
<tbody>
{% for clip, cells in clips %}
<tr><th><bdi>{{ clip|visible }}</bdi></th>
{% for row, texts in cells %}
{% for text in texts %}
<td{% if loop.first %} class="first"{% endif %}><bdi>{{ text|visible }}</bdi></td>
{% endfor %}
<td class="frames" title="{{ row.frames|spans }}">
{%- for on in row.frames %}<i class="{{ "on" if on else "off" }}"></i>{% endfor -%}
</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
<h2>Networks</h2>
<p>{{ summary_legend }}</p>
<table>
<thead><tr>{% for head in summary_heads %}<th>{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for line in summary %}
<tr>{% for text in line %}<td><bdi>{{ text|visible }}</bdi></td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</body>
</html>
"""


def to_markdown(report: TemporalReport) -> str:
    """Renders a report as two Markdown tables: the clips, and a summary of the networks.

    Args:
        report: Of `temporal_report`.

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
        [_LEGEND, _table(heads, lines), _SUMMARY_LEGEND, _table(_SUMMARY, _summary(report))]
    )


def to_html(report: TemporalReport) -> str:
    """Renders a report as a page, with a red mark for each frame of a mask, green for others.

    Args:
        report: Of `temporal_report`.

    Returns:
        HTML that needs no other file.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(spans=_spans, visible=visible)
    return environment.from_string(_PAGE).render(
        method=report.method,
        legend=_LEGEND,
        networks=report.networks,
        columns=_COLUMNS,
        clips=[(clip, [(row, _texts(row)) for row in rows]) for clip, rows in _by_clip(report)],
        summary_legend=_SUMMARY_LEGEND,
        summary_heads=_SUMMARY,
        summary=_summary(report),
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


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    top, *rows = (f"| {' | '.join(map(markdown, row))} |" for row in [heads, *lines])
    return "\n".join([top, "|---" * len(heads) + "|", *rows])
