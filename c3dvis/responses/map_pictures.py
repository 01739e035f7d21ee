"""The pictures of `python -m c3dvis.responses`: a clip, feature maps and kernels of filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, files, pages
from c3dvis.models import layers
from c3dvis.responses.layer_kernels import kernels
from c3dvis.responses.maps import FeatureMaps, feature_maps, still, with_and_without_motion
from c3dvis.text import number

FPS = 8
# Filters that are shown where none are named.
_FILTERS = 8


def maps_of(
    network: keras.Model,
    clip: NDArray[np.float32],
    layer: str,
    filters: Sequence[int] | str | None,
    preprocess: Callable | None,
) -> tuple[FeatureMaps, FeatureMaps]:
    """The maps of some filters ("all", or the first 8 if None), of the moving and still clip."""
    named = None if isinstance(filters, str) else filters
    moving = feature_maps(network, clip, layer, channels=named, preprocess=preprocess)
    if filters is None:
        shown = moving.channels[:_FILTERS]
        moving = FeatureMaps(clip, moving.layer, shown, moving.maps[..., : len(shown)])
    channels = moving.channels
    return moving, feature_maps(
        network, still(clip), layer, channels=channels, preprocess=preprocess
    )


def prefixes(layers_shown: Sequence[str]) -> dict[str, str]:
    """What the names of a layer's files begin with; nothing if it is the only one."""
    if len(layers_shown) == 1:
        return {layers_shown[0]: ""}
    return {layer: f"{name}-" for layer, name in files.safe_names(layers_shown).items()}


def map_group(
    out: Path, prefix: str, moving: FeatureMaps, resting: FeatureMaps, scale: str
) -> pages.PictureGroup:
    """The part of a page that shows a layer's maps."""
    frames, height, width, _ = moving.maps.shape
    extent = f"The layer has {frames} frames of {height} x {width} positions."
    about = f"{how_to_read(scale)} {extent}"
    pictures = map_pictures(out, prefix, moving, resting, scale)
    return pages.PictureGroup("Feature maps", about, pictures)


def how_to_read(scale: str) -> str:
    """What the pictures of maps show, in words."""
    return (
        "Each filter's feature map for the moving clip is shown next to that for the still one; "
        "the difference is the contribution of motion. The numbers are the highest activations. "
        f"{_SCALE_IN_WORDS[scale]}"
    )


_SCALE_IN_WORDS = {
    "filter": "Black and white are each filter's lowest and highest activation over both maps.",
    "layer": "Black and white are the lowest and highest activation over the maps of all filters "
    "shown.",
}


def clip_pictures(out: Path, prefix: str, clip: NDArray[np.float32]) -> list[pages.Picture]:
    """The clip and the still clip, as pictures."""
    facets = {"part": "clip"}
    middle = "the still clip: its middle frame, repeated"
    return [
        film(out, f"{prefix}clip", clip, "the clip", facets=facets),
        film(out, f"{prefix}still", still(clip), middle, facets=facets),
    ]


def map_pictures(
    out: Path, prefix: str, moving: FeatureMaps, resting: FeatureMaps, scale: str
) -> list[pages.Picture]:
    """A filter's maps of the moving and of the still clip side by side, for each filter."""
    shown = with_and_without_motion(moving, resting, scale)
    pictures = []
    for i, channel in enumerate(moving.channels):
        greatest = [number(float(one.maps[..., i].max())) for one in (moving, resting)]
        caption = f"filter {channel}: {greatest[0]} moving, {greatest[1]} still"
        alt = f"Maps of {moving.layer}, {caption}"
        facets = {"part": "feature maps", "filter": str(channel)}
        pictures.append(film(out, f"{prefix}filter-{channel}", shown[i], caption, alt, facets))
    return pictures


def kernel_groups(
    out: Path, prefix: str, network, layer: str, channels
) -> list[pages.PictureGroup]:
    """The part of a page that shows a layer's kernels; none of one that has none."""
    if not any(info.name == layer and info.is_convolution for info in layers.describe(network)):
        return []
    shown = kernels(network, layer)
    about = _OF_COLOURS if shown.shape[-1] == 3 else _OF_A_MIXTURE
    pictures = [
        film(
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


def of_layer(layer: str, group: pages.PictureGroup) -> pages.PictureGroup:
    """A part of the page labelled with its layer."""
    pictures = [replace(one, facets={"layer": layer, **one.facets}) for one in group.pictures]
    return replace(group, title=f"{group.title} of {layer}", pictures=pictures)


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


def film(
    out: Path,
    name: str,
    clip: NDArray[np.float32],
    caption: str,
    alt: str | None = None,
    facets: Mapping[str, str] | None = None,
) -> pages.Picture:
    """A clip's files, enlarged where it is small."""
    written = pages.film(out, name, clips.enlarge(clip), caption, alt=alt, fps=FPS)
    return replace(written, facets=facets or {})
