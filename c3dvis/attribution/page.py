"""The pages of the command's folder: index.html and README.md."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from c3dvis import files, pages
from c3dvis.attribution import records
from c3dvis.models import chosen as choices
from c3dvis.pages import windows
from c3dvis.text import in_short

FPS = 8


def write(out: Path, failed: Sequence[pages.PictureGroup], args: argparse.Namespace) -> None:
    """Writes the pages of all records in the folder, those of earlier runs too.

    Args:
        out: The folder.
        failed: A group for each clip that failed.
        args: The command's arguments.
    """
    every = {path.stem: files.read_json(path) for path in sorted(out.glob("*.json"))}
    kept = {name: record for name, record in every.items() if records.is_whole(record, out)}
    groups: dict[str, pages.PictureGroup] = {}
    shown: set[tuple[str, str]] = set()
    for name, record in kept.items():
        stem = record.get("part", name.removesuffix(f"-{record['method']}"))
        shown.add((stem, record["asked"]))
        empty = pages.PictureGroup(record["clip"], record["about"], [], anchor=stem)
        group = groups.get(stem, empty)
        highest = record["highest"] or "one for the whole clip"
        row = (record["method"], record["asked"], record["frames"], highest)
        groups[stem] = replace(
            group,
            pictures=[*group.pictures, *records.pictures(name, record)],
            table=[*(group.table or [_FRAME_HEADS]), row],
        )
    groups |= _films(every, shown)
    networks = sorted({record["network"] for record in kept.values()})
    pages.write(
        out,
        f"Heatmaps of {in_short(networks)}" if networks else "No heatmaps were made",
        _about(list(kept.values()), args.options),
        [*(groups[name] for name in sorted(groups)), *failed],
        banner=choices.training_data_note(args),
        fps=FPS,
    )


def _films(
    every: Mapping[str, Any], shown: Collection[tuple[str, str]]
) -> dict[str, pages.PictureGroup]:
    """The sections of films that were cut into windows; damaged records are left out."""
    films = {}
    for name, record in every.items():
        if isinstance(record, dict) and "windows" in record:
            with contextlib.suppress(ValueError):
                films[name] = windows.group(record, shown, pictures="heatmaps")
    return films


_FRAME_HEADS = ("method", "explained", "frames that decided", "network's score by frame")


def _about(kept: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
    """How the pictures are read."""
    methods = list(dict.fromkeys(record["method"] for record in kept))
    smoothed = {"smoothed" in record["settings"] for record in kept}
    colours = " Smoothed: ".join(
        "Orange is what matters to the explained class, for it or against it."
        if smooth
        else "Orange is evidence for the explained class, blue against it."
        for smooth in sorted(smoothed)
    )
    third = [_THIRD[method] for method in methods if method in _THIRD]
    if "window" in methods and options.get("by", "keep") == "keep":
        third.insert(0, _KEPT_WINDOW)
    return " ".join(
        [
            f"{colours} Each picture shows the clip, then the clip in grey under the heatmap; an "
            "orange border marks a frame that decides. The bar below has one mark per frame, and "
            "the dark line under it marks the frame shown. The table lists the frames that "
            "decided: those that the method finds or, for other heatmaps, the fewest that hold "
            "half of the heat."
            + (_CROPPED if any(record.get("cropped") for record in kept) else "")
            + (_STRIP if any(record["highest"] for record in kept) else ""),
            *third,
        ]
    )


_CROPPED = (
    " Where a clip was cropped, a line surrounds what the network saw; outside it the film is "
    "paler and has no heat."
)
_STRIP = (
    " The grey columns above the bar are the network's score for the class in each frame of its "
    "output; the full height is 1 or, if scores are larger, the largest."
)
# What the third picture is, where a method changes the clip.
_KEPT_WINDOW = (
    "window: the third picture is the clip frozen outside the frames found; the network scores it "
    "nearly like the whole clip."
)
_THIRD = {
    "freeze": "freeze: the third picture is the clip with the frames found frozen, which lowers "
    "the probability of the class.",
    "reverse": "reverse: the third picture is the clip with the frames found reversed, which "
    "lowers the probability of the class.",
    "occlusion": "occlusion: the third picture is the clip without the block whose removal lowers "
    "the score most.",
    **{
        name: f"{name}: the third picture is the clip blurred outside the smallest region that "
        "keeps nine tenths of the class's probability."
        for name in ("step", "extremal_3d", "extremal_2d")
    },
}
