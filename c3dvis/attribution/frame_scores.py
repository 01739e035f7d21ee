"""Scores of a class in each frame of a network's output."""

from __future__ import annotations

import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import layers
from c3dvis.objectives import LOGITS, Logit

# Frames and classes; frames, rows, columns and classes.
_RANKS_WITH_TIME = (3, 5)


def frame_scores(scorer: Scorer, clip: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Scores of the objective's class in each frame of the output.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].

    Returns:
        float32 `(frames of the output,)`: probabilities if the network ends in a softmax or
        sigmoid, else scores; means over the places of the output. None if the output has no frames,
        `(N, classes)`, or if the objective is not a logit.
    """
    (_, term), *others = scorer.objective.terms
    if others or not isinstance(term, Logit):
        return None
    if len(scorer.shared.shapes[term.layer]) + 1 not in _RANKS_WITH_TIME:
        return None
    shared, layer = scorer.shared, term.layer  # compiled functions don't hold the network
    ending = layers.output_activation(scorer.network, term.layer.removeprefix(LOGITS))

    def of_all_classes(clips, unit_indices):
        logits = ops.cast(shared.activations(clips)[layer], "float32")
        if ending == "softmax":
            return ops.softmax(logits, axis=-1)
        return ops.sigmoid(logits) if ending == "sigmoid" else logits

    variables = shared.tap.variables
    run = scorer.cached(
        "frame scores", lambda: autodiff.compiled(of_all_classes, variables=variables)
    )
    scores = scorer.in_batches(run, clip[None])[0][0]
    return scores[..., scorer.unit_indices[0, 0]].reshape(len(scores), -1).mean(axis=-1)
