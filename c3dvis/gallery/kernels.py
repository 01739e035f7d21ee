"""Pictures of the kernels of layers that read the clip itself.

conv1/0-kernel.png   the weights of filter 0, with its frames in rows
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

# Minimum side of a frame, and the transparent gap between two, in pixels.
_SIDE, _GAP = 48, 4
# Maximum number of frames in a row; more would be too small on the page.
_COLUMNS = 4


def add(network: keras.Model, section: Section, out: Path) -> tuple[int, int, int] | None:
    """Writes the missing kernel pictures of a section's units.

    Args:
        network: Network of the gallery.
        section: Section of the gallery.
        out: Folder of the gallery.

    Returns:
        Frames, rows and columns of the kernels; None if the layer does not read the clip.

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
    # A transparent gap below and to the right of each; transparent frames fill the last row.
    columns = -(-len(frames) // -(-len(frames) // _COLUMNS))
    frames = np.pad(frames, [(0, -len(frames) % columns), (0, _GAP), (0, _GAP), (0, 0)])
    count, height, width, _ = frames.shape
    rows = frames.reshape(count // columns, columns, height, width, 4).swapaxes(1, 2)
    picture = rows.reshape(-1, columns * width, 4)
    return picture[None, :-_GAP, :-_GAP]
