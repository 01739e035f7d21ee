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

from c3dvis import __version__, files, identity, objectives, output_folder, pages, stored
from c3dvis.attribution import explain, planes, segments
from c3dvis.attribution.method_names import method_name
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.clips.pictures import FRAME_SUFFIXES
from c3dvis.clips.volumes import SUFFIXES, Volume, read_volume, resample
from c3dvis.command_line import read_clip, say
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.models.extent import clip_shape
from c3dvis.text import in_short, number

_FPS = 8
# Times that a picture is enlarged on the page.
_SHOWN = 2
_USUAL = (16, 112, 112)
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
    records = {name: record for name, record in every.items() if _is_whole(record, out)}
    groups: dict[str, pages.PictureGroup] = {}
    for name, record in records.items():
        stem = name.removesuffix(f"-{record['method']}")
        empty = pages.PictureGroup(record["clip"], record["about"], [])
        pictures = groups.setdefault(stem, empty).pictures
        table = [*(groups[stem].table or [_FRAME_HEADS]), *_frame_rows(record)]
        pictures = [*pictures, *_pictures(name, record)]
        groups[stem] = replace(groups[stem], pictures=pictures, table=table)
    networks = sorted({record["network"] for record in records.values()})
    pages.write(
        out,
        f"What decided {in_short(networks)}" if networks else "Nothing was made",
        _about(list(records.values()), chosen.options),
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
    clip, about_clip, volume = _read(path, network, chosen)
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    if choices.segments(network):
        target = segments.target(
            network, clip, chosen.target, region=chosen.region, preprocess=preprocess
        )
    out, stem = Path(chosen.out), _stem(path)
    about = f"{_says(network, clip, preprocess)} {about_clip}".strip()
    for method in chosen.method:
        name = f"{stem}-{method}"
        record_path = out / f"{name}.json"
        key = _key(clip, volume, method, settings)
        record = files.read_json(record_path)
        if not _is_made(record, key, out):
            own = chosen.options_of[method]
            answer = explain.attribute(
                network, clip, target, method=method, preprocess=preprocess, **own
            )
            attribution = cast(Attribution, answer)  # of one clip
            attribution = attribution.smoothed() if chosen.smooth else attribution
            options = {"polarity": chosen.polarity, "normalize": chosen.normalize}
            drawn = attribution.animation(**options)
            replaced = f", in place of {record['asked']}" if _is_whole(record, out) else ""
            film = pages.film(out, name, drawn, f"{method}: {attribution.objective_name}", fps=_FPS)
            shown = {"clip": path.name, "method": method, "network": network.name, "about": about}
            record = {"key": key, **shown, **_record(attribution, film, out)}
            if volume is not None:
                record |= _planes(out, name, attribution, volume, record["files"], options)
            files.write_json(record_path, record)
            say(f"{out / film.file}: {record['asked']}, score {record['score']:.3f}{replaced}")
    return len(chosen.method)


def _read(
    path: Path, network: keras.Model, chosen: argparse.Namespace
) -> tuple[NDArray[np.float32], str, Volume | None]:
    """A clip as the network takes it, a sentence on it, and the volume that it is, if it is one."""
    asked = {"frames": chosen.frames, "size": chosen.size}
    if not path.name.endswith(SUFFIXES):
        shape = clip_shape(network, **asked, usual=_USUAL)
        frames, height, width, channels = shape
        read = read_clip(path, chosen, frames=frames, size=(height, width), channels=channels)
        return read.clip, str(read), None
    window = chosen.window and tuple(chosen.window)
    volume = read_volume(path, axis=2 if chosen.axis is None else chosen.axis, window=window)
    *extent, channels = clip_shape(network, **asked, usual=volume.clip.shape[:3])
    clip = volume.clip
    if tuple(extent) != clip.shape[:3]:
        clip = resample(clip, (extent[0], extent[1], extent[2]))
    if clip.shape[-1] == 1 and channels != 1:
        clip = np.repeat(clip, channels, axis=-1)
    low, high = volume.window
    about = (
        f"A volume of {' x '.join(map(str, volume.grid))} voxels along axis {volume.axis}, values "
        f"from {low:g} (black) to {high:g} (white)."
    )
    return clip, about, replace(volume, clip=clip)


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


def _record(attribution: Attribution, film: pages.Picture, out: Path) -> dict[str, Any]:
    names = [film.file, *([] if film.strip is None else [film.strip])]
    return {
        "asked": attribution.objective_name,
        "score": attribution.score,
        "settings": dict(attribution.settings),
        "frames": attribution.deciding_frames,
        "highest": attribution.highest_frame,
        "shape": list(film.shape),
        "files": {name: (out / name).stat().st_size for name in names},
    }


def _is_made(record: Any, key: str, out: Path) -> bool:
    """Whether what is asked for is there; damaged files are made anew."""
    return _is_whole(record, out) and record.get("key") == key


def _is_whole(record: Any, out: Path) -> bool:
    """Whether files are there as their record says."""
    texts = dict.fromkeys(("asked", "method", "clip", "network", "about", "frames"), str)
    kinds = {**texts, "score": float, "shape": list, "files": dict, "settings": dict}
    if not isinstance(record, dict) or any(
        type(record.get(name)) is not kind for name, kind in kinds.items()
    ):
        return False
    if not isinstance(record.get("highest", 0), (str, type(None))):
        return False
    if [type(length) for length in record["shape"]] != [int] * 3:
        return False
    try:
        _pictures("", record)
    except (TypeError, ValueError, KeyError, AttributeError):
        return False
    paths = [(out / name, size) for name, size in record["files"].items()]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _pictures(name: str, record: Mapping[str, Any]) -> list[pages.Picture]:
    """One, and three more of a volume."""
    return [_picture(name, record), *map(_plane, record.get("planes", []))]


def _plane(film: Mapping[str, Any]) -> pages.Picture:
    """A picture of a record, as `asdict` gave it; a ValueError or KeyError if it is none."""
    return pages.Picture(
        stored.text(film["file"]),
        stored.text(film["caption"]),
        stored.count(film["width"]),
        stored.text_or_none(film["alt"]),
        stored.text_or_none(film["strip"]),
        stored.shape(film["shape"]),
        film["slider"] is True,
    )


def _picture(name: str, record: Mapping[str, Any]) -> pages.Picture:
    smoothed = ", smoothed" if "smoothed" in record["settings"] else ""
    caption = f"{record['method']}{smoothed}: {record['asked']}, score {number(record['score'])}"
    if "heatmap" in record:
        caption += f"; {record['heatmap']}"
    return pages.Picture(
        f"{name}.gif",
        caption,
        _SHOWN * record["shape"][2],
        alt=f"{record['clip']} and what decided it in orange and blue, {caption}",
        strip=f"{name}.jpg" if f"{name}.jpg" in record["files"] else None,
        shape=tuple(record["shape"]),
    )


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


def _key(
    clip: NDArray[np.float32], volume: Volume | None, method: str, settings: Mapping[str, Any]
) -> str:
    grid = None if volume is None else [volume.affine, volume.grid, volume.axis]
    return identity.sha256([clip, grid, method, settings])


def _about(records: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
    """How the pictures are read."""
    methods = list(dict.fromkeys(record["method"] for record in records))
    smoothed = {"smoothed" in record["settings"] for record in records}
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
            "heat." + (_STRIP if any(record["highest"] for record in records) else ""),
            *third,
        ]
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
