"""What the command explains: a film or a volume, read as the network takes it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import files
from c3dvis.clips.geometry import Crop
from c3dvis.clips.reading import Excerpt
from c3dvis.clips.volumes import SUFFIXES, Volume, read_volume, resample
from c3dvis.command_line import read_windows
from c3dvis.models.extent import clip_shape
from c3dvis.pages import windows

_USUAL = (16, 112, 112)
# Pixels of the longer side of a film's frames, at most. So many frames that each would have to be
# narrower than the second to stand in one strip are not drawn for one, but as large as the third.
SIDE, _NARROWEST, _WITHOUT_STRIP = 480, 160, 240
# Pixels of a strip of all frames that browsers draw.
_WIDEST = 65_000


@dataclass(frozen=True)
class Material:
    """What is explained.

    Attributes:
        name: Of its files, without what the method adds.
        title: Of its part of the page.
        clip: float32 `(T, H, W, C)` in [0, 1], as the network takes it.
        about: A sentence on what it is.
        excerpt: What it is of a film; None for a volume.
        volume: The volume that it is; None for a film.
    """

    name: str
    title: str
    clip: NDArray[np.float32]
    about: str
    excerpt: Excerpt | None = None
    volume: Volume | None = None

    @property
    def is_cropped(self) -> bool:
        """Whether the film's frames lost their ends."""
        return self.excerpt is not None and self.excerpt.is_cropped

    @property
    def drawn_over(self) -> list[Any]:
        """What tells where the heat is drawn, beside the clip."""
        if self.volume is not None:
            return [self.volume.affine, self.volume.grid, self.volume.axis]
        assert self.excerpt is not None
        return ["whole frames", self.excerpt.source.size, self.excerpt.frames, SIDE]

    def whole_frames(self, *, panels: int) -> NDArray[np.float32] | None:
        """The film's frames, on which heat is drawn; None for a volume.

        They have at most 480 pixels on the longer side, fewer where many stand in one strip, and
        are enlarged where the network's input is larger than what was cut out of them.

        Args:
            panels: Pictures of a frame side by side.
        """
        if self.excerpt is None:
            return None
        side = min(SIDE, _WIDEST // (panels * len(self.clip)) - 4)
        frames = self.excerpt.whole_frames(side=side if side >= _NARROWEST else _WITHOUT_STRIP)
        height, width = self.clip.shape[1:3]
        seen, _ = Crop.of(frames.shape[1:3], (height, width)).size
        times = -(-height // max(1, seen))
        return frames.repeat(times, axis=1).repeat(times, axis=2)


def read(path: Path, network: keras.Model, chosen: argparse.Namespace) -> list[Material]:
    """Reads what a path holds: a volume, a clip, or the windows of a film in the order of time.

    Raises:
        ValueError: What can't be read, or doesn't fit the network.
    """
    name = stem(path)
    if path.name.endswith(SUFFIXES):
        return [_volume(path, name, network, chosen)]
    shape = clip_shape(network, frames=chosen.frames, size=chosen.size, usual=_USUAL)
    frames, height, width, channels = shape
    count = chosen.windows
    size = (height, width)
    read = read_windows(path, chosen, count, frames=frames, size=size, channels=channels)
    if count == 1:
        return [Material(name, path.name, read[0].clip, str(read[0]), read[0])]
    return [
        Material(
            windows.part_name(name, i + 1, count),
            windows.title(path.name, i + 1, count),
            one.clip,
            str(one),
            one,
        )
        for i, one in enumerate(read)
    ]


def stem(path: Path) -> str:
    """Name of a clip's files; its digits keep clips of like names apart."""
    return files.unique_name(path.name, str(path.resolve()), empty="clip")


def _volume(path: Path, name: str, network: keras.Model, chosen: argparse.Namespace) -> Material:
    asked = {"frames": chosen.frames, "size": chosen.size}
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
    return Material(name, path.name, clip, about, volume=replace(volume, clip=clip))
