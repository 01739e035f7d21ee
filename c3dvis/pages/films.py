"""The files of an animation on a page: a GIF, and the film strip that the page plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from c3dvis import clips
from c3dvis.pages.pictures import Picture

# Widest picture that a JPEG file holds, and that browsers draw.
_WIDEST_STRIP = 65_500


def film(
    folder: Path,
    name: str,
    clip: NDArray[np.float32],
    caption: str,
    *,
    alt: str | None = None,
    fps: float = 8,
    width: int | None = None,
    slider: bool = False,
) -> Picture:
    """Writes a clip as `name`.gif and, as film strip, `name`.jpg.

    A clip whose strip is too wide for a file has none; the page then shows its GIF.

    Args:
        folder: Folder of the page.
        name: Name of the files, without ending.
        clip: `(T, H, W, C)` in [0, 1].
        caption: See `Picture`.
        alt: None means the caption.
        fps: Frames per second.
        width: Displayed width in pixels; None means the clip's own.
        slider: See `Picture`.

    Raises:
        OSError: If files cannot be written.
    """
    frames, _, own_width, _ = shape = clip.shape
    clips.write(folder / f"{name}.gif", clip, fps=fps)
    strip = f"{name}.jpg" if frames * own_width <= _WIDEST_STRIP else None
    if strip is not None:
        clips.write(folder / strip, clip)
    width = own_width if width is None else width
    return Picture(f"{name}.gif", caption, width, alt, strip, shape[:3], slider)


def read_strip(path: Path, frames: int) -> NDArray[np.float32]:
    """The clip `(frames, H, W, 3)` in [0, 1] of a film strip that `film` or a gallery wrote.

    Raises:
        ValueError: If it is not a picture of that many frames side by side.
        OSError: If it cannot be read.
    """
    try:
        with Image.open(path, formats=("JPEG",)) as picture:
            strip = np.asarray(picture.convert("RGB"))
    except (SyntaxError, Image.UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"Expected a film strip. Received: {path}: {error}.") from error
    height, width, _ = strip.shape
    if frames < 1 or width % frames:
        raise ValueError(f"Expected a strip of {frames} frames. Received: {width} pixels wide.")
    clip = strip.reshape(height, frames, width // frames, 3).swapaxes(0, 1)
    return clip.astype(np.float32) / np.float32(255)
