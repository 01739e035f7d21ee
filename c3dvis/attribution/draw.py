"""Draws heatmaps over clips: overlays, animations, contact sheets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import clips
from c3dvis.attribution.uncropped import Size, crop_mask, fade_outside, place
from c3dvis.clips.geometry import Crop
from c3dvis.text import unknown

POLARITIES = ("both", "positive", "negative")
NORMALIZE = ("clip", "frame")

# Vermilion and blue of the palette of Okabe and Ito for the colour-blind
# (https://jfly.uni-koeln.de/color/), more saturated, as they are drawn over grey.
FOR = np.array([0.95, 0.38, 0.0], np.float32)
AGAINST = np.array([0.0, 0.4, 0.8], np.float32)
_PAPER = np.float32(1.0)
_EMPTY_MARK = np.float32(0.88)
_UNDERLINE = np.float32(0.15)
_COLUMN = np.float32(0.55)
# Grey levels of black and white under the colours: light, as blue does not show on dark.
_FADED = (0.4, 1.0)
# Of the strongest colour, so that the clip shows through; and its exponent, below 1, so that half
# of the largest value is visible.
_OPACITY, _OPACITY_EXPONENT = 0.9, 0.7
# Pixels of the shorter side for each pixel of a border's width.
_BORDER_SHARE = 16
_SHEET_COLUMNS = 16
# Pixels.
_GAP = 4
_MARK_HEIGHT = 8
_STRIP_HEIGHT = 24
# Weights of red, green and blue in luma (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def overlay(
    clip: NDArray[np.float32],
    heatmap: NDArray[np.float32],
    *,
    polarity: str = "both",
    normalize: str = "clip",
    percentile: float = 99.9,
) -> NDArray[np.float32]:
    """A heatmap in colours over the grey clip: vermilion is positive, blue negative, 0 transparent.

    Args:
        clip: float32 `(T, H, W, C)` in [0, 1]; or the uncropped frames, of any size, from which
            `clips.resize` made it. The heatmap is then drawn in the cropped part; the rest is
            paler, outside a line.
        heatmap: float32 `(T, H, W)`, signed.
        polarity: "both", or only "positive" or "negative" values.
        normalize: Whether the strongest colour stands for the largest value of the whole "clip"
            or of each "frame".
        percentile: Percentile of the absolute values, above 0 and up to 100, that counts as the
            largest value, as a few pixels are often outliers.

    Returns:
        float32 `(T, H, W, 3)` in [0, 1], as large as the clip given.

    Raises:
        ValueError: An unknown polarity or normalization, or a percentile out of range.

    Example:
        >>> drawn = overlay(np.zeros((1, 1, 2, 3), np.float32), np.array([[[0.0, 5.0]]]))
        >>> drawn[0, 0, 0].tolist() == drawn[0, 0, 0, :1].tolist() * 3  # 0 is transparent
        True
    """
    values = scaled(heatmap, polarity=polarity, normalize=normalize, percentile=percentile)
    return _colored(place(values, clip.shape[1:3]), fade_outside(_faded(clip), heatmap.shape[1:3]))


def highlight_frames(
    clip: NDArray[np.float32], heatmap: NDArray[np.float32], **options: Any
) -> NDArray[np.float32]:
    """A clip whose frames are highlighted by their heat, the same for all pixels of a frame.

    Args:
        clip: See `overlay`.
        heatmap: float32 `(T, H, W)`, signed.
        **options: Options of `overlay`.

    Returns:
        float32 `(T, H, W, 3)` in [0, 1]: hot frames in their own colours with a coloured border,
        the others in grey.
    """
    values = place(scaled(heatmap, **options), clip.shape[1:3])
    opacity = np.abs(values)[..., None]
    grey = fade_outside(_faded(clip), heatmap.shape[1:3])
    mixed = (opacity * clips.to_rgb(clip) + (1 - opacity) * grey).astype(np.float32)
    border = _border(heatmap.shape[1:3], clip.shape[1:3])
    return np.where(border[..., None], _colored(values, mixed), mixed)


def _border(size: Size, whole: Size) -> NDArray[np.bool_]:
    """The outermost pixels of the crop of `size` in frames of size `whole`."""
    border = crop_mask(size, whole)
    crop = Crop.of(whole, size).pixels
    width = max(1, min(side.stop - side.start for side in crop) // _BORDER_SHARE)
    border[tuple(slice(side.start + width, side.stop - width) for side in crop)] = False
    return border


def scaled(
    heatmap: NDArray[np.float32], *, polarity: str, normalize: str, percentile: float
) -> NDArray[np.float32]:
    """A heatmap scaled to [-1, 1]; `overlay` describes the arguments."""
    for name, chosen, choices in (
        ("polarity", polarity, POLARITIES),
        ("normalize", normalize, NORMALIZE),
    ):
        if chosen not in choices:
            raise unknown(name, chosen, choices)
    if not 0 < percentile <= 100:
        raise ValueError(f"Expected a percentile in (0, 100]. Received: {percentile}.")
    if polarity != "both":
        heatmap = np.maximum(heatmap, 0) if polarity == "positive" else np.minimum(heatmap, 0)
    axes = (1, 2) if normalize == "frame" else None
    most = np.percentile(np.abs(heatmap), percentile, axis=axes, keepdims=True)
    # The percentile is zero if only a few pixels are not.
    most = np.where(most > 0, most, np.abs(heatmap).max(axis=axes, keepdims=True))
    values = np.divide(heatmap, most, out=np.zeros(heatmap.shape, np.float32), where=most > 0)
    return np.clip(values, -1, 1)


def animation(
    clip: NDArray[np.float32],
    drawn: NDArray[np.float32],
    perturbed: NDArray[np.float32] | None,
    weights: NDArray[np.float32],
    scores: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Clip, overlay and perturbed clip side by side, over a bar with one mark for each frame.

    Args:
        clip: float32 `(T, H, W, C)`.
        drawn: float32 `(T, H, W, 3)`, of `overlay`.
        perturbed: float32 `(T, H, W, C)`, or None.
        weights: float32 `(T,)` in [-1, 1], of each frame's mark.
        scores: Score of each frame of the network's output, drawn as columns above the marks; None
            draws none.

    Returns:
        float32 `(T, height, width, 3)` in [0, 1]; small clips are enlarged.
    """
    pictures = [clips.to_rgb(clip), drawn]
    pictures += [] if perturbed is None else [clips.to_rgb(perturbed)]
    pictures = [clips.enlarge(picture) for picture in pictures]
    frames, height = pictures[0].shape[:2]
    gap = np.full((frames, height, _GAP, 3), _PAPER)
    parts: list = [pictures[0]]
    for picture in pictures[1:]:
        parts += [gap, picture]
    row = np.concatenate(parts, axis=2)
    width = row.shape[2]
    bars = np.stack([frame_bar(weights, width, frame) for frame in range(frames)])
    if scores is None:
        return np.concatenate([row, bars], axis=1)
    now = [frame * len(scores) // frames for frame in range(frames)]
    strips = np.stack([score_strip(scores, width, current) for current in now])
    return np.concatenate([row, strips, bars], axis=1)


def frame_bar(
    weights: NDArray[np.float32], width: int, current: int | None = None
) -> NDArray[np.float32]:
    """One mark for each frame from left to right, the current underlined: `(height, width, 3)`."""
    drawn = np.full((2 * _GAP + _MARK_HEIGHT, width, 3), _PAPER)
    colors = _colored(weights, np.full((len(weights), 1), _EMPTY_MARK))
    for frame, inner in enumerate(_marks(len(weights), width)):
        drawn[_GAP : _GAP + _MARK_HEIGHT, inner] = colors[frame]
        if frame == current:
            drawn[_GAP + _MARK_HEIGHT + 1 : -1, inner] = _UNDERLINE
    return drawn


def score_strip(
    scores: NDArray[np.float32], width: int, current: int | None = None
) -> NDArray[np.float32]:
    """A column for each score from left to right, the current one darker: `(height, width, 3)`.

    The whole height is 1 for scores in [0, 1], such as probabilities, else the largest absolute
    score; columns of negative scores hang from the top of the lower half.
    """
    are_shares = scores.min() >= 0 and scores.max() <= 1
    most = 1.0 if are_shares else float(np.abs(scores).max())
    heights = np.divide(scores, most, out=np.zeros(len(scores), np.float32), where=most > 0)
    drawn = np.full((_GAP + _STRIP_HEIGHT, width, 3), _PAPER)
    drawn[_GAP:] = _EMPTY_MARK
    zero, room = _STRIP_HEIGHT, _STRIP_HEIGHT
    if scores.min() < 0:
        zero = room = _STRIP_HEIGHT // 2
    for column, (inner, height) in enumerate(zip(_marks(len(scores), width), heights, strict=True)):
        end = zero - round(room * float(height))
        shade = _UNDERLINE if column == current else _COLUMN
        drawn[_GAP + min(zero, end) : _GAP + max(zero, end), inner] = shade
    return drawn


def _marks(count: int, width: int) -> list[slice]:
    """Pixel columns of `count` marks side by side, with a gap unless they are too narrow."""
    ends = np.round(np.linspace(0, width, count + 1)).astype(int).tolist()
    pairs = zip(ends, ends[1:], strict=False)
    return [slice(left, right - 1 if right - left > 3 else right) for left, right in pairs]


def contact_sheet(
    clip: NDArray[np.float32],
    drawn: NDArray[np.float32],
    perturbed: NDArray[np.float32] | None,
    weights: NDArray[np.float32],
    scores: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The panels of `animation` in one picture: a column for each frame, its mark at the bottom.

    There are 16 columns in a row.

    Returns:
        float32 `(height, width, 3)` in [0, 1].
    """
    pictures = [clips.to_rgb(clip), drawn]
    pictures += [] if perturbed is None else [clips.to_rgb(perturbed)]
    frames, _, width = pictures[0].shape[:3]
    gap = np.full((frames, 2, width, 3), _PAPER)
    parts: list = []
    for picture in pictures:
        parts += [picture, gap]
    colors = _colored(weights, np.full((frames, 1), _EMPTY_MARK))
    marks = np.broadcast_to(colors[:, None, None], (frames, _MARK_HEIGHT, width, 3))
    strips = []
    if scores is not None:
        whole = score_strip(scores, width * len(scores))
        each = np.stack(np.split(whole, len(scores), axis=1))
        strips = [each[np.arange(frames) * len(scores) // frames], gap]
    tall = np.concatenate([*parts, *strips, marks], axis=1)
    return clips.sheet(tall, columns=min(_SHEET_COLUMNS, frames), pad=2)


def frame_weights(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of each frame's heat as a share of the largest, `(T,)` in [-1, 1]."""
    sums = heatmap.sum(axis=(1, 2), dtype=np.float64)
    most = np.abs(sums).max()
    return (sums / most if most > 0 else np.zeros_like(sums)).astype(np.float32)


def _faded(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """A clip in light grey, `(T, H, W, 1)`."""
    low, high = _FADED
    return low + (high - low) * (clips.to_rgb(clip) @ _LUMA)[..., None]


def _colored(values: NDArray[np.float32], backdrop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values `(...)` in [-1, 1] as colours over a backdrop `(..., 1)` or `(..., 3)`."""
    opacity = _OPACITY * (np.abs(values) ** _OPACITY_EXPONENT)[..., None]
    color = np.where(values[..., None] > 0, FOR, AGAINST)
    mixed = opacity * color + (1 - opacity) * backdrop
    return np.clip(mixed, 0, 1).astype(np.float32)
