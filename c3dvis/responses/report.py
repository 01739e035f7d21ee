"""Writes the folder of `python -m c3dvis.responses`: GIFs and their pages."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, files, motion, output_folder, pages
from c3dvis.command_line import read_clip, say
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.models.extent import check_memory, clip_shape
from c3dvis.responses.convolution import convolve, random_kernel
from c3dvis.responses.layer_kernels import kernels
from c3dvis.responses.maps import FeatureMaps, feature_maps, still, with_and_without_motion
from c3dvis.text import in_short, number

_FPS = 8
_FILTERS = 8
_FRAMES, _SIDE = 16, 256


def write(chosen: argparse.Namespace) -> int:
    """Makes what the command's arguments ask for; returns the number of GIFs.

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
        _film(out, "response", maps.beside()[0], "clip, and the kernel's response"),
        _film(out, "kernel", kernel_clip, "the kernel, grey is 0"),
    ]
    about = (
        f"A kernel of normal noise, {extent}, slides over the clip; each pixel of the right half "
        "is the sum of products at that place, from the least (black) to the greatest (white)."
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
    shape = clip_shape(network, frames=chosen.frames, size=chosen.size, usual=usual)
    clip, about_clip = _clip(chosen, shape)
    shown = list(dict.fromkeys(chosen.layer))
    # All at first, so that nothing is written where one of them can't be.
    maps = [_maps(network, clip, layer, chosen) for layer in shown]
    out = Path(chosen.out)
    sections = [pages.PictureGroup("Clip", about_clip, _clip_pictures(out, clip))]
    folders = files.safe_names(shown)
    for layer, (moving, resting) in zip(shown, maps, strict=True):
        prefix = "" if len(shown) == 1 else f"{folders[layer]}-"
        groups = [
            _map_section(out, prefix, moving, resting, chosen.scale),
            *_kernel_section(out, prefix, network, layer, moving.channels),
        ]
        sections += groups if len(shown) == 1 else [_of_layer(layer, group) for group in groups]
    about = f"What filters of {in_short(shown)} in {network.name} make of one clip."
    title = f"Responses of {in_short(shown)}"
    pages.write(out, title, about, sections, banner=choices.toy_note(chosen), fps=_FPS)
    return sum(len(section.pictures) for section in sections)


def _maps(
    network: keras.Model, clip: NDArray[np.float32], layer: str, chosen: argparse.Namespace
) -> tuple[FeatureMaps, FeatureMaps]:
    """The maps of the filters that are shown, of the moving and of the still clip."""
    filters = None if chosen.filters == "all" else chosen.filters
    preprocess = choices.preprocess(chosen.value_range and tuple(chosen.value_range))
    moving = feature_maps(network, clip, layer, channels=filters, preprocess=preprocess)
    if chosen.filters is None:
        shown = moving.channels[:_FILTERS]
        moving = FeatureMaps(clip, moving.layer, shown, moving.maps[..., : len(shown)])
    channels = moving.channels
    return moving, feature_maps(
        network, still(clip), layer, channels=channels, preprocess=preprocess
    )


def _of_layer(layer: str, group: pages.PictureGroup) -> pages.PictureGroup:
    """A part of the page that says which of several layers it is of."""
    pictures = [replace(one, facets={"layer": layer, **one.facets}) for one in group.pictures]
    return replace(group, title=f"{group.title} of {layer}", pictures=pictures)


def _map_section(
    out: Path, prefix: str, moving: FeatureMaps, resting: FeatureMaps, scale: str
) -> pages.PictureGroup:
    frames, height, width, _ = moving.maps.shape
    about = (
        "Each filter's activation for the moving clip, and beside it for the still one: what "
        f"differs is what motion adds. The numbers are the greatest activations. "
        f"{_SCALE_IN_WORDS[scale]} The layer has {frames} frames of {height} x {width} positions."
    )
    pictures = _map_pictures(out, prefix, moving, resting, scale)
    return pages.PictureGroup("Feature maps", about, pictures)


_SCALE_IN_WORDS = {
    "filter": "Black and white are a filter's own least and greatest, of both maps together.",
    "layer": "Black and white are the least and greatest of all filters shown, of all maps "
    "together.",
}


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
    made = motion.MovingEvidence(frames=frames, size=size, distractors=2).batch(event, 1)
    clip = made.clips[0].mean(axis=-1, keepdims=True) if channels == 1 else made.clips[0]
    return clip, "A disc goes to the left, then to the right."


def _clip_pictures(out: Path, clip: NDArray[np.float32]) -> list[pages.Picture]:
    return [
        _film(out, "clip", clip, "the clip", facets={"part": "clip"}),
        _film(
            out,
            "still",
            still(clip),
            "the still clip: its middle frame throughout",
            facets={"part": "clip"},
        ),
    ]


def _map_pictures(
    out: Path, prefix: str, moving: FeatureMaps, resting: FeatureMaps, scale: str
) -> list[pages.Picture]:
    shown = with_and_without_motion(moving, resting, scale)
    pictures = []
    for i, channel in enumerate(moving.channels):
        greatest = [number(float(one.maps[..., i].max())) for one in (moving, resting)]
        caption = f"filter {channel}: {greatest[0]} moving, {greatest[1]} still"
        alt = f"Maps of {moving.layer}, {caption}"
        facets = {"part": "feature maps", "filter": str(channel)}
        pictures.append(_film(out, f"{prefix}filter-{channel}", shown[i], caption, alt, facets))
    return pictures


def _kernel_section(
    out: Path, prefix: str, network, layer: str, channels
) -> list[pages.PictureGroup]:
    if not any(info.name == layer and info.is_convolution for info in layers.describe(network)):
        return []
    shown = kernels(network, layer)
    about = _OF_COLOURS if shown.shape[-1] == 3 else _OF_A_MIXTURE
    pictures = [
        _film(
            out,
            f"{prefix}kernel-{c}",
            shown[c],
            f"kernel {c}",
            f"Kernel {c} of {layer}",
            {"part": "kernels", "filter": str(c)},
        )
        for c in channels
    ]
    return [pages.PictureGroup("Kernels", about, pictures)]


_OF_COLOURS = (
    "The filters' own weights for red, green and blue, frame by frame; grey is 0, and each kernel "
    "has its own scale."
)
_OF_A_MIXTURE = (
    "A kernel of this layer reads many channels and has no picture of its own. Shown is, frame by "
    "frame, how it weighs the one mixture of channels that holds most of its energy (its first "
    "singular vector, with the sign that makes the sum positive): grey is 0, white for and black "
    "against, and each kernel has its own scale."
)


def _film(
    out: Path,
    name: str,
    clip: NDArray[np.float32],
    caption: str,
    alt: str | None = None,
    facets: Mapping[str, str] | None = None,
) -> pages.Picture:
    film = pages.film(out, name, clips.enlarge(clip), caption, alt=alt, fps=_FPS)
    return replace(film, facets=facets or {})
