"""Writes the folder of `python -m c3dvis.attribution`: GIFs, their records, and the pages."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import __version__, files, identity, objectives, output_folder, pages
from c3dvis.attribution import explain, material, planes, records, segments
from c3dvis.attribution.method_names import method_name
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.clips.pictures import FRAME_SUFFIXES
from c3dvis.clips.volumes import Volume
from c3dvis.command_line import say
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.text import in_short

_FPS = 8
_LONGEST_NAME = 60


def write(chosen: argparse.Namespace) -> tuple[int, int]:
    """Makes what the command's arguments ask for; returns how many GIFs are there, and failures.

    Args:
        chosen: As `__main__` parses them.

    Raises:
        ValueError: An argument that doesn't fit; a single clip that can't be read or explained.
        OSError: If files cannot be written.
    """
    chosen.method = list(dict.fromkeys(map(method_name, chosen.method)))
    chosen.options_of = explain.check_several(chosen.method, chosen.options)
    for method, own in chosen.options_of.items():
        explain.check(method, own)
    chosen = choices.for_real_clips(chosen)
    choices.say_size(chosen, say)
    network = choices.load(chosen)
    target = None if choices.segments(network) else _target(network, chosen.target)
    if chosen.region is not None and target is not None:
        raise ValueError(
            "Expected --region with a network that gives a class for each place. "
            f"Received: it, and one that gives {network.output_shape[1:]}."
        )
    several = _is_folder_of_clips(Path(chosen.clip))
    paths = _clips_in(Path(chosen.clip)) if several else [Path(chosen.clip)]
    settings = _settings(chosen, network)
    with output_folder.locked(Path(chosen.out), "attribution"):
        return _explain_all(paths, network, target, chosen, settings)


def _explain_all(paths, network, target, chosen, settings) -> tuple[int, int]:
    """The GIFs of all clips and the pages; of several clips, one that can't be read is no error."""
    made, failed = 0, list[pages.PictureGroup]()
    for path in paths:
        try:
            made += _explain(path, network, target, chosen, settings)
        except ValueError as error:
            if len(paths) == 1 and path == Path(chosen.clip):
                raise
            say(f"{path.name}: {error}")
            failed.append(pages.PictureGroup(path.name, f"Not made: {error}", []))
        _write_pages(Path(chosen.out), failed, chosen)
    return made, len(failed)


def _write_pages(out: Path, failed: Sequence[pages.PictureGroup], chosen) -> None:
    """The pages of all that is in the folder, also of what other runs made."""
    every = {path.stem: files.read_json(path) for path in sorted(out.glob("*.json"))}
    kept = {name: record for name, record in every.items() if records.is_whole(record, out)}
    groups: dict[str, pages.PictureGroup] = {}
    for name, record in kept.items():
        stem = name.removesuffix(f"-{record['method']}")
        empty = pages.PictureGroup(record["clip"], record["about"], [])
        pictures = groups.setdefault(stem, empty).pictures
        table = [*(groups[stem].table or [_FRAME_HEADS]), *_frame_rows(record)]
        pictures = [*pictures, *records.pictures(name, record)]
        groups[stem] = replace(groups[stem], pictures=pictures, table=table)
    networks = sorted({record["network"] for record in kept.values()})
    pages.write(
        out,
        f"What decided {in_short(networks)}" if networks else "Nothing was made",
        _about(list(kept.values()), chosen.options),
        [*groups.values(), *failed],
        banner=choices.toy_note(chosen),
        fps=_FPS,
    )


_FRAME_HEADS = ("method", "asked", "frames that decided", "network's score by frame")


