"""Writes the folder of `python -m c3dvis.responses FILM --windows N`: a long film in windows."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import keras

from c3dvis import pages
from c3dvis.clips.reading import Excerpt
from c3dvis.command_line import read_windows
from c3dvis.models import chosen as choices
from c3dvis.pages import windows
from c3dvis.responses.film_windows import FilmResponses, of_windows
from c3dvis.responses.map_pictures import (
    FPS,
    clip_pictures,
    how_to_read,
    kernel_groups,
    map_pictures,
    maps_of,
    of_layer,
    prefixes,
)
from c3dvis.responses.maps import FeatureMaps
from c3dvis.text import in_short


def write(
    chosen: argparse.Namespace, network: keras.Model, shape: tuple[int, int, int, int]
) -> int:
    """Makes what the command's arguments request; returns the number of GIFs.

    Args:
        chosen: The command's arguments.
        network: Their network.
        shape: Shape of each clip.

    Raises:
        ValueError: An argument that doesn't fit the network or the film.
        OSError: If files cannot be written.
    """
    frames, height, width, channels = shape
    read = read_windows(
        chosen.clip,
        chosen,
        chosen.windows,
        frames=frames,
        size=(height, width),
        channels=channels,
    )
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    show = functools.partial(maps_of, network, preprocess=preprocess)
    # Of one window at first, so that nothing is written where a layer or filter can't be shown.
    shown = {
        layer: show(read[0].clip, layer, chosen.filters)[0].channels
        for layer in dict.fromkeys(chosen.layer)
    }
    every = of_windows(network, read, shown, preprocess=preprocess)
    sections = list(_sections(chosen, network, show, read, every))
    about = (
        f"Responses of filters of {in_short(shown)} in {network.name} to windows of one film, with "
        "the feature maps of each filter in the windows in which its mean activation is highest. "
        f"{how_to_read(chosen.scale)}"
    )
    title = f"Responses of {in_short(shown)}"
    pages.write(
        Path(chosen.out), title, about, sections, banner=choices.training_data_note(chosen), fps=FPS
    )
    return sum(len(section.pictures) for section in sections)


def _sections(
    chosen: argparse.Namespace,
    network: keras.Model,
    show: Callable[..., tuple[FeatureMaps, FeatureMaps]],
    read: Sequence[Excerpt],
    every: Sequence[FilmResponses],
) -> Iterator[pages.PictureGroup]:
    """The parts of the page: the film, its strongest windows, the kernels.

    Args:
        chosen: The command's arguments.
        network: Their network.
        show: Function of a clip, a layer and filters that gives their maps, as `maps_of` does.
        read: The windows.
        every: The responses of each layer to them.
    """
    out, film, count = Path(chosen.out), Path(chosen.clip).name, len(read)
    names = [windows.part_name("window", i + 1, count) for i in range(count)]
    strongest = {
        one.layer: {channel: one.strongest(channel, chosen.top) for channel in one.channels}
        for one in every
    }
    for one in every:
        series = [one.series(channel) for channel in one.channels]
        record = windows.record(film, network.name, names, read, series)
        own = strongest[one.layer].items()
        marked = {(names[i], f"filter {channel}") for channel, each in own for i in each}
        scales = chosen.scale == "filter"
        group = windows.group(record, marked, pictures="maps", own_scales=scales)
        yield group if len(every) == 1 else replace(group, title=f"{one.layer} in {group.title}")
    prefix = prefixes([one.layer for one in every])
    for i, (name, excerpt) in enumerate(zip(names, read, strict=True)):
        wanted = {
            layer: [channel for channel, each in own.items() if i in each]
            for layer, own in strongest.items()
        }
        if not any(wanted.values()):
            continue
        pictures = clip_pictures(out, f"{name}-", excerpt.clip)
        for layer, channels in wanted.items():
            if channels:
                maps = show(excerpt.clip, layer, channels)
                some = map_pictures(out, f"{name}-{prefix[layer]}", *maps, chosen.scale)
                pictures += some if len(every) == 1 else [_of_layer(layer, one) for one in some]
        facets = {"window": str(i + 1)}
        pictures = [replace(one, facets={**facets, **one.facets}) for one in pictures]
        title = windows.title(film, i + 1, count)
        yield pages.PictureGroup(title, str(excerpt), pictures, anchor=name)
    for one in every:
        for group in kernel_groups(out, prefix[one.layer], network, one.layer, one.channels):
            yield group if len(every) == 1 else of_layer(one.layer, group)


def _of_layer(layer: str, picture: pages.Picture) -> pages.Picture:
    """A picture labelled with its layer."""
    facets = {"layer": layer, **picture.facets}
    return replace(picture, caption=f"{layer}, {picture.caption}", facets=facets)
