"""Volumes (CT, MRI, fMRI) from NIfTI files as clips, whose first axis is depth, and back.

NIfTI files are read with `nibabel`, an extra: `pip install 'c3dvis[volumes]'`.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import files
from c3dvis.clips.sources import MAXIMUM_BYTES
from c3dvis.text import in_one_line

_ERRORS = (OSError, EOFError, ValueError, OverflowError, zlib.error)  # of damaged files

SUFFIXES = (".nii", ".nii.gz")
"""Names of NIfTI files that are read and written."""


@dataclass(frozen=True)
class Volume:
    """A scan as a network's input, and its location in space.

    Attributes:
        clip: float32 `(D, H, W, C)` in [0, 1]: slices along `axis`, C times or channels.
        affine: float64 `(4, 4)`, from indices of the file's grid to millimetres.
        grid: Shape of the file's first three axes.
        axis: The file's axis that is the clip's first.
        window: The file's values that are 0 and 1 in the clip.
    """

    clip: NDArray[np.float32]
    affine: NDArray[np.float64]
    grid: tuple[int, int, int]
    axis: int
    window: tuple[float, float]

    def __repr__(self) -> str:
        low, high = self.window
        return f"Volume({self.clip.shape}, axis={self.axis}, window=({low:g}, {high:g}))"


def read_volume(
    path: str | os.PathLike[str],
    *,
    axis: int = 2,
    shape: tuple[int, int, int] | None = None,
    window: tuple[float, float] | None = None,
) -> Volume:
    """Reads a NIfTI file.

    Args:
        path: A `.nii` or `.nii.gz` file of three axes, or four, whose last becomes channels.
        axis: Which of the first three is the clip's first; the others keep their order.
        shape: `(D, H, W)` to resample to, linearly, as the network takes; None keeps the grid.
        window: Values that become 0 and 1, such as (-1000, 400) for lungs in CT; values beyond are
            clipped. None means the file's lowest and highest value.

    Returns:
        The clip, and what is needed to write a heatmap on the same grid.

    Raises:
        ValueError: If it is not such a file, is too large, or holds values that are not finite.
        ImportError: If nibabel is not installed.

    An example, of a file that does not come with the package, so it is not run:

    >>> read_volume("scan.nii.gz", window=(-1000, 400)).clip.shape  # doctest: +SKIP
    (120, 512, 512, 1)
    """
    if axis not in (0, 1, 2):
        raise ValueError(f"Expected axis 0, 1 or 2. Received: {axis!r}.")
    stored, affine = _stored(files.as_path(path))
    if not np.isfinite(stored).all():
        count = int((~np.isfinite(stored)).sum())
        raise ValueError(f"Expected finite values. Received: {count} that are not in {path!s}.")
    low, high = _window(window, stored)
    scaled = (np.clip(stored, low, high) - low) / ((high - low) or 1.0)
    clip = np.moveaxis(scaled, axis, 0).astype(np.float32)
    if shape is not None:
        clip = resample(clip, shape)
    return Volume(np.ascontiguousarray(clip), affine, stored.shape[:3], axis, (low, high))


def write_volume(path: str | os.PathLike[str], values: ArrayLike, volume: Volume) -> Path:
    """Writes a heatmap on the grid of the volume that it explains.

    Args:
        path: A `.nii` or `.nii.gz` file; written whole or not at all.
        values: `(D, H, W)` as the volume's clip; resampled linearly where that was resampled.
        volume: What `read_volume` gave.

    Returns:
        The path.

    Raises:
        ValueError: For values of another shape than the clip's, or another kind of file name.
        ImportError: If nibabel is not installed.

    An example, of files that do not come with the package, so it is not run:

    >>> volume = read_volume("scan.nii.gz", shape=(64, 128, 128))  # doctest: +SKIP
    >>> heatmap = attribute(network, volume.clip).heatmap  # doctest: +SKIP
    >>> write_volume("heatmap.nii.gz", heatmap, volume)  # doctest: +SKIP
    """
    nibabel, path = _nibabel(), files.as_path(path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"Expected a file name in .nii or .nii.gz. Received: {path.name!r}.")
    heatmap = np.asarray(values, np.float32)
    if heatmap.shape != volume.clip.shape[:3]:
        raise ValueError(
            f"Expected values {volume.clip.shape[:3]}, one per voxel of the clip. "
            f"Received: shape {heatmap.shape}."
        )
    depth, height, width = np.moveaxis(np.empty(volume.grid, np.bool_), volume.axis, 0).shape
    if heatmap.shape != (depth, height, width):
        heatmap = resample(heatmap[..., None], (depth, height, width))[..., 0]
    image = nibabel.Nifti1Image(np.moveaxis(heatmap, 0, volume.axis), volume.affine)
    suffix = next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))
    handle, name = tempfile.mkstemp(suffix, ".", path.parent)
    os.close(handle)
    try:
        nibabel.save(image, name)
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    return path


def resample(clip: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """A clip `(D, H, W, C)` stretched to another depth, height and width, linearly."""
    if np.shape(shape) != (3,) or min(shape) < 1:
        raise ValueError(f"Expected a shape (D, H, W) of positive integers. Received: {shape!r}.")
    from keras import ops

    def resized(pictures, size):
        return ops.convert_to_numpy(ops.image.resize(pictures, size, antialias=True))

    if clip.shape[1:3] != tuple(shape[1:]):
        clip = resized(clip, tuple(shape[1:]))
    if len(clip) != shape[0]:
        _, height, width, channels = clip.shape
        slices = clip.reshape(1, len(clip), height * width, channels)
        clip = resized(slices, (shape[0], height * width)).reshape(*shape, channels)
    return clip


def _stored(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The file's values `(X, Y, Z, C)` and its affine matrix."""
    nibabel = _nibabel()
    damaged = (
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
        nibabel.spatialimages.ImageDataError,
    )
    try:
        image = nibabel.load(path)
        size = 4 * math.prod(image.shape)
        if len(image.shape) not in (3, 4) or not size:
            raise ValueError(f"shape {image.shape}, where three or four axes are read")
        if size > MAXIMUM_BYTES:
            raise ValueError(f"shape {image.shape}, {size / 2**30:.3g} GiB as float32")
        stored = np.asarray(image.dataobj, np.float32)
    except (*_ERRORS, *damaged) as error:
        reason = in_one_line(error)
        raise ValueError(f"Expected a NIfTI file. Received: {str(path)!r}: {reason}.") from error
    if image.affine is None:
        raise ValueError(f"Expected a NIfTI file with an affine matrix. Received: {str(path)!r}.")
    return stored.reshape(*stored.shape[:3], -1), image.affine


def _window(window: tuple[float, float] | None, stored: NDArray[np.float32]) -> tuple[float, float]:
    if window is None:
        return float(stored.min()), float(stored.max())
    if np.shape(window) != (2,) or not window[0] < window[1]:
        raise ValueError(f"Expected a window (low, high) with low < high. Received: {window!r}.")
    return float(window[0]), float(window[1])


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(
            "Expected nibabel to be installed for volumes: pip install 'c3dvis[volumes]'."
        ) from error
    return nibabel
