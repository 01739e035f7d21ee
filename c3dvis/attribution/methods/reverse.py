"""Which frames decide, by playing them backwards: a mask of frames optimised by `fit`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.attribution.temporal import search


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    settings: str = "default",
    steps: int | None = None,
) -> Attribution:
    """A mask of the frames whose reversal brings the probability of a class down.

    Minimises `0.01 * sum(m) + 0.02 * TV(m) + p`, where p is the probability of the class for the
    clip reversed by the mask (see `temporal.reverse_matrices`) and TV the sum of the cubed
    differences between neighbours.

    Args:
        scorer: The network and the objective, one logit.
        clip: float32 `(T, H, W, C)` in [0, 1].
        settings: "default" begins with the exact best window and answers with the best mask of
            zeros and ones on the way. "published TensorFlow" and "published PyTorch" begin with
            the smallest centred window that does 90 % of what the whole frozen clip does, and
            answer with the best mask as it is; their learning rates are those of the two halves
            of the authors' code (0.001, which hardly leaves that window in 300 steps, and 0.2).
            Mind that a frame half on is a double exposure, which can bring the probability down
            for reasons that have nothing to do with time: snapped, such a mask may do little.
        steps: Most steps of Adam; None is what the settings say.

    Returns:
        The best mask seen, so never one with a higher loss than the first, as `frame_mask`; the
        heatmap is this mask, the same for all pixels of a frame; `perturbed` is the clip reversed
        by it. `settings` holds the losses of the first mask and of this one.

    Raises:
        ValueError: Unknown settings, no steps, or an objective that is not one logit.

    Mänttäri et al. 2020, "Interpreting Video Features: a Comparison of 3D Convolutional Networks
    and Convolutional LSTM Networks", https://arxiv.org/abs/2002.00367. They optimise masks for
    freezing alone and then reverse the clip by them; here the mask is optimised for reversal.
    """
    return search.explain(scorer, clip, by="reverse", settings=settings, steps=steps)