def _frame_rows(record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row of the table that says which frames decided."""
    highest = record["highest"] or "one for the whole clip"
    return [(record["method"], record["asked"], record["frames"], highest)]


def _explain(path, network, target, chosen, settings) -> int:
    """Makes the GIFs of one clip and their records; returns how many there are."""
    given = material.read(path, network, chosen)
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    if choices.segments(network):
        target = segments.target(
            network, given.clip, chosen.target, region=chosen.region, preprocess=preprocess
        )
    about = f"{_says(network, given.clip, preprocess)} {given.about}".strip()
    shown = {"clip": path.name, "network": network.name, "about": about}
    for method in chosen.method:
        name = f"{_stem(path)}-{method}"
        key = _key(given, method, settings)
        earlier = files.read_json(Path(chosen.out) / f"{name}.json")
        if not records.is_made(earlier, key, Path(chosen.out)):
            own = chosen.options_of[method]
            answer = explain.attribute(
                network, given.clip, target, method=method, preprocess=preprocess, **own
            )
            attribution = cast(Attribution, answer)  # of one clip
            attribution = attribution.smoothed() if chosen.smooth else attribution
            _draw(name, attribution, given, chosen, {"key": key, "method": method, **shown})
    return len(chosen.method)


def _draw(
    name: str,
    attribution: Attribution,
    given: material.Material,
    chosen: argparse.Namespace,
    shown: Mapping[str, Any],
) -> None:
    """Writes one heatmap's files, and last its record."""
    out = Path(chosen.out)
    earlier = files.read_json(out / f"{name}.json")
    replaced = f", in place of {earlier['asked']}" if records.is_whole(earlier, out) else ""
    options = {"polarity": chosen.polarity, "normalize": chosen.normalize}
    panels = 2 if attribution.perturbed is None else 3
    drawn = attribution.animation(over=given.whole_frames(panels=panels), **options)
    caption = f"{attribution.method}: {attribution.objective_name}"
    film = pages.film(out, name, drawn, caption, fps=_FPS)
    record = {**shown, **records.record(attribution, film, out)}
    if given.volume is None:
        record |= {"cropped": given.is_cropped, "width": _width(drawn.shape, panels)}
    else:
        record |= _planes(out, name, attribution, given.volume, record["files"], options)
    files.write_json(out / f"{name}.json", record)
    say(f"{out / film.file}: {record['asked']}, score {record['score']:.3f}{replaced}")


def _width(shape: Sequence[int], panels: int) -> int:
    """Pixels that a film is wide on the page: small ones are enlarged, by whole numbers."""
    _, height, width, _ = shape
    return width * max(1, material.SIDE // max(height, width // panels))


def _planes(
    out: Path,
    name: str,
    attribution: Attribution,
    volume: Volume,
    sizes: Mapping[str, int],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What the record of a volume holds beside others'."""
    films, heatmap = planes.write(out, name, attribution, volume, fps=_FPS, **options)
    written = [heatmap.name, *(film.file for film in films)]
    written += [film.strip for film in films if film.strip is not None]
    return {
        "files": {**sizes, **{file: (out / file).stat().st_size for file in written}},
        "heatmap": heatmap.name,
        "planes": [asdict(film) for film in films],
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
    """Name of a clip's files; its digits keep clips of like names apart."""
    return files.unique_name(path.name, str(path.resolve()), empty="clip")


def _settings(chosen: argparse.Namespace, network: keras.Model) -> dict[str, Any]:
    """All that decides a GIF and what stands below it, but the clip and the method."""
    names = "target options input output value_range polarity normalize smooth".split()
    names += ["keras_model", "model"]
    return {
        "region": None if chosen.region is None else str(chosen.region),
        **{name: getattr(chosen, name) for name in names},
        "class_names": getattr(network, "class_names", None),
        "weights": identity.weights_sha256(network),
        "architecture": identity.architecture_sha256(network),
        "version": __version__,
    }


def _key(given: material.Material, method: str, settings: Mapping[str, Any]) -> str:
    return identity.sha256([given.clip, given.drawn_over, method, settings])


def _about(kept: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
    """How the pictures are read."""
    methods = list(dict.fromkeys(record["method"] for record in kept))
    smoothed = {"smoothed" in record["settings"] for record in kept}
    colours = " Smoothed: ".join(
        "Orange is what matters to the class that is asked about, for it or against it."
        if smooth
        else "Orange is for the class that is asked about, blue against it."
        for smooth in sorted(smoothed)
    )
    third = [_THIRD[method] for method in methods if method in _THIRD]
    if "window" in methods and options.get("by", "keep") == "keep":
        third.insert(0, _KEPT_WINDOW)
    return " ".join(
        [
            f"{colours} Each picture shows the clip, then the clip in grey under the heatmap; a "
            "frame with an orange border is one that decides. The bar below has one mark a frame, "
            "and the dark line under it is the frame shown. The table says which frames decided: "
            "those that the method finds or, of other heatmaps, the fewest that hold half of the "
            "heat."
            + (_CROPPED if any(record.get("cropped") for record in kept) else "")
            + (_STRIP if any(record["highest"] for record in kept) else ""),
            *third,
        ]
    )


_CROPPED = (
    " Where a clip was cropped, the line is around what the network was given; outside of it the "
    "film is paler, and no heat is possible."
)
_STRIP = (
    " The grey columns above the bar are the network's score for the class in each frame of its "
    "output; the whole height is 1 or, of scores beyond it, the largest."
)
# What the third picture is, where a method changes the clip.
_KEPT_WINDOW = (
    "window: the third picture is the clip with time standing still outside the frames found, "
    "which the network scores nearly as it does the whole clip."
)
_THIRD = {
    "freeze": "freeze: the third picture is the clip with the frames found standing still, which "
    "lowers the class.",
    "reverse": "reverse: the third picture is the clip with the frames found running backwards, "
    "which lowers the class.",
    "occlusion": "occlusion: the third picture is the clip without the block whose loss lowers the "
    "score most.",
    **{
        name: f"{name}: the third picture is the clip with all but the smallest region blurred "
        "that keeps nine tenths of the class's probability."
        for name in ("step", "extremal_3d", "extremal_2d")
    },
}
