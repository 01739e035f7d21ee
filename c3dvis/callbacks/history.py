"""The folder of a callback: results of each epoch and unit, films, and the page.

callback.json             the settings that every training in this folder must agree on
conv3b-7/epoch-0002.gif   the result of epoch 2 for a unit
conv3b-7/epoch-0002.json  its record, written last: nothing counts without one
conv3b-7/film.gif         its epochs one after the other
index.html README.md      the page
set-aside-1/              later epochs of a training that was begun again earlier
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, pages, stored
from c3dvis.callbacks.film import film, film_epochs
from c3dvis.files import read_json, safe_names, write_json
from c3dvis.text import number

_SETTINGS = "callback.json"
_RECORD = "epoch-{:04d}"
_ASIDE = "set-aside-{}"
# The folder's own files, in lower case.
_OWN_NAMES = {"callback.json", "index.html", "readme.md"}


@dataclass(frozen=True)
class Tracked:
    """One thing that is followed over the epochs.

    Attributes:
        title: For people.
        stem: Name of its folder.
    """

    title: str
    stem: str


def named(titles: Sequence[str]) -> list[Tracked]:
    """What is tracked, for each title; equal titles are numbered.

    >>> [one.stem for one in named(["channel 7 of conv3b", "channel 7 of conv3b"])]
    ['channel_7_of_conv3b-931730ba', 'channel_7_of_conv3b_2-d9e78cb9']
    """
    numbered = []
    for i, title in enumerate(titles):
        before = list(titles[:i]).count(title)
        numbered.append(f"{title} ({before + 1})" if before else title)
    stems = safe_names(numbered, taken=_OWN_NAMES, empty="unit")
    return [Tracked(title, stems[title]) for title in numbered]


@dataclass(frozen=True)
class EpochResult:
    """The result of an epoch for a unit.

    Attributes:
        score: Score of the objective; None if it is not finite or unknown.
        frames: float32 `(T, H, W, 3)` in [0, 1]; None if there is nothing to show.
        error_message: The reason, if there is nothing to show.
    """

    score: float | None = None
    frames: NDArray[np.float32] | None = None
    error_message: str = ""


class History:
    """The results in a folder, by epoch; all state is in the folder.

    Args:
        folder: Output folder; created if missing.
        settings: What all epochs must have in common, fit for JSON.
        fps: Frames per second of what is written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, fps: float):
        self.folder, self.fps = folder, fps
        self.settings = dict(settings)

    def begin(self) -> None:
        """Claims the folder for these settings.

        Raises:
            ValueError: A folder with other settings, or with pages of something else; a file.
        """
        if self.folder.is_file():
            raise ValueError(f"Expected a folder. Received: {str(self.folder)!r}, which is a file.")
        path = self.folder / _SETTINGS
        before = read_json(path)
        if not isinstance(before, dict):
            taken = [name for name in ("index.html", "README.md") if (self.folder / name).exists()]
            if taken:
                raise ValueError(
                    "Expected a folder that is new or was begun by this callback. "
                    f"Received: {str(self.folder)!r}, which has {taken[0]} of something else."
                )
        elif before != self.settings:
            names = [
                k for k in {**before, **self.settings} if before.get(k) != self.settings.get(k)
            ]
            differences = ", ".join(
                f"{k} {before.get(k)!r} there, {self.settings.get(k)!r} now" for k in names
            )
            raise ValueError(
                f"Expected the settings that {str(self.folder)!r} was begun with. "
                f"Received: {differences}."
            )
        write_json(path, self.settings)

    def set_aside(self, trained: int) -> Path | None:
        """Moves away the records of epochs after the number of trained ones.

        Returns:
            The folder where they are now; None where there were none.
        """
        later = [p for p in self.folder.glob("*/epoch-*.*") if _epoch_of(p) > trained]
        if not later:
            return None
        numbers = iter(range(1, len(list(self.folder.iterdir())) + 2))
        aside = next(p for n in numbers if not (p := self.folder / _ASIDE.format(n)).exists())
        # A record before its GIF, as a GIF alone does not count.
        for path in sorted(later, key=lambda p: p.suffix != ".json"):
            target = aside / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        return aside

    def put(self, unit: Tracked, epoch: int, result: EpochResult) -> Path | None:
        """Writes the result of an epoch; returns the path of its GIF, if there is one.

        Raises:
            OSError: If files cannot be written.
        """
        path = self.folder / unit.stem / f"{_RECORD.format(epoch)}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {
            "title": unit.title,
            "epoch": epoch,
            "error_message": result.error_message,
        }
        record["score"] = stored.finite(result.score)
        record["width"] = record["frames"] = None
        if result.frames is not None:
            clips.write(path, result.frames, fps=self.fps)
            record["width"] = clips.enlarge(result.frames[:1]).shape[2]
            record["frames"] = len(result.frames)
        write_json(path.with_suffix(".json"), record)
        return None if result.frames is None else path

    def show(self, units: Sequence[Tracked], heading: str, about: str) -> None:
        """Writes each unit's film, and the page.

        Raises:
            OSError: If files cannot be written.
        """
        sections = [self._section(unit) for unit in units]
        pages.write(self.folder, heading, about, sections)

    def film(self, unit: Tracked) -> None:
        """Writes a unit's film of the GIFs that are there; without any, removes it."""
        records = [record for record in self._records(unit) if record["width"]]
        path = self.folder / unit.stem / "film.gif"
        if not records:
            path.unlink(missing_ok=True)
            return
        picked = [records[i] for i in film_epochs(len(records))]
        # A GIF stores equal consecutive frames as one.
        shown = [
            clips.read(self._gif(unit, record), frames=record["frames"], short="hold")
            for record in picked
        ]
        moving = film(shown, [f"epoch {record['epoch']}" for record in picked])
        clips.write(path, moving, fps=self.fps)

    def _section(self, unit: Tracked) -> pages.PictureGroup:
        records = list(self._records(unit))
        shown = [record for record in records if record["width"]]
        pictures = []
        if shown and (self.folder / unit.stem / "film.gif").is_file():
            caption = "film of the epochs"
            film_file = f"{unit.stem}/film.gif"
            pictures.append(pages.Picture(film_file, caption, shown[-1]["width"]))
        for record in shown:
            caption = f"epoch {record['epoch']}: score {number(record['score'])}"
            name = f"{unit.stem}/{self._gif(unit, record).name}"
            pictures.append(pages.Picture(name, caption, record["width"]))
        missing = [f"Epoch {r['epoch']}: {r['error_message']}." for r in records if not r["width"]]
        return pages.PictureGroup(unit.title, " ".join(missing), pictures)

    def _records(self, unit: Tracked) -> Iterator[dict[str, Any]]:
        """Records in the order of epochs, without those whose GIF is gone."""
        for path in sorted((self.folder / unit.stem).glob("epoch-*.json"), key=_epoch_of):
            record = read_json(path)
            if _is_record(record) and record["epoch"] == _epoch_of(path):
                if not record["width"] or path.with_suffix(".gif").is_file():
                    yield record

    def _gif(self, unit: Tracked, record: Mapping[str, Any]) -> Path:
        return self.folder / unit.stem / f"{_RECORD.format(record['epoch'])}.gif"


def _is_record(values: Any) -> bool:
    """Whether a record is one that `put` wrote, undamaged."""
    try:
        stored.text_or_none(values["error_message"])
        stored.number_or_none(values["score"])
        for name in ("width", "frames"):
            if values[name] is not None:
                stored.count(values[name])
        return stored.count(values["epoch"]) >= 0
    except (KeyError, TypeError, ValueError):
        return False


def _epoch_of(path: Path) -> int:
    """The epoch in a file's name; -1 where there is none."""
    digits = path.stem.removeprefix("epoch-")
    return int(digits) if digits.isascii() and digits.isdigit() else -1
