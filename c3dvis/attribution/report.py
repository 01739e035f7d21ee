"""Writes the folder of `python -m c3dvis.attribution`: GIFs, their records, and the pages."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import files, objectives, pages
from c3dvis.attribution import explain
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.clips.pictures import FRAME_SUFFIXES
from c3dvis.clips.reading import excerpt
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.models.extent import clip_shape

_FPS = 8
_USUAL = (16, 112, 112)
_LONGEST_NAME = 60


def write(chosen: argparse.Namespace, *, say: Callable[[str], None]) -> tuple[int, int]:
    """Makes what the command's arguments ask for; returns how many GIFs are there, and failures.

    Args:
        chosen: As `__main__` parses them.
        say: Told a line about each GIF.

    Raises:
        ValueError: An argument that doesn't fit; a single clip that can't be read or explained.
        OSError: If files cannot be written.
    """
    for method in chosen.method:
        explain.check(method, chosen.options)
    chosen = choices.for_real_clips(chosen)
    choices.say_size(chosen, say)
    network = choices.load(chosen)
    target = _target(network, chosen.target)
    several = _is_folder_of_clips(Path(chosen.clip))
    paths = _clips_in(Path(chosen.clip)) if several else [Path(chosen.clip)]
    settings = _settings(chosen, network)
    sections, made, failed = [], 0, 0
    for path in paths:
        try:
            section, here = _explain(path, network, target, chosen, settings, say)
        except ValueError as error:
            if not several:
                raise
            say(f"{path.name}: {error}")
            section, here = pages.Section(path.name, f"Not made: {error}", []), 0
            failed += 1
        sections.append(section)
        made += here
        pages.write(Path(chosen.out), *_heading(network, chosen.smooth), sections)
    return made, failed


def _explain(path, network, target, chosen, settings, say) -> tuple[pages.Section, int]:
    """The GIFs of one clip, and its part of the page."""
    shape = clip_shape(network, frames=chosen.frames, size=chosen.size, usual=_USUAL)
    frames, height, width, _ = shape
    read = excerpt(
        path,
        frames=frames,
        size=(height, width),
        start=chosen.start,
        step=chosen.step,
        short=chosen.short,
    )
    clip = read.clip
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    out, stem = Path(chosen.out), _stem(path)
    pictures = []
    for method in chosen.method:
        record_path = out / f"{stem}-{method}.json"
        gif = record_path.with_suffix(".gif")
        key = _key(clip, method, settings)
        record = files.read_json(record_path)
        if not (isinstance(record, dict) and record.get("key") == key and gif.is_file()):
            answer = explain.attribute(
                network, clip, target, method=method, preprocess=preprocess, **chosen.options
            )
            found = cast(Attribution, answer)  # of one clip
            found = found.smoothed() if chosen.smooth else found
            record = _record(found, key)
            out.mkdir(parents=True, exist_ok=True)
            found.save(gif, fps=_FPS, polarity=chosen.polarity, normalize=chosen.normalize)
            files.write_json(record_path, record)
            say(f"{gif}: {record['asked']}, score {record['score']:.3f}")
        pictures.append(pages.Picture(gif.name, f"{method}: {record['asked']}", record["width"]))
    about = f"{_says(network, clip, preprocess)} {read}".strip()
    return pages.Section(path.name, about, pictures), len(pictures)


def _record(found: Attribution, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "asked": found.objective_name,
        "score": found.score,
        "settings": dict(found.settings),
        "width": int(found.animation().shape[2]),
    }


def _says(network: keras.Model, clip: NDArray[np.float32], preprocess) -> str:
    """What the network gives for the clip, by what it ends in."""
    if not choices.class_count(network):
        return ""
    scorer = Scorer(network, objectives.logit(0), preprocess=preprocess)
    scores = scorer.class_scores(clip[None])[0].astype(np.float64)
    names = getattr(network, "class_names", None) or [f"class {i}" for i in range(len(scores))]
    ending = layers.output_activation(network)
    best = np.argsort(-scores)[:3]
    if ending == "softmax":
        exponents = np.exp(scores - scores.max())
        shown = [f"{share:.1%}" for share in exponents / exponents.sum()]
    elif ending == "sigmoid":
        shown = [f"{share:.1%}" for share in 0.5 * (1 + np.tanh(scores / 2))]
    else:
        shown = [f"score {score:.3g}" for score in scores]
    text = "The network says " + ", ".join(f"{names[i]} ({shown[i]})" for i in best) + "."
    each = ending == "sigmoid" and len(scores) > 1
    return f"{text} Each class is judged by itself." if each else text


def _target(network: keras.Model, text: str | None) -> objectives.Objective | None:
    if text is None:
        return None
    names = getattr(network, "class_names", None) or ()
    if text not in names and text.isascii() and text.isdigit():
        return objectives.logit(int(text))
    return objectives.logit(text)


def _is_folder_of_clips(path: Path) -> bool:
    """Whether a folder holds clips rather than the frames of one."""
    return path.is_dir() and not any(
        entry.suffix.lower() in FRAME_SUFFIXES for entry in path.iterdir() if entry.is_file()
    )


def _clips_in(folder: Path) -> list[Path]:
    found = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if not found:
        raise ValueError(
            f"Expected clips in the folder. Received: {str(folder)!r}, which is empty."
        )
    return found


def _stem(path: Path) -> str:
    """A file name that is safe everywhere; the digits keep clips of like names apart."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", path.name)[:_LONGEST_NAME].strip("_-") or "clip"
    digest = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain}-{digest[:6]}"


def _settings(chosen: argparse.Namespace, network: keras.Model) -> str:
    """All that decides a GIF but the clip and the method, as text."""
    names = "target options value_range polarity normalize smooth keras_model model".split()
    weights = hashlib.sha256()
    for variable in network.weights:
        weights.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return repr([getattr(chosen, name) for name in names]) + weights.hexdigest()


def _key(clip: NDArray[np.float32], method: str, settings: str) -> str:
    digest = hashlib.sha256(f"{method}{clip.shape}{settings}".encode())
    digest.update(np.ascontiguousarray(clip).tobytes())
    return digest.hexdigest()


def _heading(network: keras.Model, smooth: bool) -> tuple[str, str]:
    colours = (
        "Vermilion is what matters to the class that is asked about, for it or against it"
        if smooth
        else "Vermilion is for the class that is asked about, blue against it"
    )
    return f"What decided {network.name}", f"{colours}; the bar below has one mark a frame."
