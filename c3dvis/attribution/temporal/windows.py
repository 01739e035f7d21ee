"""The exact best window of frames, found by trying all windows; only forward passes are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis.attribution import temporal
from c3dvis.attribution.scorer import Scorer

KINDS = ("keep", *temporal.PERTURBATIONS)


@dataclass(frozen=True)
class WindowResult:
    """The window of the lowest loss.

    Attributes:
        window: Its first frame, and the one after its last.
        mask: bool `(T,)`, true in it.
        order: int `(T,)`, the index of each frame of the perturbed clip in the clip.
        loss: Its loss.
        passes: Number of forward passes.
    """

    window: tuple[int, int]
    mask: NDArray[np.bool_]
    order: NDArray[np.int64]
    loss: float
    passes: int


def best_window(
    scorer: Scorer, clip: NDArray[np.float32], by: str = "keep", stride: int = 1
) -> WindowResult:
    """The window of the lowest loss; `methods.window` describes the arguments."""
    if by not in KINDS:
        raise ValueError(f"Expected by= one of {', '.join(map(repr, KINDS))}. Received: {by!r}.")
    if stride < 1:
        raise ValueError(f"Expected a stride of 1 or more. Received: {stride}.")
    windows = all_windows(len(clip), stride)
    times = np.arange(len(clip))
    masks = (windows[:, :1] <= times) & (times < windows[:, 1:])
    orders = _orders(windows, masks, by)
    # The loss of "keep" is relative to the clip and its first frame; a stride may leave them out.
    references = [times, np.zeros_like(times)] if by == "keep" else np.empty((0, len(clip)), int)
    unique, index = np.unique(np.concatenate([orders, references]), axis=0, return_inverse=True)
    index = index.reshape(-1)[: len(windows)]
    losses = _changes(scorer, clip, unique, by)[index] + _penalties(masks, by)
    best = int(np.lexsort((masks.sum(axis=1), losses))[0])
    first, end = map(int, windows[best])
    return WindowResult((first, end), masks[best], orders[best], float(losses[best]), len(unique))


def all_windows(frames: int, stride: int = 1) -> NDArray[np.int64]:
    """First frame, and the one after the last, of every window, `(N, 2)`.

    >>> all_windows(3).tolist()
    [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    """
    ends = [*range(stride, frames, stride), frames]
    return np.array([(a, b) for a in [0, *ends[:-1]] for b in ends if a < b])


def _orders(windows: NDArray, masks: NDArray[np.bool_], by: str) -> NDArray[np.int64]:
    """The index of each frame of the perturbed clips in the clip, `(N, T)`."""
    times = np.arange(masks.shape[1])
    first, last = windows[:, :1], windows[:, 1:] - 1
    if by == "keep":
        return np.clip(times, first, last)
    if by == "reverse":
        return np.where(masks, first + last - times, times)
    return np.maximum.accumulate(np.where(masks, 0, times), axis=1)


def _penalties(masks: NDArray[np.bool_], by: str) -> NDArray:
    if by == "keep":
        return temporal.AREA_WEIGHT * masks.sum(axis=1)
    return ops.convert_to_numpy(temporal.penalty(ops.cast(masks, "float32")))


def _changes(scorer: Scorer, clip: NDArray[np.float32], orders: NDArray, by: str) -> NDArray:
    """The loss of each perturbed clip without the penalty of its mask, `(N,)`."""
    if by != "keep":
        scorer.calibrate(np.repeat(clip[:1], len(clip), axis=0), clip)
        return _in_batches(scorer.probabilities, scorer, clip, orders)
    if scorer.shared.has_probability:
        scores = _in_batches(scorer.class_scores, scorer, clip, orders)
    else:
        scores = _in_batches(scorer.scores, scorer, clip, orders)[:, None]
    if scores.shape[-1] > 1:
        scores = scores - scores.mean(axis=-1, keepdims=True)
    whole = (orders == np.arange(len(clip))).all(axis=1)
    still = (orders == 0).all(axis=1)
    changes = np.linalg.norm(scores - scores[whole], axis=-1)
    return changes / max(float(changes[still][0]), np.finfo(np.float32).tiny)


def _in_batches(score, scorer: Scorer, clip: NDArray[np.float32], orders: NDArray) -> NDArray:
    """Scores of perturbed clips, batch by batch."""
    parts = scorer.batches(len(orders), clip.shape)
    return np.concatenate([score(clip[orders[part]]) for part in parts])
