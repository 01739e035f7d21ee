"""A long film in windows: a class's score in each of them, and which windows are explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives, pages, stored
from c3dvis.attribution import class_answers
from c3dvis.attribution.material import Material
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import chosen as choices
from c3dvis.objectives import Objective
from c3dvis.objectives.describe import describe
from c3dvis.text import number


@dataclass(frozen=True)
class FilmWindows:
    """How windows of a film answer what is asked.

    Attributes:
        objective: What is asked of each window.
        values: float64 `(windows,)`, the class's probability, or the objective's score.
        unit: What the values are, "probability" or "score".
    """

    objective: Objective
    values: NDArray[np.float64]
    unit: str

    def strongest(self, count: int) -> list[int]:
        """Numbers of the windows with the highest values, in the order of time."""
        return sorted(np.argsort(-self.values, kind="stable")[:count].tolist())


def judge(
    network: keras.Model,
    windows: Sequence[Material],
    target: Objective | None,
    preprocess: Callable | None,
) -> FilmWindows:
    """Scores all windows of a film.

    Args:
        network: What is asked.
        windows: Of the film.
        target: What of; None is the class of the highest mean over the windows.
        preprocess: As `attribute` takes it.

    Raises:
        ValueError: No target, of a network that gives no classes.
    """
    clips = np.stack([one.clip for one in windows])
    if target is None:
        if not choices.class_count(network):
            raise ValueError(
                "Expected --target, or a network that gives classes for the whole clip, with "
                f"--windows. Received: neither; the output is {network.output_shape[1:]}."
            )
        values = class_answers.class_values(network, clips, preprocess)
        index = int(values.mean(axis=0).argmax())
        names = getattr(network, "class_names", None)
        objective = objectives.logit(index if names is None else names[index])
        return FilmWindows(objective, _finite(values)[:, index], class_answers.unit(network))
    scorer = Scorer(network, target, preprocess=preprocess)
    unit = class_answers.unit(network) if scorer.shared.has_probability else "score"
    scored = scorer.probabilities(clips) if unit == "probability" else scorer.scores(clips)
    return FilmWindows(target, _finite(scored.astype(np.float64)), unit)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise ValueError("Expected finite scores of all windows. Received: NaN or Inf.")
    return values


def record(
    judged: FilmWindows, windows: Sequence[Material], film: str, network: str
) -> dict[str, Any]:
    """What is kept of a film's windows, as JSON."""
    rows = []
    for one, value in zip(windows, judged.values, strict=True):
        assert one.excerpt is not None  # only films are cut into windows
        first, last = one.excerpt.span
        times = {"frames": f"{first} to {last}", "seconds": one.excerpt.seconds_in_words}
        rows.append({"name": one.name, **times, "value": float(value)})
    asked = describe(judged.objective)
    return {"film": film, "network": network, "asked": asked, "unit": judged.unit, "windows": rows}


def group(record: Any, shown: Mapping[str, Any]) -> pages.PictureGroup:
    """The section of a page on a film: its windows' values over time, and links to their heatmaps.

    Args:
        record: As `record` made it.
        shown: What windows, by the names of their files, the page shows.

    Raises:
        ValueError: A record that is none.
    """
    try:
        rows = [
            (stored.text(row["name"]), stored.text(row["frames"]), stored.text(row["seconds"]))
            for row in stored.items(record["windows"])
        ]
        values = [stored.number(row["value"]) for row in record["windows"]]
        film, asked, unit = (stored.text(record[name]) for name in ("film", "asked", "unit"))
    except (KeyError, TypeError) as error:
        raise ValueError("Expected a record of a film's windows. Received: another.") from error
    if not rows:
        raise ValueError("Expected a record of a film's windows. Received: one without any.")
    highest, lowest = int(np.argmax(values)), int(np.argmin(values))
    about = (
        f"{len(rows)} windows, each a clip for the network. The columns are its {unit} of "
        f"{asked.removeprefix('logit of ')} in one window after the other, orange where there are "
        f"heatmaps below; the highest is {number(values[highest])}, in window {highest + 1}, the "
        f"lowest {number(values[lowest])}, in window {lowest + 1}."
    )
    table: list[list[str | pages.Link]] = [["window", "frames", "seconds", unit, "heatmaps"]]
    for i, (name, frames, seconds) in enumerate(rows):
        link = pages.Link(f"window {i + 1}", name) if name in shown else ""
        table.append([str(i + 1), frames, seconds, number(values[i]), link])
    marked = [i for i, (name, *_) in enumerate(rows) if name in shown]
    bars = pages.Bars(_heights(values), marked, f"{unit} of {asked} by window")
    return pages.PictureGroup(f"{film}, window by window", about, table=table, bars=bars)


def _heights(values: Sequence[float]) -> list[float]:
    """Shares of the whole height: as they are from 0 to 1, else from the lowest or 0 upward."""
    low, high = min(0.0, *values, 0.0), max(*values, 0.0)
    if low == 0 and high <= 1:
        return list(values)
    return [(value - low) / (high - low) for value in values]
