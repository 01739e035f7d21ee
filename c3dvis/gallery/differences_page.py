"""Writes what differs between two galleries: a page, README.md for GitHub, and differences.json.

before/conv3b/7.gif  .jpg   the clips that the page shows, copied from the two galleries
after/conv3b/7.gif   .jpg
differences.json            all numbers; schema 1
index.html README.md        the page
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from c3dvis import __version__, files, output_folder
from c3dvis.gallery.differences import KINDS, Comparison, Difference, compare
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.tables import ranges
from c3dvis.gallery.tile import Tile
from c3dvis.pages import environment
from c3dvis.text import markdown, number, table

SCHEMA = 1
_COMMAND = "gallery differences"
# Units in the Markdown page, so that GitHub shows it.
_MOST_ROWS = 200
_SHOWN_WIDTH = 112  # pixels


def write(
    before: str | Path,
    after: str | Path,
    out: str | Path,
    *,
    report: Callable[[str], None] | None = None,
) -> Comparison:
    """Compares two galleries and writes the page into a folder; see `differences.compare`.

    Args:
        before: Folder of a gallery.
        after: Folder of another.
        out: Folder of the page, which holds copies of the clips and needs neither gallery.
        report: Called with a line about invalid records.

    Raises:
        ValueError: See `compare`, or if the folder is of something else.
        OSError: If files cannot be read or written.
    """
    out = Path(out)
    output_folder.check(out, _COMMAND)
    compared = compare(before, after, report=report)
    with output_folder.locked(out, _COMMAND):
        for one in compared.differences:
            _copy(compared.before.folder, out / "before", one.before)
            _copy(compared.after.folder, out / "after", one.after)
        values = _values(compared)
        for name, template in (("index.html", "differences.html"), ("README.md", "differences.md")):
            files.write_text(out / name, environment().get_template(template).render(values))
        files.write_json(out / "differences.json", _to_json(compared))
    return compared


def _copy(source: Path, target: Path, tile: Tile) -> None:
    for path in filter(None, (tile.gif, tile.strip)):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(target / path, (source / path).read_bytes())


def _values(compared: Comparison) -> dict[str, Any]:
    by_kind = {kind: list(ones) for kind, ones in groupby(compared.differences, lambda x: x.kind)}
    tiles = [tile for one in compared.differences for tile in (one.before, one.after)]
    only = {"only before": compared.only_before, "only after": compared.only_after}
    banners = [side.manifest.banner for side in (compared.before, compared.after)]
    return {
        "compared": compared,
        "version": __version__,
        "kinds": [(kind, KINDS[kind], by_kind[kind]) for kind in KINDS if kind in by_kind],
        "banners": list(dict.fromkeys(filter(None, banners))),
        "frames": max((tile.shape[0] for tile in tiles), default=1),
        "fps": compared.before.manifest.identity.get("fps", 8.0),
        "only": [(name, _listed(units)) for name, units in only.items() if units],
        "facts": _facts,
        "sort_values": _sort_values,
        "table": _table,
        "most_rows": _MOST_ROWS,
    }


def _listed(units: Sequence[Unit]) -> str:
    by_layer: dict[str, list[int]] = {}
    for unit in units:
        by_layer.setdefault(unit.layer, []).append(unit.channel)
    return "; ".join(f"{layer}: {ranges(sorted(own))}" for layer, own in by_layer.items())


def _facts(one: Difference) -> list[tuple[str, str]]:
    """Names and texts of the numbers below a pair of clips."""
    facts = [("score", f"{_score(one.before)} → {_score(one.after)}")]
    if one.score_ratio is not None:
        facts[0] = ("score", f"{facts[0][1]} (× {number(one.score_ratio)})")
    if one.distance is not None:
        facts.append(("distance", f"{one.distance:.2f} (usual {one.usual:.2f})"))
    if one.turn is not None:
        facts.append(("turned by", f"{one.turn:.0f}°"))
    findings = [tile.finding for tile in (one.before, one.after) if tile.gif]
    if any(findings):
        facts.append(("clip", " → ".join(finding or "no drift" for finding in findings)))
    return facts


def _score(tile: Tile) -> str:
    """The score of its clip in words; for a unit without a clip, why there is none."""
    return number(tile.record.score) if tile.record and tile.gif else tile.note or "–"


def _sort_values(one: Difference) -> dict[str, float]:
    ratio = one.score_ratio
    change = None if ratio is None else abs(math.log2(ratio))
    values = {"distance": one.distance, "turn": one.turn, "score": change}
    return {f"data-{key}": round(value, 4) for key, value in values.items() if value is not None}


def _table(differences: Sequence[Difference]) -> Markup:
    rows = []
    for one in differences:
        unit = one.before.unit
        name = markdown(" ".join(filter(None, (unit.title, unit.label))))
        clips = [_picture("before", one.before), _picture("after", one.after)]
        facts = Markup("<br>").join(markdown(f"{key} {value}") for key, value in _facts(one))
        rows.append([name, *clips, facts])
    return Markup(table(["unit", "before", "after", "how much"], rows))


def _picture(side: str, tile: Tile) -> Markup:
    if tile.gif is None:
        return markdown(tile.note or "no clip")
    alt = f"{side}: {tile.name}"
    image = Markup('<img src="{}/{}" width="{}" alt="{}">')
    return image.format(side, tile.gif, _SHOWN_WIDTH, alt)


def _to_json(compared: Comparison) -> dict[str, Any]:
    sides = {"before": compared.before, "after": compared.after}
    return {
        "schema": SCHEMA,
        "c3dvis": __version__,
        **{
            name: {
                "folder": side.folder.resolve().name,
                "network": dict(side.manifest.network),
                "settings": dict(side.manifest.identity),
            }
            for name, side in sides.items()
        },
        "kinds": KINDS,
        "units": [one.to_json() for one in compared.differences],
        "only_before": [[unit.layer, unit.channel] for unit in compared.only_before],
        "only_after": [[unit.layer, unit.channel] for unit in compared.only_after],
        "left_out": [
            [unit.layer, unit.channel, reason] for unit, reason in compared.left_out.items()
        ],
    }
