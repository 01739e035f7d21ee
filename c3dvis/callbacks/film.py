"""A film of one unit's clips over the epochs, one epoch after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from c3dvis import clips

# Most epochs in a film, and most frames of each of them.
MOST_EPOCHS, MOST_FRAMES = 16, 32
# Pixels.
_LINE, _BAR, _PAD = 16, 3, 4
_PAPER, _INK, _DONE, _AHEAD = (255, 255, 255), (28, 31, 35), (98, 106, 115), (214, 217, 220)


def film_epochs(count: int) -> list[int]:
    """Indices of the epochs that a film shows: evenly spaced, with the first and the last.

    >>> film_epochs(3), len(film_epochs(100)), film_epochs(100)[-1]
    ([0, 1, 2], 16, 99)
    """
    return [round(i) for i in np.linspace(0, count - 1, min(count, MOST_EPOCHS)).tolist()]


def film(shown: Sequence[NDArray[np.float32]], titles: Sequence[str]) -> NDArray[np.float32]:
    """Clips one after the other, each under its title and a progress bar of the film.

    Args:
        shown: Clips `(T, H, W, 3)` in [0, 1], of one size.
        titles: A few letters for each.

    Returns:
        float32 `(frames, height, width, 3)` in [0, 1]; small clips are enlarged, of long ones
        32 frames are shown.
    """
    parts = []
    for i, (clip, title) in enumerate(zip(shown, titles, strict=True)):
        clip = clips.sample(clip, min(len(clip), MOST_FRAMES))
        large = clips.enlarge(clip)
        head = _head(title, large.shape[2], (i + 1) / len(shown))
        heads = np.broadcast_to(head, (len(large), *head.shape))
        parts.append(np.concatenate([heads, large], axis=1))
    return np.concatenate(parts)


def _head(title: str, width: int, done: float) -> NDArray[np.float32]:
    """The title over the bar, `(height, width, 3)`."""
    head = Image.new("RGB", (width, _LINE + _BAR + _PAD), _PAPER)
    draw = ImageDraw.Draw(head)
    draw.text((1, 1), title, fill=_INK, font=ImageFont.load_default(_LINE - 4))
    draw.rectangle((0, _LINE, width - 1, _LINE + _BAR - 1), fill=_AHEAD)
    draw.rectangle((0, _LINE, max(0, round(done * width) - 1), _LINE + _BAR - 1), fill=_DONE)
    return np.asarray(head, np.float32) / np.float32(255)
