"""Write a clip to a file: GIF, WebP, APNG, MP4 or a film strip."""

import os

from numpy.typing import ArrayLike

from c3dvis import files
from c3dvis.checks import are_numbers
from c3dvis.clips.encoders import ENCODERS
from c3dvis.clips.values import check, to_rgb, to_uint8
from c3dvis.text import unknown

_FPS = (0.001, 1000)
"""Frames per second, lowest and highest: delays are written in milliseconds."""

_OTHER_VIDEOS = (".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg")


def write(
    path: str | os.PathLike[str],
    clip: ArrayLike,
    *,
    fps: float = 8,
    quality: int | None = None,
) -> None:
    """Writes a clip, in the format that the file name's ending says.

    | ending | what it is |
    |---|---|
    | .gif | 256 colours per frame; delays of whole 10 ms whose sum is true |
    | .webp | animated; lossy, at half the resolution in colour |
    | .png | animated PNG; lossless |
    | .mp4 | H.264, at half the resolution in colour; odd sides grow by one repeated edge pixel |
    | .jpg, .jpeg | film strip: all frames side by side, full resolution in colour; no timing |

    Animations loop forever. A WebP or a transparent GIF stores consecutive equal frames as one,
    shown for as long as all of them; a WebP of a still clip keeps no timing (there is a warning).
    The file is written atomically, and replaces an existing one.

    Args:
        path: file to write; its folder must exist.
        clip: `(T, H, W, C)` in [0, 1]. C is 1 (grey), 2 (flow, drawn as `to_rgb` says), 3 (RGB) or
            4 (RGBA; .gif, .webp and .png only, and a GIF's pixel is either opaque or clear).
        fps: frames per second, 0.001 to 1000, for a GIF up to 50.
        quality: 1 (small) to 100 (best) for .webp, .mp4 and .jpg. Default: 90, 65 and 85.

    Raises:
        ValueError: for another ending, what `check` refuses, a bad `fps` or `quality`.
        OSError: where the file cannot be written; nothing is left behind.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/noise.gif", np.random.default_rng(0).random((8, 16, 16, 3)))
    ...     os.listdir(folder)
    ['noise.gif']
    """
    path = files.as_path(path)
    suffix = path.suffix.lower()
    if suffix not in ENCODERS:
        meant = "'.mp4'" if suffix in _OTHER_VIDEOS else None
        raise unknown("a file name with a known ending", suffix, ENCODERS, meant=meant)
    clip = check(clip)
    channels = clip.shape[-1]
    if channels == 4 and suffix not in (".gif", ".webp", ".png"):
        raise ValueError(
            f"Expected 1 to 3 channels for {path.suffix}, which knows no transparency. "
            "Received: 4 channels; `to_rgb` lays them over a background."
        )
    pixels = to_uint8(clip if channels in (1, 4) else to_rgb(clip))
    low, high = _FPS
    if not (are_numbers(fps) and low <= fps <= high):
        raise ValueError(f"Expected fps from {low} to {high}. Received: fps={fps!r}.")
    if quality is not None and suffix in (".gif", ".png"):
        raise ValueError(f"Expected no quality for {suffix}. Received: quality={quality!r}.")
    if quality is not None and not (are_numbers(quality) and quality in range(1, 101)):
        raise ValueError(
            f"Expected quality from 1 to 100, a whole number. Received: quality={quality!r}."
        )
    # Encoded in memory and written by Python, for Pillow overlooks a disk that fills up while it
    # writes a JPEG.
    content = ENCODERS[suffix](pixels, float(fps), None if quality is None else int(quality))
    if not path.parent.is_dir():
        raise ValueError(f"Expected a file name in a folder that exists. Received: {str(path)!r}.")
    files.write_bytes(path, content)
