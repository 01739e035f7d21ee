"""Writes the folder of `python -m c3dvis.responses FOLDER --sweep`: scores of all, pages of some.

sweep/                finished parts; the same command resumes from them sweep.npz
scores and statistics of every unit; `responses.Sweep.load` reads it index.html README.md  the
strongest and weakest clips of the units that are shown
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras

from c3dvis import files, models, objectives, output_folder, pages
from c3dvis.command_line import say
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.objectives.terms import names_of_classes
from c3dvis.responses.ranked_clips import UnitClips, unit_clips
from c3dvis.responses.sweep_result import LayerResponses, Sweep
from c3dvis.responses.sweeps import sweep
from c3dvis.text import number

_FPS = 8
# Units of a layer that a page shows where none are named.
_UNITS = 4
# Clips that could not be read, of which the reason is printed.
_REASONS = 5


def write(chosen: argparse.Namespace) -> None:
    """Sweeps the clips that the command names, and writes scores and pages.

    Raises:
        ValueError: An argument that doesn't fit the network or the clips.
        OSError: If files cannot be written.
    """
    out = Path(chosen.out)
    with output_folder.locked(out, "responses"):
        chosen = choices.for_real_clips(chosen)
        choices.say_size(chosen, say)
        network = choices.load(chosen)
        shown = _layers(network, chosen)
        swept = sweep(
            network,
            chosen.clip,
            layers=shown,
            out=out / "sweep",
            top=chosen.top,
            windows=chosen.windows,
            frames=chosen.frames,
            size=chosen.size,
            preprocess=choices.preprocess(chosen.value_range and tuple(chosen.value_range)),
            batch_size=chosen.batch_size,
        )
        _say_failed(swept)
        swept.save(out / "sweep.npz")
        say(f"{out / 'sweep.npz'}: {swept!r}")
        _pages(out, network, swept, chosen)


def _layers(network: keras.Model, chosen: argparse.Namespace) -> list[str]:
    """The layers named; else those that a gallery shows, and the classes."""
    if chosen.layers is not None:
        return chosen.layers
    usual = None if chosen.keras_model is not None else models.entry(chosen.model).layers
    if usual is None:
        every = layers.visualizable(network)
        usual = tuple(info.name for info in every if info.is_convolution)
    classes = [objectives.LOGITS] if choices.class_count(network) else []
    return [*usual, *classes]


def _say_failed(swept: Sweep) -> None:
    failed = list(swept.failed.items())
    for name, reason in failed[:_REASONS]:
        say(f"{name} could not be read: {reason}")
    if len(failed) > _REASONS:
        say(f"{len(failed) - _REASONS} more clips could not be read")


def _pages(out: Path, network: keras.Model, swept: Sweep, chosen: argparse.Namespace) -> None:
    folders = files.safe_names(swept, taken={"sweep", "sweep.npz", "index.html", "readme.md"})
    groups = []
    for layer in swept:
        count = swept[layer].scores.shape[1]
        numbers = range(count) if chosen.filters == "all" else chosen.filters or range(_UNITS)
        read = unit_clips(
            network,
            swept,
            chosen.clip,
            layer,
            [channel for channel in numbers if channel < count],
            windows=chosen.windows,
            frames=chosen.frames,
            size=chosen.size,
        )
        names = names_of_classes(network) if layer == objectives.LOGITS else None
        groups += [_group(out, folders[layer], one, swept[layer], names) for one in read]
    about = (
        f"The clips to which units of {network.name} respond most and least, of "
        f"{len(swept.names)} clips from {len(set(swept.sources))} films, by the mean activation "
        "over the clip. The outline is the unit's receptive field where its activation is highest, "
        "faint in frames outside the field; next to it is the field, enlarged. If the field is the "
        "whole picture, a cross marks its centre instead."
    )
    pages.write(
        out,
        f"Strongest and weakest clips of {network.name}",
        about,
        groups,
        banner=choices.training_data_note(chosen),
        fps=_FPS,
    )


def _group(
    out: Path, folder: str, unit: UnitClips, layer: LayerResponses, names: Sequence[str] | None
) -> pages.PictureGroup:
    channel = unit.channel
    title = f"{unit.layer}, filter {channel}"
    if unit.layer == objectives.LOGITS:
        title = f"class {names[channel]}" if names else f"class {channel}"
    statistics = [number(float(values[channel])) for values in (layer.mean, layer.deviation)]
    about = (
        f"Mean over all clips {statistics[0]}, standard deviation {statistics[1]}; no response to "
        f"{layer.zeros[channel]:.0%} of them."
    )
    (out / folder).mkdir(exist_ok=True)
    pictures = []
    for kind, ranked in (("strongest", unit.strongest), ("weakest", unit.weakest)):
        facets = {"layer": unit.layer, "unit": title, "clips": kind}
        for rank, one in enumerate(ranked, 1):
            name = f"{folder}/{channel}-{kind}-{rank}"
            caption = f"{kind} {rank}: {number(one.score)}, {one.name}"
            film = pages.film(out, name, one.beside(), caption, fps=_FPS)
            pictures.append(replace(film, facets=facets))
    return pages.PictureGroup(title, about, pictures)
