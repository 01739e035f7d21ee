"""What belongs to an explained volume: its heatmap as NIfTI, and films through its three planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips, pages
from c3dvis.attribution.result import Attribution
from c3dvis.clips.volumes import Volume

# By the direction across a plane: from left to right, from behind to the front, from below upward.
_NAMES = {0: "sagittal", 1: "coronal", 2: "axial"}
# Pixels of the longer side of a picture, at most; spacing is shown true up to it.
_LONGEST = 512


def write(
    folder: Path, name: str, attribution: Attribution, volume: Volume, *, fps: float, **options: Any
) -> tuple[list[pages.Picture], Path]:
    """Writes the films of three planes, and the heatmap on the volume's own grid.

    Args:
        folder: Folder of the page.
        name: Name of the files: `name`-axial.gif, ..., and `name`.nii.gz.
        attribution: Attribution of the volume's clip.
        volume: The volume, as read.
        fps: Slices per second.
        **options: Options of `Attribution.overlay`.

    Returns:
        The pictures, the clip's own axis first, and the path of the heatmap.

    Raises:
        OSError: If files cannot be written.
    """
    drawn = attribution.overlay(**options)
    axes = (volume.axis, *(axis for axis in range(3) if axis != volume.axis))
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0) * volume.grid  # of the whole, in mm
    pixel = [spacing[axis] / length for axis, length in zip(axes, drawn.shape[:3], strict=True)]
    films = []
    for across in range(3):
        rows, columns = (i for i in range(3) if i != across)
        slices = np.moveaxis(drawn, across, 0)
        slices = _in_proportion(slices, pixel[rows], pixel[columns])
        slices = _upright(slices, volume.affine, axes[rows], axes[columns])
        plane = plane_name(volume.affine, axes[across])
        alt = f"{plane} slices, with the heatmap in orange and blue"
        file = f"{name}-{plane.replace(' ', '-')}"
        films.append(pages.film(folder, file, slices, plane, alt=alt, fps=fps, slider=True))
    heatmap = clips.write_volume(folder / f"{name}.nii.gz", attribution.heatmap, volume)
    return films, heatmap


def plane_name(affine: NDArray[np.float64], axis: int) -> str:
    """The plane across an axis of a file, by the body's axis that is nearest to it.

    >>> plane_name(np.eye(4), 2), plane_name(np.eye(4)[[1, 0, 2, 3]], 0)
    ('axial', 'coronal')
    """
    nearest = _nearest(affine)
    return f"axis {axis}" if nearest is None else _NAMES[nearest[axis]]


def _nearest(affine: NDArray[np.float64]) -> list[int] | None:
    """The body's axis nearest to each of a file; None where two have the same."""
    directions = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    nearest = directions.argmax(axis=0).tolist()
    return nearest if sorted(nearest) == [0, 1, 2] else None


def _upright(
    slices: NDArray[np.float32], affine: NDArray[np.float64], rows: int, columns: int
) -> NDArray[np.float32]:
    """Slices `(T, H, W, 3)` turned until up is the head, or the front, and right the body's right.

    Args:
        slices: The pictures.
        affine: Affine matrix of the file.
        rows: The file's axis that runs down the pictures.
        columns: The one that runs across them.
    """
    nearest = _nearest(affine)
    if nearest is None:
        return slices
    if nearest[rows] < nearest[columns]:
        slices, rows, columns = np.swapaxes(slices, 1, 2), columns, rows
    if affine[nearest[rows], rows] > 0:
        slices = slices[:, ::-1]
    if affine[nearest[columns], columns] < 0:
        slices = slices[:, :, ::-1]
    return np.ascontiguousarray(slices)


def _in_proportion(slices: NDArray[np.float32], height: float, width: float) -> NDArray[np.float32]:
    """Slices `(T, H, W, 3)` with rows and columns repeated, as pixels are not as long as wide.

    Args:
        slices: The pictures.
        height: Height of a pixel, in any unit.
        width: Width of a pixel, in the same unit.
    """
    squares = np.array([slices.shape[1] * height, slices.shape[2] * width]) / min(height, width)
    longest = squares.max()
    enlarged = _LONGEST / longest if longest > _LONGEST else max(1, _LONGEST // 2 // longest)
    shown = np.maximum(1, np.round(squares * enlarged)).astype(int)
    rows, columns = (np.arange(n) * of // n for n, of in zip(shown, slices.shape[1:3], strict=True))
    return slices[:, rows][:, :, columns]
