"""Shows clips in a notebook: as animations of a bounded size, or frame by frame."""

from __future__ import annotations

import base64
import html
import importlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from c3dvis.checks import are_numbers
from c3dvis.clips.encoders import ENCODERS
from c3dvis.clips.geometry import enlarge, resize, sample
from c3dvis.clips.values import check, to_rgb, to_uint8

MOST_CHARACTERS = 300_000
"""Of HTML in a notebook's cell; what is shown is made smaller until it fits."""
_MOST_FRAMES = 64
MOST_CLIPS = 64
"""More of them would each be too small to be seen."""
_HEIGHTS = (128, 256)
"""Pixels: smaller clips are enlarged up to the first, larger ones shrunk to the second."""
_QUALITY = 80
_CAPTION_CHARACTERS = 200
_ROW = "display: flex; flex-wrap: wrap; gap: 0.75em; align-items: flex-start"


@dataclass(frozen=True)
class Shown:
    """Clips that a notebook shows.

    Attributes:
        html: What the notebook puts into the cell: a figure per clip, the pictures inside it.
    """

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def show(
    clips: ArrayLike | Sequence[ArrayLike], *, captions: Sequence[str] | None = None, fps: float = 8
) -> Shown:
    """Shows a clip, or several side by side, as animations in a notebook.

    The cell stays below 300,000 characters: of long clips 64 frames are shown, spread evenly, and
    pictures are made smaller where that is needed. `clips.write` keeps every pixel.

    Args:
        clips: One clip `(T, H, W, C)` in [0, 1], or up to 64 of them: `(N, T, H, W, C)`, or a list
            of clips of any sizes. C is 1 to 4, shown as `to_rgb` says.
        captions: A line below each clip; None numbers several clips from 0.
        fps: Frames per second, 0.001 to 1000.

    Returns:
        What the notebook shows where it is the last line of a cell, or given to `display`.

    Raises:
        ValueError: No clip or more than 64, another number of captions, and what `check` refuses.

    Example:
        >>> shown = show(np.random.default_rng(0).random((2, 8, 16, 16, 3)), captions=["a", "b"])
        >>> shown.html.count("<img")
        2
    """
    if isinstance(clips, (str, Mapping)) or not hasattr(clips, "__getitem__"):
        check(clips)  # says what is expected
    given: Any = clips  # an array too can be indexed, though NumPy's types do not say so
    one = np.ndim(given[0]) == 3 if len(given) else False
    several = [np.asarray(given)] if one else list(given)
    if not 1 <= len(several) <= MOST_CLIPS:
        raise ValueError(f"Expected 1 to {MOST_CLIPS} clips. Received: {len(several)}.")
    if captions is None:
        captions = [""] if one else [str(i) for i in range(len(several))]
    listed = list(captions) if isinstance(captions, Iterable) else []
    if isinstance(captions, str) or len(listed) != len(several):
        raise ValueError(f"Expected {len(several)} captions. Received: {captions!r}.")
    if not are_numbers(fps) or not 0.001 <= fps <= 1000:
        raise ValueError(f"Expected fps from 0.001 to 1000. Received: fps={fps!r}.")
    room = (MOST_CHARACTERS - len(_ROW) - 50) // len(several)
    figures = [
        figure(to_rgb(clip), str(caption), fps=fps, most_characters=room)
        for clip, caption in zip(several, listed, strict=True)
    ]
    return Shown(f'<div style="{_ROW}">{"".join(figures)}</div>')


def row(clips: Sequence[ArrayLike], captions: Sequence[str]) -> str:
    """HTML of the first 64 of any number of clips, and of how many more there are.

    Args:
        clips: Each `(T, H, W, C)` in [0, 1].
        captions: A line for each.
    """
    shown = show(clips[:MOST_CLIPS], captions=captions[:MOST_CLIPS]).html
    rest = len(clips) - MOST_CLIPS
    return shown if rest <= 0 else f"{shown}<p>and {rest} more</p>"


def figure(
    clip: NDArray[np.float32],
    caption: str,
    *,
    fps: float = 8,
    most_characters: int = MOST_CHARACTERS,
) -> str:
    """A clip as an HTML figure with an animated WebP in it.

    Args:
        clip: float32 `(T, H, W, 3)` in [0, 1].
        caption: Below it; cut off after 200 characters.
        fps: Frames per second.
        most_characters: Maximum length of the figure's HTML; the picture is shrunk until it fits.
    """
    line = html.escape(caption[:_CAPTION_CHARACTERS])
    shown = enlarge(sample(clip, min(len(clip), _MOST_FRAMES)), side=_HEIGHTS[0])
    shown = _shrunk(shown, _HEIGHTS[1] / shown.shape[1])
    width = shown.shape[2]

    def drawn(picture: NDArray[np.float32]) -> str:
        return (
            f'<figure style="margin: 0"><img alt="{line}" width="{width}" '
            f'src="data:image/webp;base64,{_encoded(picture, fps)}">'
            f"<figcaption>{line}</figcaption></figure>"
        )

    text = drawn(shown)
    while len(text) > most_characters:
        shown = _shrunk(shown, 0.8)
        text = drawn(shown)
    return text


def scrub(clip: ArrayLike) -> Any:
    """Shows one frame of a clip at a time in a notebook, with a slider to move through them.

    Args:
        clip: `(T, H, W, C)` in [0, 1], such as a clip, or the `animation()` of an attribution.

    Returns:
        An ipywidgets box of a slider over the frames and the picture of one of them.

    Raises:
        ImportError: Where ipywidgets isn't installed.
        ValueError: What `check` refuses.

    Example:
        >>> slider, picture = scrub(np.zeros((8, 16, 16, 3))).children
        >>> slider.max
        7
    """
    pictures = [_png(frame) for frame in enlarge(to_rgb(clip), side=_HEIGHTS[0])]
    try:
        widgets = importlib.import_module("ipywidgets")
    except ImportError:
        raise ImportError(
            'Expected ipywidgets to be installed for a slider (pip install "c3dvis[notebook]"); '
            "`clips.show` needs nothing else."
        ) from None
    picture = widgets.Image(value=pictures[0], format="png")
    slider = widgets.IntSlider(min=0, max=len(pictures) - 1, description="frame")

    def turn(change) -> None:
        picture.value = pictures[change["new"]]

    slider.observe(turn, names="value")
    return widgets.VBox([slider, picture])


def _encoded(picture: NDArray[np.float32], fps: float) -> str:
    pixels = to_uint8(picture)
    if (pixels == pixels[0]).all():  # a WebP that stands still has no timing to keep
        pixels = pixels[:1]
    return base64.b64encode(ENCODERS[".webp"](pixels, fps, _QUALITY)).decode("ascii")


def _shrunk(clip: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    if factor >= 1:
        return clip
    height, width = (max(1, int(side * factor)) for side in clip.shape[1:3])
    return resize(clip, (height, width))


def _png(frame: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(frame)).save(buffer, "PNG")
    return buffer.getvalue()
