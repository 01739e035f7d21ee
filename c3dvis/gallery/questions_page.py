"""Writes the questions of `questions` as a page for people to answer, without a server.

clips/3.jpg         real clips; their numbers carry no information synthetic/conv3b/7.jpg
synthetic clips, copied from the gallery test.json           the questions with the right answers,
and how they were drawn; schema 1 index.html          the page
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from c3dvis import __version__, clips, files, identity, output_folder
from c3dvis.gallery import trust
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.questions import EXPLANATIONS, Question, Questions, draw
from c3dvis.gallery.tile import Tile
from c3dvis.pages import environment
from c3dvis.responses import clip_sources

SCHEMA = 1
_COMMAND = "gallery questions"
_SIDE = 112  # pixels, at least, of a real clip


class Strip(NamedTuple):
    """A film strip of the page, with its frames, height and width."""

    file: str
    shape: tuple[int, int, int]


def write(
    gallery: str | Path,
    real_clips: str | Path,
    out: str | Path,
    *,
    tasks: int = 40,
    seed: int = 0,
) -> Questions:
    """Draws questions about a gallery's units and writes the page; see `questions.draw`.

    The page asks one question after the other, keeps the answers in the browser, and at the end
    shows the share of right ones with its interval, beside the unit's Video-MIS where the gallery
    has it. The answers can be saved as JSON.

    Args:
        gallery: Folder of the gallery.
        real_clips: Folder of the videos that the gallery was given.
        out: Folder of the page, which needs neither of the two.
        tasks: Number of questions; an even number.
        seed: Seed of the draw and of the order.

    Raises:
        ValueError: See `questions.draw`, other clips than the gallery's, or a folder of something
            else.
        OSError: If files cannot be read or written.
    """
    gallery, out = Path(gallery), Path(out)
    output_folder.check(out, _COMMAND)
    clip_sources.check_folder(Path(real_clips))
    drawn = draw(gallery, tasks=tasks, seed=seed)
    with output_folder.locked(out, _COMMAND):
        strips = _write_real(drawn, Path(real_clips), out)
        for unit in drawn.units:
            _copy_synthetic(gallery, out, unit)
        kept = _to_json(drawn, gallery, strips)
        values = {
            "version": __version__,
            "name": drawn.manifest.network.get("name"),
            "banner": drawn.manifest.banner,
            "fps": drawn.manifest.identity.get("fps", 8.0),
            "frames": max(strip.shape[0] for strip in strips.values()),
            "test": kept,
            "questions": [_shown(question, drawn, strips) for question in drawn.questions],
        }
        page = environment().get_template("questions.html").render(values)
        files.write_text(out / "index.html", page)
        files.write_json(out / "test.json", kept)
    return drawn


def _write_real(drawn: Questions, folder: Path, out: Path) -> dict[str, Strip]:
    """Writes the real clips that are shown; returns their film strips by name."""
    wanted = [name for one in drawn.questions for name in (*one.clips, *one.references)]
    names = sorted(set(wanted))
    order = np.random.default_rng(drawn.seed).permutation(len(names))
    # The clips that were swept have the shape of the network's.
    shapes = [drawn.records[unit].shape for unit in drawn.units]
    frames, height, width, _ = next(shape for shape in shapes if shape is not None)
    read = clip_sources.of(folder, frames=frames, size=(height, width)).named(names)
    (out / "clips").mkdir(exist_ok=True)
    strips = {}
    for number, index in enumerate(order):
        clip = clips.enlarge(clips.to_rgb(read[names[index]]), side=_SIDE)
        strip = Strip(f"clips/{number}.jpg", clip.shape[:3])
        clips.write(out / strip.file, clip)
        strips[names[index]] = strip
    return strips


def _copy_synthetic(gallery: Path, out: Path, unit: Unit) -> None:
    target = out / "synthetic" / unit.path("jpg")
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(target, (gallery / unit.path("jpg")).read_bytes())


def _shown(question: Question, drawn: Questions, strips: dict[str, Strip]) -> dict[str, Any]:
    tile = Tile(question.unit, drawn.records[question.unit])
    synthetic = [(Strip(f"synthetic/{tile.strip}", tile.shape), "Synthetic clip")]
    real = [
        (strips[name], f"Real clip {i + 1} that excites it")
        for i, name in enumerate(question.references)
    ]
    names = ("Left clip", "Right clip")
    asked = [(strips[clip], name) for clip, name in zip(question.clips, names, strict=True)]
    is_synthetic = question.explanation == "synthetic"
    return {
        "is_synthetic": is_synthetic,
        "references": synthetic if is_synthetic else real,
        "asked": asked,
    }


def _to_json(drawn: Questions, gallery: Path, strips: dict[str, Strip]) -> dict[str, Any]:
    listed = [
        {**asdict(question), "unit": _unit(question.unit, gallery)} for question in drawn.questions
    ]
    about = {
        "schema": SCHEMA,
        "c3dvis": __version__,
        "gallery": gallery.resolve().name,
        "network": dict(drawn.manifest.network),
        "seed": drawn.seed,
        "real_clips": drawn.count,
        "files": {name: strip.file for name, strip in strips.items()},
        "questions": listed,
    }
    return {"id": identity.sha256(about)[:16], **about}


def _unit(unit: Unit, gallery: Path) -> dict[str, Any]:
    known = trust.read(gallery, unit)
    scores = (None, None) if known is None else (known.made_score, known.top_score)
    return {
        "layer": unit.layer,
        "channel": unit.channel,
        "label": unit.label,
        "title": unit.title if unit.label is None else f"{unit.title}: {unit.label}",
        "video_mis": dict(zip(EXPLANATIONS, scores, strict=True)),
    }
