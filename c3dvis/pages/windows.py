"""A long film in windows: values over time, their record, and their part of a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import stored
from c3dvis.pages.pictures import Bars, Link, PictureGroup
from c3dvis.text import number

if TYPE_CHECKING:
    from c3dvis.clips.reading import Excerpt


@dataclass(frozen=True, eq=False)
class Series:
    """A value in each window of a film.

    Attributes:
        asked: What was computed, such as "logit of moving left".
        values: float64 `(windows,)`.
        unit: Noun for the values, such as "probability".
    """

    asked: str
    values: NDArray[np.float64]
    unit: str

    def strongest(self, count: int) -> list[int]:
        """Indices of the windows with the highest values, in the order of time.

        >>> Series("a", np.array([0.1, 0.9, 0.2, 0.8]), "score").strongest(2)
        [1, 3]
        """
        return sorted(np.argsort(-self.values, kind="stable")[:count].tolist())


def part_name(name: str, number: int, count: int) -> str:
    """Name of the files of a window, counted from 1; 0 is for all windows.

    >>> part_name("wave", 3, 16)
    'wave-03-of-16'
    """
    return f"{name}-{number:0{len(str(count))}}-of-{count}"


def title(film: str, number: int, count: int) -> str:
    """Title of a window, counted from 1.

    >>> title("wave.mp4", 3, 16)
    'wave.mp4, window 3 of 16'
    """
    return f"{film}, window {number} of {count}"


def record(
    film: str,
    network: str,
    names: Sequence[str],
    excerpts: Sequence[Excerpt],
    series: Sequence[Series],
) -> dict[str, Any]:
    """The record of a film's windows, as JSON keeps it.

    Args:
        film: Name of the film.
        network: Name of the network.
        names: Names of the windows, used in links.
        excerpts: The excerpt of the film in each window.
        series: The values of all windows, one or several.
    """
    windows = []
    for name, one in zip(names, excerpts, strict=True):
        first, last = one.span
        times = {"frames": f"{first} to {last}", "seconds": one.seconds_in_words}
        windows.append({"name": name, **times})
    of_series = [
        {"asked": one.asked, "unit": one.unit, "values": one.values.tolist()} for one in series
    ]
    return {"film": film, "network": network, "windows": windows, "series": of_series}


def group(
    record: Any,
    shown: Collection[tuple[str, str]],
    *,
    pictures: str,
    own_scales: bool = False,
) -> PictureGroup:
    """The section of a page on a film: values over time, and links to the pictures of its windows.

    Args:
        record: The result of `record`.
        shown: Name of a window and `Series.asked`, for each picture of the page.
        pictures: Plural noun for these pictures, such as "heatmaps".
        own_scales: Whether each series has its own scale.

    Raises:
        ValueError: If the record is damaged.
    """
    try:
        film, windows, series = _read(record)
    except (KeyError, TypeError) as error:
        raise ValueError("Expected a record of a film's windows. Received: another.") from error
    marked = [
        [i for i, (name, *_) in enumerate(windows) if (name, one.asked) in shown] for one in series
    ]
    scales = _scales(series, own_scales)
    bars = [
        Bars(_heights(one.values, *scale), of_series, _in_words(one))
        for one, scale, of_series in zip(series, scales, marked, strict=True)
    ]
    units = " and ".join(dict.fromkeys(one.unit for one in series))
    of = f"of {_short(series[0].asked)} " if len(series) == 1 else ""
    about = (
        f"{len(windows)} windows, each a clip for the network. The columns show its {units} {of}"
        f"window by window, orange where there are {pictures} below."
    )
    if len(series) > 1:
        about += " Each row has its own scale." if own_scales else " All rows share one scale."
    heads = [series[0].unit] if len(series) == 1 else [_short(one.asked) for one in series]
    table: list[list[str | Link]] = [["window", "frames", "seconds", *heads, pictures]]
    for i, (name, frames, seconds) in enumerate(windows):
        link = Link(f"window {i + 1}", name) if any(i in each for each in marked) else ""
        values = [number(float(one.values[i])) for one in series]
        table.append([str(i + 1), frames, seconds, *values, link])
    return PictureGroup(f"{film}, window by window", about, table=table, bars=bars)


def _read(record: Any) -> tuple[str, list[tuple[str, str, str]], list[Series]]:
    """The film's name, its windows' names, frames and seconds, and the values."""
    windows = [
        (stored.text(row["name"]), stored.text(row["frames"]), stored.text(row["seconds"]))
        for row in stored.items(record["windows"])
    ]
    series = []
    for one in stored.items(record["series"]):
        values = [stored.number(value) for value in stored.items(one["values"])]
        if len(values) != len(windows):
            raise KeyError("values")
        asked, unit = stored.text(one["asked"]), stored.text(one["unit"])
        series.append(Series(asked, np.array(values), unit))
    if not windows or not series:
        raise KeyError("windows")
    return stored.text(record["film"]), windows, series


def _short(asked: str) -> str:
    return asked.removeprefix("logit of ")


def _in_words(series: Series) -> str:
    """The lowest and the highest value, and their windows."""
    highest, lowest = (int(pick(series.values)) for pick in (np.argmax, np.argmin))
    values = [number(float(series.values[i])) for i in (lowest, highest)]
    return (
        f"{series.unit} of {_short(series.asked)}: from {values[0]} in window {lowest + 1} to "
        f"{values[1]} in window {highest + 1}"
    )


def _scales(series: Sequence[Series], own: bool) -> list[tuple[float, float]]:
    """By series, the values at the bottom and top of its columns; 0 and 1 of probabilities."""
    extremes = [
        (min(0.0, float(one.values.min())), max(0.0, float(one.values.max()))) for one in series
    ]
    if not own:
        lows, highs = zip(*extremes, strict=True)
        extremes = [(min(lows), max(highs))] * len(series)
    if all(one.unit == "probability" for one in series):
        return [(0.0, 1.0)] * len(series)
    return extremes


def _heights(values: NDArray[np.float64], low: float, high: float) -> list[float]:
    if high == low:
        return [0.0] * len(values)
    return ((values - low) / (high - low)).tolist()
