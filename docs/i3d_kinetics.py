"""Puts a gallery of I3D into `i3d-kinetics.md` as small GIFs: `python docs/i3d_kinetics.py FOLDER`.

The page says which command makes the gallery. Its text stands between the tables and is written by
hand; the tables are replaced.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import keras
import numpy as np

from c3dvis import clips, files
from c3dvis.gallery.plan import CLASSES

FOLDER = Path(__file__).parent
IMAGES = "images/i3d-kinetics"
FILTER_SIZE, CLASS_SIZE = 56, 84  # pixels
_COLUMNS = 5


def small(path: Path, size: int) -> np.ndarray:
    """The frames of a GIF, `(T, size, size, 3)`."""
    clip = clips.read(path, frames=16, short="hold")
    return np.clip(np.asarray(keras.ops.image.resize(clip, (size, size), antialias=True)), 0, 1)


def cell(gallery: Path, record: dict, path: Path) -> str:
    """Writes one small GIF; returns what the table says of it."""
    of_class = record["layer"] == CLASSES
    name = f"{path.parent.name}-{path.stem}.gif"
    size = CLASS_SIZE if of_class else FILTER_SIZE
    clips.write(FOLDER / IMAGES / name, small(path.with_suffix(".gif"), size), fps=8)
    label = record["label"] if of_class else f"{record['channel']}"
    told = f"{label}, {record['score']:.3g}"
    if of_class and record["taken_for"] != record["label"]:
        told += f", taken for {record['taken_for']}"
    alt = label if of_class else f"filter {label} of {record['layer']}"
    return f"![{alt}]({IMAGES}/{name}) {told}"


def table(gallery: Path, layer: str) -> str:
    """All units of a layer in rows of five."""
    read = [(path, files.read_json(path)) for path in gallery.glob("*/*.json")]
    own = [(p, r) for p, r in read if r["layer"] == layer and r["status"] == "ok"]
    own.sort(key=lambda one: one[1]["channel"])
    cells = [cell(gallery, record, path) for path, record in own]
    rows = [cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)]
    lines = [f"| {' | '.join(row + [''] * (_COLUMNS - len(row)))} |" for row in rows]
    return "\n".join([lines[0], "|---" * _COLUMNS + "|", *lines[1:]])


def main() -> None:
    gallery, page = Path(sys.argv[1]), FOLDER / "i3d-kinetics.md"
    (FOLDER / IMAGES).mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8")
    for layer in re.findall(r"<!-- clips of (\S+) -->", text):
        begin, end = f"<!-- clips of {layer} -->", f"<!-- /clips of {layer} -->"
        replaced = f"{begin}\n{table(gallery, layer)}\n{end}"
        text = re.sub(f"{begin}.*?{end}", lambda _, new=replaced: new, text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
