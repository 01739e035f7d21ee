"""Temporal localization: whether a heatmap or frame mask is highest where the evidence is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution.metrics import ties


def frame_profile(heatmap: ArrayLike) -> NDArray[np.float64]:
    """Positive heat of each frame.

    Args:
        heatmap: `(T, H, W)`, signed.

    Returns:
        float64 `(T,)`, sums over the pixels.

    Example:
        >>> frame_profile([[[1, -2]], [[3, 4]]]).tolist()
        [1.0, 7.0]
    """
    return np.maximum(ties.finite(heatmap, 3, "heatmap"), 0).sum(axis=(1, 2))


def temporal_hit(profile: ArrayLike, window: Sequence[int]) -> float:
    """Temporal hit: whether the highest frame is in the window of the evidence.

    Args:
        profile: `(T,)`, a mask of frames, or a `frame_profile`.
        window: First frame of the evidence, and the frame after its last.

    Returns:
        0 or 1; for tied frames, the share of them in the window.

    Raises:
        ValueError: A profile of another shape, or a window that is empty or leaves the clip.

    Example:
        >>> temporal_hit([0, 1, 3, 1], (1, 3))
        1.0
    """
    values = ties.finite(profile, 1, "profile")
    return ties.argmax_in(values, _inside(window, len(values)))


def temporal_iou(
    profile: ArrayLike, window: Sequence[int], *, threshold: float | None = None
) -> float:
    """Temporal IoU: intersection over union of the highest frames and the window of the evidence.

    Args:
        profile: `(T,)`, a mask of frames, or a `frame_profile`.
        window: First frame of the evidence, and the frame after its last.
        threshold: Frames above it are taken, such as 0.5 for a mask; None takes as many frames as
            the window has, for profiles whose order alone is meaningful.

    Returns:
        From 0 to 1. Frames tied at the threshold count by their share.

    Raises:
        ValueError: A profile of another shape, or a window that is empty or leaves the clip.

    Example:
        >>> from c3dvis.attribution.metrics import temporal_iou
        >>> temporal_iou([0, 1, 1, 1], (0, 3), threshold=0.5)
        0.5
    """
    values = ties.finite(profile, 1, "profile")
    inside = _inside(window, len(values))
    if threshold is None:
        taken = ties.top_k_mask(values, int(inside.sum()))
    else:
        taken = (values > threshold).astype(np.float64)
    common = taken[inside].sum()
    return float(common / (inside.sum() + taken.sum() - common))


def _inside(window: Sequence[int], frames: int) -> NDArray[np.bool_]:
    if np.shape(window) != (2,) or not 0 <= window[0] < window[1] <= frames:
        raise ValueError(
            f"Expected a window (first frame, frame after the last) within {frames} frames. "
            f"Received: {window}."
        )
    first, end = window
    times = np.arange(frames)
    return (first <= times) & (times < end)
