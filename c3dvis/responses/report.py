"""Writes the folder of `python -m c3dvis.responses`: GIFs and their pages."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c3dvis import motion, output_folder, pages
from c3dvis.command_line import read_clip, say
from c3dvis.models import chosen as choices
from c3dvis.models.clip_shapes import check_memory, clip_shape
from c3dvis.responses import film_report
from c3dvis.responses.convolution import convolve, random_kernel
from c3dvis.responses.map_pictures import (
    FPS,
    clip_pictures,
    film,
    kernel_groups,
    map_group,
    maps_of,
    of_layer,
    prefixes,
)
from c3dvis.responses.maps import FeatureMaps
from c3dvis.text import in_short

_FRAMES, _SIDE = 16, 256


def write(chosen: argparse.Namespace) -> int:
    """Makes what the command's arguments request; returns the number of GIFs.

    Raises:
        ValueError: An argument that doesn't fit the network or the clip.
        OSError: If files cannot be written.
    """
    with output_folder.locked(Path(chosen.out), "responses"):
        return _layers(chosen) if chosen.random_kernel is None else _random_kernel(chosen)


def _random_kernel(chosen: argparse.Namespace) -> int:
    size = chosen.size or (_SIDE, _SIDE)
    clip, about_clip = _clip(chosen, (chosen.frames or _FRAMES, *size, 3))
    if chosen.random_kernel > min(clip.shape[:3]):
        raise ValueError(
            f"Expected a random kernel that fits into {' x '.join(map(str, clip.shape[:3]))} "
            f"frames, rows and columns. Received: {chosen.random_kernel}."
        )
    kernel = random_kernel(chosen.random_kernel, seed=chosen.seed)
    response = convolve(clip, kernel)
    maps = FeatureMaps(clip[: len(response)], "random kernel", (0,), response[..., None])
    out = Path(chosen.out)
    extent = " x ".join(map(str, kernel.shape))
    kernel_clip = (0.5 + kernel / (2 * np.abs(kernel).max())).astype(np.float32)
    pictures = [
        film(out, "response", maps.beside()[0], "clip, and the kernel's response"),
        film(out, "kernel", kernel_clip, "the kernel, grey is 0"),
    ]
    about = (
        f"A kernel of normal noise, {extent}, slides over the clip; each pixel of the right half "
        "is the sum of products at that position, from the lowest (black) to the highest (white)."
    )
    pages.write(
        out,
        "Response of a random kernel",
        about,
        [pages.PictureGroup("Random kernel", about_clip, pictures)],
    )
    return len(pictures)


def _layers(chosen: argparse.Namespace) -> int:
    chosen = choices.for_real_clips(chosen)
    choices.say_size(chosen, say)
    network = choices.load(chosen)
    usual = (_FRAMES, _SIDE, _SIDE)
    shape = clip_shape(network, frames=chosen.frames, size=chosen.size, default=usual)
    if chosen.windows > 1:
        return film_report.write(chosen, network, shape)
    clip, about_clip = _clip(chosen, shape)
    shown = list(dict.fromkeys(chosen.layer))
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    # All at first, so that nothing is written where one of them can't be.
    maps = [maps_of(network, clip, layer, chosen.filters, preprocess) for layer in shown]
    out = Path(chosen.out)
    sections = [pages.PictureGroup("Clip", about_clip, clip_pictures(out, "", clip))]
    for (layer, prefix), (moving, resting) in zip(prefixes(shown).items(), maps, strict=True):
        groups = [
            map_group(out, prefix, moving, resting, chosen.scale),
            *kernel_groups(out, prefix, network, layer, moving.channels),
        ]
        sections += groups if len(shown) == 1 else [of_layer(layer, group) for group in groups]
    about = f"Feature maps of filters of {in_short(shown)} in {network.name} for one clip."
    title = f"Responses of {in_short(shown)}"
    pages.write(out, title, about, sections, banner=choices.training_data_note(chosen), fps=FPS)
    return sum(len(section.pictures) for section in sections)


def _clip(
    chosen: argparse.Namespace, shape: tuple[int, int, int, int]
) -> tuple[NDArray[np.float32], str]:
    """The clip, in grey for one channel, and a sentence on what it is."""
    frames, height, width, channels = shape
    size = (height, width)
    if chosen.clip is not None:
        read = read_clip(chosen.clip, chosen, frames=frames, size=size, channels=channels)
        return read.clip, str(read)
    check_memory((frames, *size, 3))
    event = motion.CLASSES.index("left then right")
    evidence = motion.MovingEvidence(frames=frames, size=size, distractors=2).batch(event, 1)
    clip = evidence.clips[0].mean(axis=-1, keepdims=True) if channels == 1 else evidence.clips[0]
    return clip, "A disc moves to the left, then to the right."
