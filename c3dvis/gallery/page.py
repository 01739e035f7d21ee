"""Writes a gallery's pages: index.html, and README.md for GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from c3dvis import __version__, files
from c3dvis.gallery import cards, more_clips, trust
from c3dvis.gallery.forming import FormingClip
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.overview import shape_text
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.real import RealClips
from c3dvis.gallery.record import Record
from c3dvis.gallery.tile import MIN_DRIFT_SHARE, Tile
from c3dvis.pages import environment
from c3dvis.pages.environment import html_attribute
from c3dvis.text import counted, markdown, number, table

# Filters side by side in a Markdown table; GitHub's text column is about 900 pixels wide.
COLUMNS = 6
# Bytes of tables in a Markdown page: GitHub shows no more than 500 KiB of one.
LARGEST_MARKDOWN = 400_000
# Minimum and maximum displayed width of a clip in a Markdown table, in pixels.
_SHOWN_WIDTH = (112, 160)
# Explanations of sorting by motion dependence.
_MOTION_OF_CARDS = (
    "Motion dependence sorts units by the share of their selectivity that is for motion, alone or "
    "combined with texture, as measured for their motion cards; units without a card come last."
)
_MOTION_OF_CLIPS = (
    "Motion dependence sorts units by how much their clips change between frames. Motion cards "
    "(--cards) would measure it on the units themselves."
)
_KERNELS = (
    "This layer reads the clip itself, so each filter's kernel is shown, frame by frame; grey is "
    "0, and each kernel has its own scale"
)
# Its address, displayed width in pixels, and alternative text.
_IMAGE = Markup('<img src="{}" width="{}" alt="{}">')
# Displayed width of a clip of one colour, in pixels.
_SWATCH_WIDTH = 24


def write(
    out: Path,
    manifest: Manifest,
    records: Mapping[Unit, Record],
    *,
    filling: bool = False,
    forming: Mapping[Unit, FormingClip] | None = None,
    real: RealClips | None = None,
) -> None:
    """Writes index.html and README.md.

    Args:
        out: Folder of the gallery.
        manifest: Manifest of the gallery.
        records: Records by unit; units without one are shown as not made yet.
        filling: Whether clips are still being made; index.html then reloads itself.
        forming: Unfinished clips, shown until their records exist.
        real: Real clips for comparison; ratios are then to the best of them.

    Raises:
        OSError: If a file cannot be written.
    """
    identity = {"model": manifest.network.get("name"), **manifest.identity}
    compared = identity["compare"] if real is None else real.count
    forming = {} if forming is None else forming
    by_section = [_tiles(out, one, records, real, forming) for one in manifest.sections]
    tiles = [tile for of_section in by_section for tile in of_section]
    tile_ids = {tile.id for tile in tiles}
    parts = []
    for section, of_section in zip(manifest.sections, by_section, strict=True):
        folder = section.units[0].folder
        part = _part(section, of_section, compared)
        part["code"] = manifest.code.get(section.layer)
        # The folder of one layer can be the anchor of another layer's unit.
        part["id"] = f"{folder}:layer" if folder in tile_ids else folder
        parts.append(part)
    motion_cards = any(tile.card and tile.card.motion_share is not None for tile in tiles)
    values = {
        "identity": identity,
        "version": __version__,
        "parts": parts,
        "overview": manifest.overview,
        "steps": [] if manifest.overview is None else manifest.overview.steps(parts),
        "shape_text": shape_text,
        "filling": filling,
        "banner": manifest.banner,
        "frames": max((tile.shape[0] for tile in tiles), default=1),
        "compared": compared,
        "reference": "held-out" if real is None else "best real",
        "summary": _summary(tiles),
        "explanation": _explanation(compared, real),
        "motion_cards": motion_cards,
        "motion": _MOTION_OF_CARDS if motion_cards else _MOTION_OF_CLIPS,
        "trust": trust.EXPLANATION if any(tile.trust for tile in tiles) else "",
        "settings": _settings(identity),
    }
    page = environment().get_template("gallery.html").render(values)
    files.write_text(out / "index.html", page)
    _write_markdown(out, values)


def _write_markdown(out: Path, values: Mapping[str, Any]) -> None:
    """README.md, and README-2.md and so on where it would be more than GitHub shows."""
    shown: list[list[dict[str, Any]]] = [[]]
    size = 0
    for part in values["parts"]:
        for piece in _pieces(part, values["compared"]):
            length = len(piece["table"].encode())
            if shown[-1] and size + length > LARGEST_MARKDOWN:
                shown.append([])
                size = 0
            shown[-1].append(piece)
            size += length
    names = ["README.md", *(f"README-{number}.md" for number in range(2, len(shown) + 1))]
    contents = [
        (name, list(dict.fromkeys(part["title"] for part in parts)))
        for name, parts in zip(names, shown, strict=True)
    ]
    template = environment().get_template("gallery.md")
    for name, parts in zip(names, shown, strict=True):
        own = {**values, "parts": parts, "name": name, "contents": contents}
        files.write_text(out / name, template.render(own))
    for path in out.glob("README-[0-9]*.md"):  # of a gallery that had more
        if path.name not in names:
            path.unlink()


def _pieces(part: Mapping[str, Any], compared: int) -> list[dict[str, Any]]:
    """A layer's part of the Markdown pages, split if it is too long for one page."""
    tiles = part["tiles"]
    count = -(-len(part["table"].encode()) // LARGEST_MARKDOWN)
    if count < 2:
        return [dict(part)]
    rows = -(-len(tiles) // (COLUMNS * count))
    blocks = [
        tiles[first : first + rows * COLUMNS] for first in range(0, len(tiles), rows * COLUMNS)
    ]
    return [{**part, "table": _table(block, compared)} for block in blocks]


def _tiles(
    out: Path,
    section: Section,
    records: Mapping[Unit, Record],
    real: RealClips | None,
    forming: Mapping[Unit, FormingClip],
) -> list[Tile]:
    """The units of a section with what the folder holds of them."""
    has_cards, has_trust = ((out / room.FOLDER).is_dir() for room in (cards, trust))
    return [
        Tile(
            unit,
            records.get(unit),
            real=() if real is None else real.units.get((unit.layer, unit.channel), ()),
            weakest=() if real is None else real.weakest.get((unit.layer, unit.channel), ()),
            card=cards.read(out, unit) if has_cards else None,
            trust=trust.read(out, unit) if has_trust else None,
            more=more_clips.read(out, unit) if has_cards else {},
            forming=forming.get(unit),
            kernel=unit.kernel if section.kernel and (out / unit.kernel).is_file() else None,
        )
        for unit in section.units
    ]


def _part(section: Section, tiles: Sequence[Tile], compared: int) -> dict[str, Any]:
    """What the templates are given of a section."""
    shapes = [tile.shape for tile in tiles if tile.strip] or [(1, 1, 1)]
    noun = "classes" if section.layer == CLASSES else "filters"
    shown = f"{len(tiles)} of {section.channels} {noun}"
    about = shown
    if section.layer != CLASSES:
        about = f"{section.kind} with output {shape_text(section.shape)}, {shown}"
        if section.field is not None:
            about += ". Receptive field {} frames × {} × {} pixels".format(*section.field)
        if any(tile.kernel for tile in tiles):
            about += f". {_KERNELS}"
    return {
        "is_classes": section.layer == CLASSES,
        "layer": section.layer,
        "title": section.title,
        "shown": shown,
        "about": about,
        "tiles": tiles,
        "aspect": "{2}/{1}".format(*shapes[0]),
        "table": _table(tiles, compared),
        "is_wide": any(tile.real or tile.card or tile.more for tile in tiles),
    }


def _summary(tiles: Sequence[Tile]) -> str:
    classes = sum(tile.unit.layer == CLASSES for tile in tiles)
    layers = len({tile.unit.layer for tile in tiles if tile.unit.layer != CLASSES})
    parts = []
    if layers:
        filters = counted(len(tiles) - classes, "filter")
        parts.append(f"{filters} of {counted(layers, 'layer')}")
    if classes:
        parts.append(counted(classes, "class"))
    missing = sum(tile.record is None for tile in tiles)
    return " and ".join(parts) + (f"; {missing} not made yet." if missing else ".")


def _explanation(compared: int, real: RealClips | None) -> str:
    text = (
        "Each clip was optimized from noise until one filter or class responded strongly "
        "(activation maximization). Below it is its activation: the mean of the filter's feature "
        "map, or the class's logit plus its log odds (the logit alone if classes do not exclude "
        "each other)"
    )
    if real is not None:
        text += (
            f"; and its ratio to the best of {real.count} real clips of {real.folder}. Next to it "
            "are the real clips with the highest activation, from different films, outlined where "
            "the activation peaks; below them, those with the lowest"
        )
    elif compared:
        text += (
            f"; and its ratio to the best of {compared} held-out clips, which are generated and "
            "were not used in training"
        )
    return (
        f"{text}. An arrow shows the translation that fits the clip's luminance best, if it "
        f"explains at least {MIN_DRIFT_SHARE:.0%} of the change between frames."
    )


def _settings(identity: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that the page lists, without those left to the network."""
    listed = [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
        for key, value in identity.items()
        if value is not None
    ]
    return [*listed, ("c3dvis", __version__)]


def _table(tiles: Sequence[Tile], compared: int) -> Markup:
    """A layer's Markdown table, filters in columns; a long layer goes on below."""
    width = min(COLUMNS, len(tiles))
    word = "class" if tiles[0].unit.layer == CLASSES else "filter"
    kind = "real" if tiles[0].real else "held-out"
    rows: list[list[str]] = []
    for first in range(0, len(tiles), width):
        block = tiles[first : first + width]
        lines: dict[str, list[str]] = {
            word: [_heading(tile.unit) for tile in block],
            "clip": [_picture(tile) for tile in block],
            "activation": [number(tile.score) for tile in block],
        }
        if compared:
            lines[f"× best of {compared} {kind}"] = [number(tile.ratio) for tile in block]
        if any(tile.real for tile in block):
            lines["best real clip"] = [_real_picture(tile) for tile in block]
        if any(tile.kernel for tile in block):
            lines["kernel"] = [_kernel_picture(tile) for tile in block]
        if any(tile.drift for tile in block):
            lines["drift, pixels per frame"] = [
                f"{tile.direction[1]} {number(tile.speed)}".strip() for tile in block
            ]
        blank = [""] * (width - len(block))
        rows += [[name, *cells, *blank] for name, cells in lines.items()]
    return Markup(table(rows[0], rows[1:]))


def _heading(unit: Unit) -> str:
    return f"**{unit.channel}** {markdown(unit.label)}" if unit.label else f"**{unit.channel}**"


def _real_picture(tile: Tile) -> str:
    if not tile.real:
        return "–"
    alt = f"best real clip of {tile.name}"
    picture = _IMAGE.format(tile.real[0].gif, _SHOWN_WIDTH[0], alt)
    return f"{picture}<br>{markdown(tile.best_real)}"


def _kernel_picture(tile: Tile) -> str:
    if tile.kernel is None:
        return "–"
    return _IMAGE.format(tile.kernel, _SHOWN_WIDTH[0], f"kernel of {tile.name}")


def _picture(tile: Tile) -> str:
    if tile.gif is None:
        return markdown(tile.note)
    width = min(max(tile.shape[2], _SHOWN_WIDTH[0]), _SHOWN_WIDTH[1])
    width = _SWATCH_WIDTH if tile.plain else width
    picture = _IMAGE.format(tile.gif, width, html_attribute(tile.description))
    return "<br>".join([picture, *(markdown(note) for note in (tile.note, tile.plain) if note)])
