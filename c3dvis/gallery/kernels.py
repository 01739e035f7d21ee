"""The kernels of layers that read the clip itself, beside the clips of their channels.

conv1/0-kernel.png   the weights of filter 0, its frames side by side
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, responses
from c3dvis.gallery.plan import CLASSES, Section

if TYPE_CHECKING:  # pages are written without Keras
    import keras

# Pixels: the least side of a frame, and what is clear between two.
_SIDE, _GAP = 48, 4


def add(network: keras.Model, section: Section, out: Path) -> tuple[int, int, int] | None:
    """Writes the pictures of a section's units that are missing.

    Args:
        network: Of the gallery.
        section: Of the gallery.
        out: The gallery's folder.

    Returns:
        Frames, rows and columns of the kernels; None where the layer does not read the clip.

    Raises:
        OSError: If a file cannot be written.
    """
    shown = None if section.layer == CLASSES else responses.kernels_of_clip(network, section.layer)
    if shown is None or len(shown) != section.channels:
        return None
    for unit in section.units:
        path = out / unit.kernel
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            clips.write(path, _side_by_side(shown[unit.channel]))
    _, frames, rows, columns, _ = shown.shape
    return frames, rows, columns


def _side_by_side(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frames of a kernel `(t, h, w, C)` as one picture `(1, H, W, 4)`."""
    frames = clips.enlarge(clips.to_rgb(kernel), side=_SIDE)
    shape = (*frames.shape[:3], 1)
    frames = np.concatenate([frames, np.ones(shape, np.float32)], axis=-1)
    gap = np.zeros((frames.shape[1], _GAP, 4), np.float32)
    parts = [part for frame in frames for part in (gap, frame)]
    return np.concatenate(parts[1:], axis=1)[None]
