"""Contact sheets: all clips of a layer on one picture, for papers.

sheets/conv3b.png   of each unit some frames side by side, with its number above
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from c3dvis import clips, files, output_folder, pages
from c3dvis.gallery import rebuild
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.record import Record
from c3dvis.gallery.tile import Tile

FOLDER = "sheets"
# Frames of a clip, spread evenly.
_FRAMES = 4
# Pixels: of the sheet's width, roughly, between units, and of a number's line.
_WIDTH, _GAP, _LINE = 2400, 12, 26
# Pixels between frames, and of a frame's shorter side at least.
_BETWEEN = 2
_SIDE = 112


def write(out: str | Path, *, report: Callable[[str], None] | None = None) -> list[Path]:
    """Writes a contact sheet for each layer of a gallery, from the clips that are there.

    A sheet has four frames of each clip, from left to right, and the unit's number above them;
    units without a clip are left out. Layers without any clip have no sheet.

    Args:
        out: Folder of the gallery.
        report: Called with a line about invalid records.

    Returns:
        The files.

    Raises:
        ValueError: If there is no gallery.
        OSError: If a file cannot be written.
    """
    out = Path(out)
    manifest, records = rebuild.read(out, report=report)
    output_folder.refuse_links(out)
    written = []
    for section in manifest.sections:
        shown = [unit for unit in section.units if Tile(unit, records.get(unit)).strip]
        if not shown:
            continue
        cells = [_cell(out, unit, records[unit]) for unit in shown]
        path = out / FOLDER / f"{section.units[0].folder}.png"
        path.parent.mkdir(exist_ok=True)
        picture = io.BytesIO()
        _sheet(cells, [unit.channel for unit in shown]).save(picture, "PNG")
        files.write_bytes(path, picture.getvalue())
        written.append(path)
    return written


def _cell(out: Path, unit: Unit, record: Record) -> NDArray[np.uint8]:
    """Frames of a unit's clip, side by side."""
    frames = 1 if record.shape is None else record.shape[0]
    clip = pages.read_strip(out / unit.path("jpg"), frames)
    shown = clips.enlarge(clips.sample(clip, min(_FRAMES, frames)), side=_SIDE)
    apart = np.pad(
        clips.to_uint8(shown), ((0, 0), (0, 0), (0, _BETWEEN), (0, 0)), constant_values=255
    )
    return np.concatenate(list(apart), axis=1)


def _sheet(cells: Sequence[NDArray[np.uint8]], numbers: Sequence[int]) -> Image.Image:
    """Cells in rows, each under its number."""
    height = max(len(cell) for cell in cells) + _LINE + _GAP
    width = max(cell.shape[1] for cell in cells) + _GAP
    columns = min(len(cells), max(1, _WIDTH // width))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LINE - 8)
    for place, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        left, top = _GAP + place % columns * width, _GAP + place // columns * height
        draw.text((left, top), str(number), fill="black", font=font)
        sheet.paste(Image.fromarray(cell), (left, top + _LINE))
    return sheet
