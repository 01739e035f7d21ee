"""Writes a gallery's pages from the files in its folder: index.html, and README.md for GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from c3dvis import files
from c3dvis.gallery.plan import CLASSES, Unit
from c3dvis.text import markdown, number, visible

# Filters side by side in a Markdown table; GitHub's text column is about 900 pixels wide.
COLUMNS = 6
# Shown size of a clip in a Markdown table, in pixels: small clips are enlarged to the first.
_SHOWN_WIDTH = (112, 160)


@dataclass(frozen=True)
class Tile:
    """One unit on a page; `record` is empty where it is not made yet."""

    unit: Unit
    record: Mapping[str, Any] = field(default_factory=dict)

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
        return path if path.rpartition("/")[2] in self.record.get("files", {}) else None

    @property
    def note(self) -> str:
        """What a reader must know of the clip, in a few words; empty where all is well."""
        match self.record.get("status"):
            case None:
                return "not made yet"
            case "no gradient":
                return "no gradient"
            case "failed":
                return f"failed at step {self.record.get('failed_step')}"
            case "error":
                return f"not made: {visible(str(self.record.get('error')))}"
        taken_for = self.record.get("taken_for")
        if taken_for is None or taken_for == (self.unit.label or str(self.unit.channel)):
            return ""
        return f"the network says: {visible(taken_for)}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of its clip."""
        frames, height, width = (self.record.get("shape") or (1, 1, 1))[:3]
        return frames, height, width

    @property
    def score(self) -> str:
        return self._figure("score")

    @property
    def ratio(self) -> str:
        return self._figure("ratio")

    def _figure(self, name: str) -> str:
        # What a clip that is not shown reaches would look like a finding.
        return number(self.record.get(name) if self.gif is not None else None)


def write(out: Path) -> None:
    """Writes index.html and README.md from gallery.json and the records beside it."""
    gallery = files.read_json(out / "gallery.json")
    parts = [_part(out, section) for section in gallery["sections"]]
    tiles = [tile for part in parts for tile in part["tiles"]]
    compared = gallery["identity"]["compare"]
    values = {
        **gallery,
        "parts": parts,
        "frames": max((tile.shape[0] for tile in tiles), default=1),
        "compared": compared,
        "summary": _summary(tiles),
        "explanation": _explanation(compared),
        "settings": _settings(gallery),
    }
    for name in ("index.html", "README.md"):
        files.write_text(out / name, _environment().get_template(name).render(values))


def _part(out: Path, section: Mapping[str, Any]) -> dict[str, Any]:
    tiles = [_tile(out, section, *one) for one in section["units"]]
    shapes = [tile.shape for tile in tiles if tile.strip] or [(1, 1, 1)]
    shown = f"{len(tiles)} of {section['channels']}"
    if section["layer"] == CLASSES:
        about = f"{shown} classes"
    else:
        extent = " × ".join("any" if n is None else str(n) for n in section["shape"])
        about = f"{section['kind']} with output {extent}, {shown} filters"
    return {**section, "tiles": tiles, "about": about, "aspect": "{2}/{1}".format(*shapes[0])}


def _tile(out: Path, section: Mapping[str, Any], channel: int, label: str | None) -> Tile:
    unit = Unit(section["layer"], channel, label, section["folder"])
    record = files.read_json(out / unit.path("json"))
    return Tile(unit, record if isinstance(record, dict) else {})


def _summary(tiles: Sequence[Tile]) -> str:
    classes = sum(tile.unit.layer == CLASSES for tile in tiles)
    layers = len({tile.unit.layer for tile in tiles if tile.unit.layer != CLASSES})
    parts = []
    if layers:
        filters = _count(len(tiles) - classes, "filter", "filters")
        parts.append(f"{filters} of {_count(layers, 'layer', 'layers')}")
    if classes:
        parts.append(_count(classes, "class", "classes"))
    missing = sum(not tile.record for tile in tiles)
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


def _settings(gallery: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the page lists: every setting that is not left to the network."""
    listed = [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
        for key, value in gallery["identity"].items()
        if value is not None
    ]
    return [*listed, ("c3dvis", gallery["version"])]


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _table(part: Mapping[str, Any], compared: int) -> list[list[Markup]]:
    """Rows of a layer's Markdown table, filters in columns; a long layer goes on below."""
    tiles: Sequence[Tile] = part["tiles"]
    width = min(COLUMNS, len(tiles))
    word = "class" if part["layer"] == CLASSES else "filter"
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
    return rows


def _heading(tile: Tile) -> Markup:
    label = Markup(" ") + markdown(tile.unit.label) if tile.unit.label else Markup("")
    return Markup(f"**{tile.unit.channel}**") + label


def _picture(tile: Tile) -> Markup:
    if tile.gif is None:
        return markdown(tile.note)
    width = min(max(tile.shape[2], _SHOWN_WIDTH[0]), _SHOWN_WIDTH[1])
    picture = Markup('<img src="{}" width="{}" alt="{}">').format(tile.gif, width, tile.name)
    return picture + Markup("<br>") + markdown(tile.note) if tile.note else picture


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("c3dvis.gallery"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"markdown": markdown, "visible": visible, "table": _table}
    return made
