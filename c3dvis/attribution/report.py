"""Writes the folder of `python -m c3dvis.attribution`: GIFs, their records, and the pages."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import keras

from c3dvis import __version__, files, identity, objectives, output_folder, pages
from c3dvis.attribution import (
    explain,
    input_clips,
    page,
    planes,
    predictions,
    records,
    segmentation,
)
from c3dvis.attribution.result import Attribution
from c3dvis.clips.pictures import FRAME_SUFFIXES
from c3dvis.clips.volumes import Volume
from c3dvis.command_line import say
from c3dvis.models import chosen as choices
from c3dvis.objectives.terms import names_of_classes
from c3dvis.pages import windows


def write(args: argparse.Namespace) -> tuple[int, int]:
    """Writes the requested heatmaps; returns the numbers of GIFs and of failures.

    Args:
        args: The arguments, as `__main__` parses them.

    Raises:
        ValueError: A wrong argument; a single clip that can't be read or explained.
        OSError: If files cannot be written.
    """
    methods = explain.methods_with_options(args.method, args.options)
    args.options_of = {method: own for method, (_, own) in methods.items()}
    args = choices.for_real_clips(args)
    choices.say_size(args, say)
    network = choices.load(args)
    if args.target is not None:
        args.target = list(dict.fromkeys(args.target))
    if args.region is not None and args.target and not choices.segments(network):
        raise ValueError(
            "Expected a network that predicts a class for each position, with --region. "
            f"Received: one with output shape {network.output_shape[1:]}."
        )
    path = Path(args.clip)
    paths = _clips_in(path) if _is_folder_of_clips(path) else [path]
    settings = _settings(args, network)
    with output_folder.locked(Path(args.out), "attribution"):
        return _explain_all(paths, network, args, settings)


def _explain_all(paths, network, args, settings) -> tuple[int, int]:
    """Explains all clips and writes the pages; a clip of a folder that fails stops no other."""
    count, failed = 0, list[pages.PictureGroup]()
    for path in paths:
        try:
            count += _explain(path, network, args, settings)
        except ValueError as error:
            if len(paths) == 1 and path == Path(args.clip):
                raise
            say(f"{path.name}: {error}")
            failed.append(pages.PictureGroup(path.name, f"Not made: {error}", []))
        page.write(Path(args.out), failed, args)
    return count, len(failed)


def _explain(path, network, args, settings) -> int:
    """Explains one clip or film; returns the number of its GIFs."""
    inputs = input_clips.read(path, network, args)
    preprocess = choices.preprocess(args.value_range and tuple(args.value_range))
    targets = _targets(network, inputs, args, preprocess)
    if len(inputs) == 1:
        return _explain_clip(inputs[0], network, targets, preprocess, args, settings)
    clips = [window.clip for window in inputs]
    scored = {
        suffix: predictions.score_windows(network, clips, target, preprocess)
        for suffix, target in targets.items()
    }
    _write_windows(path, network, inputs, [series for _, series in scored.values()], args)
    count = 0
    for i, window in enumerate(inputs):
        # Each class is explained in the windows where it is strongest.
        strongest = {
            suffix: objective
            for suffix, (objective, series) in scored.items()
            if i in series.strongest(args.top)
        }
        if strongest:
            count += _explain_clip(window, network, strongest, preprocess, args, settings)
    return count


def _write_windows(path, network, inputs, series, args) -> None:
    """Writes the scores of all windows of a film."""
    names, excerpts = [window.name for window in inputs], [window.excerpt for window in inputs]
    record = windows.record(path.name, network.name, names, excerpts, series)
    name = windows.part_name(input_clips.stem(path), 0, len(inputs))
    files.write_json(Path(args.out) / f"{name}.json", record)


def _targets(network, inputs, args, preprocess) -> dict[str, objectives.Objective | None]:
    """The objectives of a clip, or of all windows, by the suffix of their files' names."""
    texts = [None] if args.target is None else args.target
    if not choices.segments(network):
        targets = [_target(network, text) for text in texts]
    elif len(inputs) > 1:
        raise ValueError(
            "Expected a network that gives classes for the whole clip, with --windows. "
            f"Received: one with output shape {network.output_shape[1:]}."
        )
    else:
        options = {"region": args.region, "preprocess": preprocess}
        clip = inputs[0].clip
        targets = [segmentation.class_objective(network, clip, text, **options) for text in texts]
    if len(targets) == 1:
        return {"": targets[0]}
    suffixes = [f"-{files.unique_name(text, text, empty='class')}" for text in args.target]
    return dict(zip(suffixes, targets, strict=True))


