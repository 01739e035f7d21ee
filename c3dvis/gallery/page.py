"""Writes a gallery's pages: index.html, and README.md for GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from c3dvis import __version__, files
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.record import Record
from c3dvis.pages import environment
from c3dvis.text import markdown, number, table, visible

# Filters side by side in a Markdown table; GitHub's text column is about 900 pixels wide.
COLUMNS = 6
# Shown size of a clip in a Markdown table, in pixels: small clips are enlarged to the first.
_SHOWN_WIDTH = (112, 160)


@dataclass(frozen=True)
class Tile:
    """One unit on a page; `record` is None where it is not made yet."""

    unit: Unit
    record: Record | None

    @property
    def name(self) -> str:
        kind = "class" if self.unit.layer == CLASSES else "filter"
        return f"{kind} {self.unit.channel}"

    @property
    def description(self) -> str:
        label = self.unit.label
        owner = f": {visible(label)}" if label else f" of {visible(self.unit.layer)}"
        return self.name if self.unit.layer == CLASSES and not label else self.name + owner

    @property
    def gif(self) -> str | None:
        return self._file("gif")

    @property
    def strip(self) -> str | None:
        return self._file("jpg")

    def _file(self, ending: str) -> str | None:
        path = self.unit.path(ending)
        return path if self.record and path.rpartition("/")[2] in self.record.files else None

    @property
    def note(self) -> str:
        """What a reader must know of the clip, in a few words; empty where all is well."""
        record = self.record
        if record is None:
            return "not made yet"
        match record.status:
            case "no gradient":
                return "no gradient"
            case "failed":
                return f"failed at step {record.failed_step}"
            case "error":
                return f"not made: {visible(str(record.error))}"
        expected = (None, self.unit.label or str(self.unit.channel))
        if record.predicted_class in expected:
            return ""
        return f"the network says: {visible(str(record.predicted_class))}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of its clip."""
        if self.record is None or self.record.shape is None:
            return 1, 1, 1
        frames, height, width, _ = self.record.shape
        return frames, height, width

    @property
    def score(self) -> str:
        # What a clip that is not shown reaches would look like a finding.
        return number(self.record.score if self.record and self.gif else None)

    @property
    def ratio(self) -> str:
        return number(self.record.ratio if self.record and self.gif else None)


def write(
    out: Path,
    identity: Mapping[str, Any],
    sections: Sequence[Section],
    records: Mapping[Unit, Record],
) -> None:
    """Writes index.html and README.md.

    Args:
        out: Folder of the gallery.
        identity: What `folder.begin` keeps of the run.
        sections: Of the gallery.
        records: Those there are; of the other units the pages say that they are not made yet.

    Raises:
        OSError: If a file cannot be written.
    """
    compared = identity["compare"]
    parts = [_part(section, records, compared) for section in sections]
    tiles = [tile for part in parts for tile in part["tiles"]]
    values = {
        "identity": identity,
        "version": __version__,
        "parts": parts,
        "frames": max((tile.shape[0] for tile in tiles), default=1),
        "compared": compared,
        "summary": _summary(tiles),
        "explanation": _explanation(compared),
        "settings": _settings(identity),
    }
    for name, template in (("index.html", "gallery.html"), ("README.md", "gallery.md")):
        files.write_text(out / name, environment().get_template(template).render(values))


def _part(section: Section, records: Mapping[Unit, Record], compared: int) -> dict[str, Any]:
    tiles = [Tile(unit, records.get(unit)) for unit in section.units]
    shapes = [tile.shape for tile in tiles if tile.strip] or [(1, 1, 1)]
    shown = f"{len(tiles)} of {section.channels}"
    if section.layer == CLASSES:
        about = f"{shown} classes"
    else:
        extent = " × ".join("any" if n is None else str(n) for n in section.shape)
        about = f"{section.kind} with output {extent}, {shown} filters"
    return {
        "title": section.title,
        "about": about,
        "tiles": tiles,
        "aspect": "{2}/{1}".format(*shapes[0]),
        "table": _table(tiles, compared),
    }


def _summary(tiles: Sequence[Tile]) -> str:
    classes = sum(tile.unit.layer == CLASSES for tile in tiles)
    layers = len({tile.unit.layer for tile in tiles if tile.unit.layer != CLASSES})
    parts = []
    if layers:
        filters = _count(len(tiles) - classes, "filter", "filters")
        parts.append(f"{filters} of {_count(layers, 'layer', 'layers')}")
    if classes:
        parts.append(_count(classes, "class", "classes"))
    missing = sum(tile.record is None for tile in tiles)
    return " and ".join(parts) + (f"; {missing} not made yet." if missing else ".")


def _explanation(compared: int) -> str:
    text = (
        "Each clip began as noise and was changed step by step until one filter or class responded "
        "strongly. With it stands the activation reached: the filter's mean over the clip, or the "
        "class's logit plus its log odds (the logit alone, where classes do not exclude each other)"
    )
    if not compared:
        return f"{text}."
    return f"{text}; and how many times the best of {compared} held-out clips that is."


def _settings(identity: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the page lists: every setting that is not left to the network."""
    listed = [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
        for key, value in identity.items()
        if value is not None
    ]
    return [*listed, ("c3dvis", __version__)]


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _table(tiles: Sequence[Tile], compared: int) -> Markup:
    """A layer's Markdown table, filters in columns; a long layer goes on below."""
    width = min(COLUMNS, len(tiles))
    word = "class" if tiles[0].unit.layer == CLASSES else "filter"
    rows = []
    for first in range(0, len(tiles), width):
        block = tiles[first : first + width]
        blank = [Markup("")] * (width - len(block))
        rows.append([Markup(word), *map(_heading, block), *blank])
        rows.append([Markup("clip"), *map(_picture, block), *blank])
        scores = [Markup(tile.score) for tile in block]
        rows.append([Markup("activation reached"), *scores, *blank])
        if compared:
            ratios = [Markup(tile.ratio) for tile in block]
            rows.append([Markup(f"× best of {compared} held-out"), *ratios, *blank])
    return Markup(table(rows[0], rows[1:]))


def _heading(tile: Tile) -> Markup:
    label = Markup(" ") + markdown(tile.unit.label) if tile.unit.label else Markup("")
    return Markup(f"**{tile.unit.channel}**") + label


def _picture(tile: Tile) -> Markup:
    if tile.gif is None:
        return markdown(tile.note)
    width = min(max(tile.shape[2], _SHOWN_WIDTH[0]), _SHOWN_WIDTH[1])
    picture = Markup('<img src="{}" width="{}" alt="{}">').format(tile.gif, width, tile.name)
    return picture + Markup("<br>") + markdown(tile.note) if tile.note else picture
