"""Window: the run of frames that decides, found exactly by trying every one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution import temporal
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.attribution.temporal.windows import best_window


def attribute(
    scorer: Scorer, clip: NDArray[np.float32], *, by: str = "keep", stride: int = 1
) -> Attribution:
    """The window of frames with the lowest loss, found by trying all windows.

    With `by="keep"`, the clip is frozen outside the window: its first frame is shown before it, its
    last frame after it. The loss is the change of the network's class scores plus 0.01 for each
    frame of the window. The change is the Euclidean distance of the scores before the softmax, less
    their mean, relative to that of the clip whose first frame is shown throughout. (Probabilities
    would not work: a confident network gives two frames of motion the same probability as ten.) The
    result is a short window that the network scores like the whole clip, for all classes.

    With "freeze" or "reverse", frames inside the window are frozen or reversed, and the loss is
    that of the masks that `freeze` and `reverse` optimise: no mask with one run of frames has a
    lower loss. Such a window has to be removed to lower the class. It need not be sufficient to
    show the class: an object that is frozen half way still jumps to the end of its path after the
    window.

    A clip of T frames has T (T + 1) / 2 windows: 136 forward passes for 16 frames, or fewer if
    windows give identical clips.

    Args:
        scorer: The network and the class. For any other objective, its score replaces the class
            scores and, as in `Scorer.calibrate`, the probability.
        clip: float32 `(T, H, W, C)` in [0, 1].
        by: "keep", "freeze" or "reverse".
        stride: Windows begin and end at multiples of it, or at the clip's end; above 1 it saves
            time on long clips, but misses windows.

    Returns:
        The window as `frame_mask` of zeros and ones; the heatmap is this mask, the same for all
        pixels of a frame. `settings` holds the window (first frame, and the one after the last),
        its loss and the number of forward passes. Among windows with the same loss, it is the
        shortest.

    Raises:
        ValueError: An unknown `by` or a stride below 1.

    The losses of freeze and reverse are those of Mänttäri et al. 2020,
    https://arxiv.org/abs/2002.00367; "keep" and the exact search are not from a paper.
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
        heatmap=temporal.frame_heatmap(mask, clip),
        score=float(scorer.scores(clip[None])[0]),
        objective=scorer.objective,
        method="window",
        settings=settings,
        perturbed=clip[best.order],
        frame_mask=mask,
    )
