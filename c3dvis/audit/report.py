"""Writes the folder of an audit: pages, films of the clips that lose the most, tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from c3dvis import files, pages
from c3dvis.audit.changed_clips import ChangedClips
from c3dvis.audit.changes import BLURRED, BLURRED_ACTOR, CHANGES, ORIGINAL, SWAPPED
from c3dvis.audit.result import Audit, ClipScores, Summary
from c3dvis.audit.verdict import RULE
from c3dvis.intervals import Interval
from c3dvis.text import in_short, number

_FPS = 8
# Changes of which the clips that lose the most are shown.
_SHOWN = ("freeze", "reverse", SWAPPED, BLURRED, BLURRED_ACTOR)
# Of a summary, each with an interval.
_MEASURES = ("accuracy", "probability", "logit", "evidence", "loss")
# Probability that a clip must lose to be shown.
_LOSES = 0.05
# Pixels that a film of two clips is at least wide on the page.
_WIDTH = 320


def write(
    folder: Path, audit: Audit, changed: ChangedClips, *, shown: int, note: str | None
) -> None:
    """Writes `index.html`, `README.md`, `scores.csv`, `summary.csv`, `audit.json` and films.

    Args:
        folder: Folder of all files.
        audit: What was measured.
        changed: The clips, for the films.
        shown: Clips of each change that are shown.
        note: A sentence at the top of the pages.

    Raises:
        OSError: If files cannot be written.
    """
    files.write_text(folder / "scores.csv", _csv(_score_rows(audit)))
    files.write_text(folder / "summary.csv", _csv(_summary_rows(audit)))
    files.write_json(folder / "audit.json", _as_json(audit))
    groups = [
        pages.PictureGroup("Verdict", _ABOUT_VERDICTS, table=_verdicts(audit)),
        pages.PictureGroup("All classes", _ABOUT_CHANGES, table=_changes(audit)),
        pages.PictureGroup("Each class", _ABOUT_CLASSES, table=_classes(audit)),
        *_worst(folder, audit, changed, shown),
        *_left_out(audit),
        pages.PictureGroup("Rule", RULE),
    ]
    clips, classes = len(audit.clips), len(audit.labels)
    about = (
        f"{audit.network} on {clips} clips of {classes} classes, original and changed: "
        f"{audit.verdict().text}. All scores are in scores.csv, means with their intervals in "
        "summary.csv."
    )
    title = f"Motion or background: {audit.network}"
    pages.write(folder, title, about, groups, banner=note, fps=_FPS)


_ABOUT_VERDICTS = "By the rule at the end of the page; intervals are over films."
_ABOUT_CHANGES = (
    "Means over all clips, with 95 % intervals over films. Accuracy is the share of clips whose "
    "class has the highest score; evidence and loss are defined by the rule at the end."
)
_ABOUT_CLASSES = "Mean probability of the class under each change; intervals are in summary.csv."
_ABOUT_WORST = (
    "The clips that lose the most: the original on the left, the changed clip on the right. "
    "Below, the probability of the clip's class before and after the change, and the class "
    "predicted then."
)


def _verdicts(audit: Audit) -> list[list[str]]:
    heads = ["class", "clips", "films", "accuracy", "motion", "background", "appearance", "verdict"]
    rows = [heads]
    for label in (None, *audit.labels):
        original, verdict = audit.summary(ORIGINAL, label), audit.verdict(label)
        if original is None:
            continue
        counts = [str(original.clips), str(original.sources), f"{original.accuracy.mean:.0%}"]
        read = [verdict.motion, verdict.background, verdict.appearance, verdict.text]
        rows.append([_class_name(audit, label), *counts, *read])
    return rows


def _changes(audit: Audit) -> list[list[str]]:
    rows = [["change", "what is shown", "clips", "accuracy", "probability", "evidence", "loss"]]
    for change, one in audit.summaries().items():
        cells = [_in_words(each) for each in (one.accuracy, one.probability, one.evidence)]
        loss = "–" if one.loss is None or change == ORIGINAL else _in_words(one.loss)
        rows.append([_title(change), CHANGES[change], str(one.clips), *cells, loss])
    return rows


def _classes(audit: Audit) -> list[list[str]]:
    every = list(audit.summaries())
    rows = [["class", *map(_title, every)]]
    for label in audit.labels:
        own = audit.summaries(label)
        cells = [f"{own[c].probability.mean:.2f}" if c in own else "–" for c in every]
        rows.append([_class_name(audit, label), *cells])
    return rows


def _worst(
    folder: Path, audit: Audit, changed: ChangedClips, shown: int
) -> Iterator[pages.PictureGroup]:
    """Films of the clips that lose the most under each change."""
    index = {name: i for i, name in enumerate(changed.clip_set.names)}
    for change in _SHOWN:
        losing = [clip for clip in audit.clips if _lost(clip, change) > _LOSES]
        worst = sorted(losing, key=lambda clip: -_lost(clip, change))[:shown]
        pictures = []
        for place, clip in enumerate(worst):
            pair = np.concatenate(changed.example(index[clip.name], change), axis=2)
            caption = _caption(audit, clip, change)
            film = pages.film(
                folder,
                f"{change}-{place}",
                pair,
                caption,
                alt=f"{clip.name}, original and {CHANGES[change]}: {caption}",
                fps=_FPS,
                width=max(_WIDTH, pair.shape[2]),
            )
            pictures.append(film)
        if pictures:
            yield pages.PictureGroup(f"Largest losses: {_title(change)}", _ABOUT_WORST, pictures)


def _lost(clip: ClipScores, change: str) -> float:
    if change not in clip.scores:
        return -math.inf
    return clip.scores[ORIGINAL].probability - clip.scores[change].probability


def _caption(audit: Audit, clip: ClipScores, change: str) -> str:
    before, after = clip.scores[ORIGINAL], clip.scores[change]
    predicted = "" if after.predicted == clip.label else f", {audit.class_names[after.predicted]}"
    probabilities = f"{number(before.probability)} to {number(after.probability)}"
    return f"{audit.class_names[clip.label]}: {probabilities}{predicted} ({clip.name})"


def _left_out(audit: Audit) -> Iterator[pages.PictureGroup]:
    reasons: dict[str, list[str]] = {}
    for clip in audit.clips:
        if clip.no_actor is not None:
            reasons.setdefault(clip.no_actor, []).append(clip.name)
    if reasons:
        rows = [[why, str(len(names)), in_short(names)] for why, names in reasons.items()]
        about = "Actor and background could not be separated in these clips."
        yield pages.PictureGroup(
            "Clips without changed backgrounds", about, table=[["why", "clips", "names"], *rows]
        )
    if audit.failed:
        about = "These are left out of everything above."
        yield pages.PictureGroup(
            "Clips that could not be read", about, table=[["clip", "why"], *map(list, audit.failed)]
        )


def _class_name(audit: Audit, label: int | None) -> str:
    return "all classes" if label is None else audit.class_names[label]


def _title(change: str) -> str:
    return change.replace("_", " ")


def _in_words(interval: Interval) -> str:
    mean, low, high = (f"{end:.2f}".replace("-0.00", "0.00") for end in interval)
    if math.isinf(interval.low):
        return mean
    return f"{mean} ({low} to {high})".replace(" ", "\N{NO-BREAK SPACE}")


def _score_rows(audit: Audit) -> Iterator[Sequence[Any]]:
    yield "clip film class change probability logit correct predicted no_actor".split()
    for clip in audit.clips:
        for change, score in clip.scores.items():
            numbers = [score.probability, score.logit, score.correct]
            names = [audit.class_names[one] for one in (clip.label, score.predicted)]
            why = clip.no_actor or ""
            yield [clip.name, clip.source, names[0], change, *numbers, names[1], why]


def _summary_rows(audit: Audit) -> Iterator[Sequence[Any]]:
    ends = [name + end for name in _MEASURES for end in ("", "_low", "_high")]
    yield ["class", "change", "clips", "films", *ends]
    for label in (None, *audit.labels):
        for change, one in audit.summaries(label).items():
            numbers = [end for name in _MEASURES for end in _finite(getattr(one, name))]
            yield [_class_name(audit, label), change, one.clips, one.sources, *numbers]


def _as_json(audit: Audit) -> dict[str, Any]:
    return {
        "network": audit.network,
        "chance": audit.chance,
        "rule": RULE,
        "classes": [
            {
                "class": _class_name(audit, label),
                "verdict": {**asdict(audit.verdict(label)), "text": audit.verdict(label).text},
                "changes": {c: _summary(one) for c, one in audit.summaries(label).items()},
            }
            for label in (None, *audit.labels)
        ],
        "failed": dict(audit.failed),
    }


def _summary(one: Summary) -> dict[str, Any]:
    return {
        "clips": one.clips,
        "films": one.sources,
        **{name: _finite(getattr(one, name)) for name in _MEASURES},
    }


def _finite(interval: Interval | None) -> list[float | None]:
    """An interval as JSON and CSV keep it: without the ends that one film doesn't give."""
    if interval is None:
        return [None, None, None]
    return [end if math.isfinite(end) else None for end in interval]


def _csv(rows: Iterator[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
