"""The record of each heatmap, a JSON file from which the pages are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from c3dvis import pages, stored
from c3dvis.attribution.result import Attribution
from c3dvis.text import number

_SCALE = 2  # of a picture on the page, where its record has no width


def record(attribution: Attribution, film: pages.Picture, out: Path) -> dict[str, Any]:
    """The record of an attribution whose GIF has been written."""
    names = [film.file, *([] if film.strip is None else [film.strip])]
    return {
        "asked": attribution.objective_name,
        "score": attribution.score,
        "settings": dict(attribution.settings),
        "frames": attribution.deciding_frames,
        "highest": attribution.highest_frame,
        "shape": list(film.shape),
        "files": {name: (out / name).stat().st_size for name in names},
    }


def is_whole(record: Any, out: Path) -> bool:
    """Whether a record is valid and its files have the sizes that it says."""
    texts = dict.fromkeys(("asked", "method", "clip", "network", "about", "frames"), str)
    kinds = {**texts, "score": float, "shape": list, "files": dict, "settings": dict}
    if not isinstance(record, dict) or any(
        type(record.get(name)) is not kind for name, kind in kinds.items()
    ):
        return False
    if not isinstance(record.get("part", ""), str):
        return False
    if not isinstance(record.get("highest", 0), (str, type(None))):
        return False
    if [type(length) for length in record["shape"]] != [int] * 3:
        return False
    try:
        pictures("", record)
    except (TypeError, ValueError, KeyError, AttributeError):
        return False
    paths = [(out / name, size) for name, size in record["files"].items()]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def pictures(name: str, record: Mapping[str, Any]) -> list[pages.Picture]:
    """The picture of a record; of a volume, also those of its three planes."""
    planes = [replace(_plane(film), facets=_facets(record)) for film in record.get("planes", [])]
    return [_picture(name, record), *planes]


def _plane(film: Mapping[str, Any]) -> pages.Picture:
    """A picture that `asdict` wrote to a record; ValueError or KeyError if it is invalid."""
    return pages.Picture(
        stored.text(film["file"]),
        stored.text(film["caption"]),
        stored.count(film["width"]),
        stored.text_or_none(film["alt"]),
        stored.text_or_none(film["strip"]),
        stored.shape(film["shape"]),
        film["slider"] is True,
    )


def _picture(name: str, record: Mapping[str, Any]) -> pages.Picture:
    smoothed = ", smoothed" if "smoothed" in record["settings"] else ""
    caption = f"{record['method']}{smoothed}: {record['asked']}, score {number(record['score'])}"
    if record["settings"].get("complete") is False:
        caption += ", not complete"
    if record["settings"].get("within_tolerance") is False:
        caption += ", not within tolerance"
    if "heatmap" in record:
        caption += f"; {record['heatmap']}"
    return pages.Picture(
        f"{name}.gif",
        caption,
        stored.count(record.get("width", _SCALE * record["shape"][2])),
        alt=f"{record['clip']} and its heatmap in orange and blue, {caption}",
        strip=f"{name}.jpg" if f"{name}.jpg" in record["files"] else None,
        shape=tuple(record["shape"]),
        facets=_facets(record),
    )


def _facets(record: Mapping[str, Any]) -> dict[str, str]:
    """What pictures can be filtered by on the page."""
    asked = record["asked"].removeprefix("logit of ")
    facets = {"method": record["method"], "class": asked, "clip": record["clip"]}
    return {**facets, "network": record["network"]}
