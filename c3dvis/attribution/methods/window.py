"""The exact best window of frames, by trying every one: forward passes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis.attribution import temporal
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer

_WAYS = ("keep", *temporal.PERTURBATIONS)


def attribute(
    scorer: Scorer, clip: NDArray[np.float32], *, by: str = "keep", stride: int = 1
) -> Attribution:
    """The one run of frames that minimises a loss, found by trying all of them.

    With `by="keep"`, time stands still outside the window: its first frame is shown before it, its
    last frame after it. The loss is how far this moves the network's class scores, plus 0.01 a
    frame of the window. The distance is Euclidean, of scores before the softmax less their mean,
    as a share of how far they move when the clip's first frame is shown throughout. (A probability
    would not do: a network that is sure gives it to two frames of motion as to ten.) So this is a
    short window in which the network sees what it sees in the clip, whatever the class.

    With "freeze" or "reverse", frames inside the window are frozen or reversed, and the loss is
    that of the masks that `freeze` and `reverse` optimise: no mask of one run has a lower one.
    Such a window is what has to go to bring the class down. It need not be what shows the class:
    an object that is frozen half way still jumps to the end of its path when time goes on.

    A clip of T frames has T (T + 1) / 2 windows: 136 forward passes for 16 frames, or fewer where
    some of them give the same clip.

    Args:
        scorer: The network and the objective, one logit.
        clip: float32 `(T, H, W, C)` in [0, 1].
        by: "keep", "freeze" or "reverse".
        stride: Windows begin and end at multiples of it, or at the clip's end; above 1 for long
            clips, at less than the exact answer.

    Returns:
        The window as `frame_mask` of zeros and ones; the heatmap is this mask, the same for all
        pixels of a frame. `settings` holds the window (first frame, and the one after the last),
        its loss and the number of forward passes. Of windows with the same loss, the shortest.

    Raises:
        ValueError: An unknown way, a stride below 1, or an objective that is not one logit.

    The losses of freeze and reverse are those of Mänttäri et al. 2020,
    https://arxiv.org/abs/2002.00367; "keep" and the exact search are ours.
    """
    best = best_window(scorer, clip, by, stride)
    mask = best.mask.astype(np.float32)
    settings = {
        "by": by,
        "stride": stride,
        "window": best.window,
        "loss": best.loss,
        "passes": best.passes,
    }
    return Attribution(
        clip=clip,
        heatmap=temporal.spread(mask, clip),
        score=float(scorer.scores(clip[None])[0]),
        objective=scorer.objective,
        method="window",
        settings=settings,
        perturbed=clip[best.order],
        frame_mask=mask,
    )


@dataclass(frozen=True)
class Best:
    """The best of all windows.

    Attributes:
        window: Its first frame, and the one after its last.
        mask: bool `(T,)`, true in it.
        order: int `(T,)`, which frame of the clip stands at each place of the perturbed one.
        loss: Its loss.
        passes: Number of clips that the network was asked about.
    """

    window: tuple[int, int]
    mask: NDArray[np.bool_]
    order: NDArray[np.int64]
    loss: float
    passes: int


def best_window(
    scorer: Scorer, clip: NDArray[np.float32], by: str = "keep", stride: int = 1
) -> Best:
    """The window of the lowest loss; see `attribute`."""
    if by not in _WAYS:
        raise ValueError(f"Expected by= one of {', '.join(map(repr, _WAYS))}. Received: {by!r}.")
    if stride < 1:
        raise ValueError(f"Expected a stride of 1 or more. Received: {stride}.")
    windows = all_windows(len(clip), stride)
    times = np.arange(len(clip))
    masks = (windows[:, :1] <= times) & (times < windows[:, 1:])
    every = _orders(windows, masks, by)
    # A stride can leave out the windows of all frames and of the first, by which others are judged.
    judges = [times, np.zeros_like(times)] if by == "keep" else np.empty((0, len(clip)), int)
    orders, which = np.unique(np.concatenate([every, judges]), axis=0, return_inverse=True)
    which = which.reshape(-1)[: len(windows)]
    losses = _changes(scorer, clip, orders, by)[which] + _costs(masks, by)
    best = int(np.lexsort((masks.sum(axis=1), losses))[0])
    first, end = map(int, windows[best])
    return Best((first, end), masks[best], every[best], float(losses[best]), len(orders))


def all_windows(frames: int, stride: int = 1) -> NDArray[np.int64]:
    """First frame, and the one after the last, of every window, `(N, 2)`.

    >>> all_windows(3).tolist()
    [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    """
    ends = [*range(stride, frames, stride), frames]
    return np.array([(a, b) for a in [0, *ends[:-1]] for b in ends if a < b])


def _orders(windows: NDArray, masks: NDArray[np.bool_], by: str) -> NDArray[np.int64]:
    """Which frame of the clip stands at each place of a perturbed one, `(N, T)`."""
    times = np.arange(masks.shape[1])
    first, last = windows[:, :1], windows[:, 1:] - 1
    if by == "keep":
        return np.clip(times, first, last)
    if by == "reverse":
        return np.where(masks, first + last - times, times)
    return np.maximum.accumulate(np.where(masks, 0, times), axis=1)


def _costs(masks: NDArray[np.bool_], by: str) -> NDArray:
    if by == "keep":
        return temporal.AREA_WEIGHT * masks.sum(axis=1)
    return ops.convert_to_numpy(temporal.cost(ops.cast(masks, "float32")))


def _changes(scorer: Scorer, clip: NDArray[np.float32], orders: NDArray, by: str) -> NDArray:
    """What the loss of each perturbed clip holds besides the mask's cost, `(N,)`."""
    if by != "keep":
        return _in_parts(scorer.probabilities, scorer, clip, orders)
    scores = _in_parts(scorer.class_scores, scorer, clip, orders)
    scores = scores - scores.mean(axis=-1, keepdims=True)
    whole = (orders == np.arange(len(clip))).all(axis=1)
    still = (orders == 0).all(axis=1)
    changes = np.linalg.norm(scores - scores[whole], axis=-1)
    return changes / max(float(changes[still][0]), np.finfo(np.float32).tiny)


def _in_parts(answer, scorer: Scorer, clip: NDArray[np.float32], orders: NDArray) -> NDArray:
    """Answers to perturbed clips, of which no more exist at once than the network takes."""
    size = scorer.rows(clip.shape)
    firsts = range(0, len(orders), size)
    return np.concatenate([answer(clip[orders[first : first + size]]) for first in firsts])
