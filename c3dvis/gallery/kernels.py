"""The kernels of layers that read the clip itself, beside the clips of their channels.

conv1/0-kernel.png   the weights of filter 0, its frames in rows
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
# Most frames in a row: more would be too small to be seen where a filter's clip is.
_COLUMNS = 4


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
    """The frames of a kernel `(t, h, w, C)` in rows, as one picture `(1, H, W, 4)`."""
    frames = clips.enlarge(clips.to_rgb(kernel), side=_SIDE)
    opaque = np.ones((*frames.shape[:3], 1), np.float32)
    frames = np.concatenate([frames, opaque], axis=-1)
    # Each with a clear edge below and to the right, and clear ones where the last row is short.
    columns = _columns(len(frames))
    frames = np.pad(frames, [(0, -len(frames) % columns), (0, _GAP), (0, _GAP), (0, 0)])
    count, height, width, _ = frames.shape
    rows = frames.reshape(count // columns, columns, height, width, 4).swapaxes(1, 2)
    picture = rows.reshape(-1, columns * width, 4)
    return picture[None, :-_GAP, :-_GAP]


def _columns(frames: int) -> int:
    """How many stand in a row, which all are as long as each other, if they can be."""
    return -(-frames // -(-frames // _COLUMNS))
