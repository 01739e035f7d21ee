"""Reads the clips that the command explains, from a film or a volume, in the network's shape."""

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
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.pages import windows

_DEFAULT_SHAPE = (16, 112, 112)  # (T, H, W), for networks that take any
# Longest side of a film's frames, in pixels. Where all frames must fit into one strip, their side
# shrinks to _MIN_SIDE at least; longer clips get no strip, and frames of _SIDE_WITHOUT_STRIP.
SIDE, _MIN_SIDE, _SIDE_WITHOUT_STRIP = 480, 160, 240
_MAX_STRIP_WIDTH = 65_000  # pixels; browsers draw no wider picture


@dataclass(frozen=True)
class InputClip:
    """A clip to explain, and where it comes from.

    Attributes:
        name: Stem of its files; the method's name follows.
        title: Title of its section on the page.
        clip: float32 `(T, H, W, C)` in [0, 1], in the network's shape.
        about: A sentence that describes it.
        excerpt: The part of a film that it shows; None for a volume.
        volume: Its volume; None for a film.
    """

    name: str
    title: str
    clip: NDArray[np.float32]
    about: str
    excerpt: Excerpt | None = None
    volume: Volume | None = None

    @property
    def is_cropped(self) -> bool:
        """Whether the film's frames were cropped."""
        return self.excerpt is not None and self.excerpt.is_cropped

    @property
    def drawing_key(self) -> list[Any]:
        """Settings other than the clip that decide how its heatmap is drawn."""
        if self.volume is not None:
            return [self.volume.affine, self.volume.grid, self.volume.axis]
        assert self.excerpt is not None
        return ["whole frames", self.excerpt.source.size, self.excerpt.frames, SIDE]

    def whole_frames(self, *, panels: int) -> NDArray[np.float32] | None:
        """The uncropped frames of the film, to draw the heatmap on; None for a volume.

        Their longer side has at most 480 pixels, fewer where a strip of all frames would be too
        wide. They are enlarged where the network's input has more pixels than the crop.

        Args:
            panels: Number of pictures side by side.
        """
        if self.excerpt is None:
            return None
        side = min(SIDE, _MAX_STRIP_WIDTH // (panels * len(self.clip)) - 4)
        frames = self.excerpt.whole_frames(side=side if side >= _MIN_SIDE else _SIDE_WITHOUT_STRIP)
        height, width = self.clip.shape[1:3]
        rows, _ = Crop.of(frames.shape[1:3], (height, width)).size
        times = -(-height // max(1, rows))
        return frames.repeat(times, axis=1).repeat(times, axis=2)


def read(path: Path, network: keras.Model, args: argparse.Namespace) -> list[InputClip]:
    """Reads a volume, a clip, or the windows of a film in order of time.

    Raises:
        ValueError: A file that can't be read, or doesn't fit the network.
    """
    name = stem(path)
    if path.name.endswith(SUFFIXES):
        return [_read_volume(path, name, network, args)]
    shape = clip_shape(network, frames=args.frames, size=args.size, default=_DEFAULT_SHAPE)
    frames, height, width, channels = shape
    count = args.windows
    size = (height, width)
    excerpts = read_windows(path, args, count, frames=frames, size=size, channels=channels)
    if count == 1:
        return [InputClip(name, path.name, excerpts[0].clip, str(excerpts[0]), excerpts[0])]
    return [
        InputClip(
            windows.part_name(name, i + 1, count),
            windows.title(path.name, i + 1, count),
            excerpt.clip,
            str(excerpt),
            excerpt,
        )
        for i, excerpt in enumerate(excerpts)
    ]


def stem(path: Path) -> str:
    """Stem of a clip's files, with digits that make it unique."""
    return files.unique_name(path.name, str(path.resolve()), empty="clip")


def _read_volume(
    path: Path, name: str, network: keras.Model, args: argparse.Namespace
) -> InputClip:
    window = args.window and tuple(args.window)
    volume = read_volume(path, axis=2 if args.axis is None else args.axis, window=window)
    clip = volume.clip
    frames, height, width, channels = clip_shape(
        network, frames=args.frames, size=args.size, default=clip.shape[:3]
    )
    if (frames, height, width) != clip.shape[:3]:
        clip = resample(clip, (frames, height, width))
    if clip.shape[-1] == 1 and channels != 1:
        clip = np.repeat(clip, channels, axis=-1)
    low, high = volume.window
    about = (
        f"A volume of {' x '.join(map(str, volume.grid))} voxels along axis {volume.axis}, values "
        f"from {low:g} (black) to {high:g} (white)."
    )
    return InputClip(name, path.name, clip, about, volume=replace(volume, clip=clip))
