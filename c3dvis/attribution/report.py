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
    class_answers,
    explain,
    film_windows,
    material,
    page,
    planes,
    records,
    segments,
)
from c3dvis.attribution.result import Attribution
from c3dvis.clips.pictures import FRAME_SUFFIXES
from c3dvis.clips.volumes import Volume
from c3dvis.command_line import say
from c3dvis.models import chosen as choices
from c3dvis.pages import windows


def write(chosen: argparse.Namespace) -> tuple[int, int]:
    """Makes what the command's arguments ask for; returns how many GIFs are there, and failures.

    Args:
        chosen: As `__main__` parses them.

    Raises:
        ValueError: An argument that doesn't fit; a single clip that can't be read or explained.
        OSError: If files cannot be written.
    """
    methods = explain.methods_with_options(chosen.method, chosen.options)
    chosen.options_of = {method: own for method, (_, own) in methods.items()}
    chosen = choices.for_real_clips(chosen)
    choices.say_size(chosen, say)
    network = choices.load(chosen)
    if chosen.target is not None:
        chosen.target = list(dict.fromkeys(chosen.target))
    if chosen.region is not None and chosen.target and not choices.segments(network):
        raise ValueError(
            "Expected --region with a network that gives a class for each place. "
            f"Received: it, and one that gives {network.output_shape[1:]}."
        )
    several = _is_folder_of_clips(Path(chosen.clip))
    paths = _clips_in(Path(chosen.clip)) if several else [Path(chosen.clip)]
    settings = _settings(chosen, network)
    with output_folder.locked(Path(chosen.out), "attribution"):
        return _explain_all(paths, network, chosen, settings)


def _explain_all(paths, network, chosen, settings) -> tuple[int, int]:
    """The GIFs of all clips and the pages; of several clips, one that can't be read is no error."""
    made, failed = 0, list[pages.PictureGroup]()
    for path in paths:
        try:
            made += _explain(path, network, chosen, settings)
        except ValueError as error:
            if len(paths) == 1 and path == Path(chosen.clip):
                raise
            say(f"{path.name}: {error}")
            failed.append(pages.PictureGroup(path.name, f"Not made: {error}", []))
        page.write(Path(chosen.out), failed, chosen)
    return made, len(failed)


def _explain(path, network, chosen, settings) -> int:
    """Makes the GIFs of one clip or film and their records; returns how many there are."""
    every = material.read(path, network, chosen)
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    asked = _asked(network, every, chosen, preprocess)
    if len(every) == 1:
        return _explain_one(every[0], network, asked, preprocess, chosen, settings)
    clips = [one.clip for one in every]
    judged = {
        suffix: film_windows.judge(network, clips, target, preprocess)
        for suffix, target in asked.items()
    }
    _write_windows(path, network, every, [series for _, series in judged.values()], chosen)
    made = 0
    for i, one in enumerate(every):
        # A class is explained where it is strongest, whatever others are asked about beside it.
        own = {
            suffix: objective
            for suffix, (objective, series) in judged.items()
            if i in series.strongest(chosen.top)
        }
        made += _explain_one(one, network, own, preprocess, chosen, settings) if own else 0
    return made


def _write_windows(path, network, every, series, chosen) -> None:
    """Writes what all windows of a film answer."""
    names, excerpts = [one.name for one in every], [one.excerpt for one in every]
    kept = windows.record(path.name, network.name, names, excerpts, series)
    name = windows.part_name(material.stem(path), 0, len(every))
    files.write_json(Path(chosen.out) / f"{name}.json", kept)


def _asked(network, every, chosen, preprocess) -> dict[str, objectives.Objective | None]:
    """What is asked of a clip, or of all windows, by what it adds to the names of files."""
    texts = [None] if chosen.target is None else chosen.target
    if not choices.segments(network):
        each = [_target(network, text) for text in texts]
    elif len(every) > 1:
        raise ValueError(
            "Expected a network that gives classes for the whole clip, with --windows. "
            f"Received: one that gives {network.output_shape[1:]}."
        )
    else:
        options = {"region": chosen.region, "preprocess": preprocess}
        each = [segments.target(network, every[0].clip, text, **options) for text in texts]
    if len(each) == 1:
        return {"": each[0]}
    names = [f"-{files.unique_name(text, text, empty='class')}" for text in chosen.target]
    return dict(zip(names, each, strict=True))


def _explain_one(given: material.Material, network, asked, preprocess, chosen, settings) -> int:
    """Makes the GIFs of one clip and their records; returns how many there are."""
    about = f"{class_answers.in_words(network, given.clip, preprocess)} {given.about}".strip()
    shown = {"clip": given.title, "part": given.name, "network": network.name, "about": about}
    for suffix, target in asked.items():
        for method, own in chosen.options_of.items():
            name = f"{given.name}{suffix}-{method}"
            key = identity.sha256([given.clip, given.drawn_over, method, repr(target), settings])
            earlier = files.read_json(Path(chosen.out) / f"{name}.json")
            if not records.is_made(earlier, key, Path(chosen.out)):
                answer = explain.attribute(
                    network, given.clip, target, method=method, preprocess=preprocess, **own
                )
                attribution = cast(Attribution, answer)  # of one clip
                attribution = attribution.smoothed() if chosen.smooth else attribution
                record = {"key": key, "method": method, **shown}
                _draw(name, attribution, given, chosen, record)
    return len(asked) * len(chosen.options_of)


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
    film = pages.film(out, name, drawn, caption, fps=page.FPS)
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


def _settings(chosen: argparse.Namespace, network: keras.Model) -> dict[str, Any]:
    """All that decides a GIF and what stands below it, but the clip and the method."""
    names = "options input output value_range polarity normalize smooth".split()
    names += ["keras_model", "model"]
    return {
        "region": None if chosen.region is None else str(chosen.region),
        **{name: getattr(chosen, name) for name in names},
        "class_names": getattr(network, "class_names", None),
        "weights": identity.weights_sha256(network),
        "architecture": identity.architecture_sha256(network),
        "version": __version__,
    }