def _explain_clip(clip: input_clips.InputClip, network, targets, preprocess, args, settings) -> int:
    """Writes the GIFs of one clip, and their records; returns their number."""
    about = f"{predictions.top_classes(network, clip.clip, preprocess)} {clip.about}".strip()
    shown = {"clip": clip.title, "part": clip.name, "network": network.name, "about": about}
    for suffix, target in targets.items():
        for method, own in args.options_of.items():
            name = f"{clip.name}{suffix}-{method}"
            key = identity.sha256([clip.clip, clip.drawing_key, method, repr(target), settings])
            earlier = files.read_json(Path(args.out) / f"{name}.json")
            is_whole = records.is_whole(earlier, Path(args.out))
            if is_whole and earlier.get("key") == key:
                continue
            result = explain.attribute(
                network, clip.clip, target, method=method, preprocess=preprocess, **own
            )
            attribution = cast(Attribution, result)  # of one clip
            attribution = attribution.smoothed() if args.smooth else attribution
            record = _draw(name, attribution, clip, args, {"key": key, "method": method, **shown})
            replaced = f", replacing {earlier['asked']}" if is_whole else ""
            say(
                f"{Path(args.out) / name}.gif: {record['asked']}, score {record['score']:.3f}"
                f"{replaced}"
            )
    return len(targets) * len(args.options_of)


def _draw(
    name: str,
    attribution: Attribution,
    clip: input_clips.InputClip,
    args: argparse.Namespace,
    shown: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes one heatmap's files, and last its record, which it returns."""
    out = Path(args.out)
    options = {"polarity": args.polarity, "normalize": args.normalize}
    panels = 2 if attribution.perturbed is None else 3
    drawn = attribution.animation(over=clip.whole_frames(panels=panels), **options)
    caption = f"{attribution.method}: {attribution.objective_name}"
    film = pages.film(out, name, drawn, caption, fps=page.FPS)
    record = {**shown, **records.record(attribution, film, out)}
    if clip.volume is None:
        record |= {"cropped": clip.is_cropped, "width": _width(drawn.shape, panels)}
    else:
        record |= _planes(out, name, attribution, clip.volume, record["files"], options)
    files.write_json(out / f"{name}.json", record)
    return record


def _width(shape: Sequence[int], panels: int) -> int:
    """Width of a film on the page, in pixels: small films are enlarged by a whole number."""
    _, height, width, _ = shape
    return width * max(1, input_clips.SIDE // max(height, width // panels))


def _planes(
    out: Path,
    name: str,
    attribution: Attribution,
    volume: Volume,
    sizes: Mapping[str, int],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The additional entries in the record of a volume."""
    films, heatmap = planes.write(out, name, attribution, volume, fps=page.FPS, **options)
    written = [heatmap.name, *(film.file for film in films)]
    written += [film.strip for film in films if film.strip is not None]
    return {
        "files": {**sizes, **{file: (out / file).stat().st_size for file in written}},
        "heatmap": heatmap.name,
        "planes": [asdict(film) for film in films],
    }


def _target(network: keras.Model, text: str | None) -> objectives.Objective | None:
    if text is None:
        return None
    names = names_of_classes(network) or ()
    if text not in names and text.isascii() and text.isdigit():
        return objectives.logit(int(text))
    return objectives.logit(text)


def _is_folder_of_clips(path: Path) -> bool:
    """Whether a folder holds clips rather than the frames of one."""
    return path.is_dir() and not any(
        entry.suffix.lower() in FRAME_SUFFIXES for entry in path.iterdir() if entry.is_file()
    )


def _clips_in(folder: Path) -> list[Path]:
    entries = sorted(
        entry
        for entry in folder.iterdir()
        if not (entry.name.startswith(".") or output_folder.is_output(entry))
    )
    if not entries:
        raise ValueError(
            f"Expected clips in the folder. Received: {str(folder)!r}, which is empty."
        )
    return entries


def _settings(args: argparse.Namespace, network: keras.Model) -> dict[str, Any]:
    """The settings, besides clip and method, that determine a GIF and its caption."""
    names = "options input output value_range polarity normalize smooth".split()
    names += ["keras_model", "model"]
    return {
        "region": None if args.region is None else str(args.region),
        **{name: getattr(args, name) for name in names},
        "class_names": names_of_classes(network),
        "weights": identity.weights_sha256(network),
        "architecture": identity.architecture_sha256(network),
        "version": __version__,
    }
