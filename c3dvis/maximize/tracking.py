"""What is tracked for each clip during optimization."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

# Share of the gradient that passes an inactive ReLU while a unit has no gradient.
_LEAK = 0.1
# Finite, so that TensorFlow's check of numerics finds nothing.
_LOWEST, _HIGHEST = (float(limit) for limit in (np.finfo("f4").min, np.finfo("f4").max))


class Tracking(keras.layers.Layer):
    """Scores and the last finite latents of each clip of a batch.

    Args:
        latents: Latents of the parametrization.
        clips: Number of clips in the batch.
        terms: Number of terms of the objective.

    Attributes:
        steps: Steps so far, `(N,)`.
        finite_steps: Steps whose score was finite, `(N,)`.
        latest: Score at the last step, `(N,)`.
        best: Highest finite score, `(N,)`; float32's lowest number before the first.
        lowest: Lowest score of each term, `(N, terms)`; a constant term would be hidden in the sum.
        highest: Highest score of each term, `(N, terms)`.
        last_finite: The latents at the last step with a finite score.
    """

    def __init__(self, latents: Sequence[keras.Variable], *, clips: int, terms: int):
        super().__init__(dtype="float32", trainable=False, name="tracking")
        self.steps, self.finite_steps, self.latest, self.best = (
            self.add_weight(shape=(clips,), initializer="zeros", name=name)
            for name in ("steps", "finite_steps", "latest", "best")
        )
        self.lowest, self.highest = (
            self.add_weight(shape=(clips, terms), initializer="zeros", name=name)
            for name in ("lowest", "highest")
        )
        self.last_finite = [
            self.add_weight(shape=latent.shape, initializer="zeros", name="last_finite")
            for latent in latents
        ]
        # Keras would build it at its first call, but it is never called.
        self.built = True

    def restart(self, latents: Sequence[keras.Variable]) -> None:
        """Begins with new clips."""
        for kept, latent in zip(self.last_finite, latents, strict=True):
            kept.assign(latent)
        for variable, value in (
            (self.steps, 0),
            (self.finite_steps, 0),
            (self.best, _LOWEST),
            (self.lowest, _HIGHEST),
            (self.highest, _LOWEST),
        ):
            variable.assign(np.full(variable.shape, value))

    def update(self, latents: Sequence[keras.Variable], term_scores: Sequence) -> None:
        """Records one step: the latents, and the terms' scores `(N,)` of their clips."""
        # As tensors, since JAX's `where` and `cond` take no Keras variables.
        best = ops.convert_to_tensor(self.best)
        scores, each = sum(term_scores), ops.stack(term_scores, axis=-1)
        finite = ops.isfinite(scores)
        for kept, latent in zip(self.last_finite, latents, strict=True):
            before, latent = ops.convert_to_tensor(kept), ops.convert_to_tensor(latent)
            lost = _rows(ops.logical_not(finite), latent)
            # A row-wise `where` is several times slower than a plain copy.
            kept.assign(
                ops.cond(
                    ops.any(lost),
                    lambda before=before, latent=latent, lost=lost: ops.where(lost, before, latent),
                    lambda latent=latent: latent,
                )
            )
        self.latest.assign(scores)
        self.best.assign(ops.where(finite, ops.maximum(best, scores), best))
        self.steps.assign_add(ops.ones_like(scores))
        self.finite_steps.assign_add(ops.cast(finite, "float32"))
        self.lowest.assign(ops.minimum(self.lowest, each))
        self.highest.assign(ops.maximum(self.highest, each))

    def leak(self, needs_activation):
        """Share of the gradient that passes inactive ReLUs, `(N,)`, while a unit has no gradient.

        A term whose score is the same at two steps, under two draws of the transforms, has none.

        Args:
            needs_activation: Which terms must become active, bool `(N, terms)`.
        """
        inactive = ops.logical_and(self.highest <= self.lowest, needs_activation)
        stuck = ops.logical_and(self.finite_steps > 1, ops.any(inactive, axis=-1))
        return ops.where(stuck, _LEAK, 0.0)

    def failed(self, clips: np.ndarray) -> np.ndarray:
        """Which clips have become NaN or infinite, or had such a score: bool `(N,)`."""
        steps, finite = map(ops.convert_to_numpy, (self.steps, self.finite_steps))
        # The last step can break a clip that is not scored again.
        return (finite < steps) | ~np.isfinite(clips).all(axis=(1, 2, 3, 4))

    def changed(self, term_scores: np.ndarray) -> np.ndarray:
        """Whether any term's score has changed since the start, bool `(N,)`.

        Args:
            term_scores: `(N, terms)`, of the clips at the end.
        """
        lowest, highest = map(ops.convert_to_numpy, (self.lowest, self.highest))
        return ((highest > lowest) | (term_scores != lowest)).any(axis=-1)

    def restore(self, latents: Sequence[keras.Variable], failed: np.ndarray) -> None:
        """Sets the latents of clips that failed to the last ones with a finite score."""
        for kept, latent in zip(self.last_finite, latents, strict=True):
            latent.assign(ops.where(_rows(failed, latent), kept, latent))


def _rows(flags, latent):
    """Flags `(N,)` of clips, shaped for a latent's rows; one row that clips share takes any."""
    if latent.shape[0] != flags.shape[0]:
        flags = ops.any(flags, keepdims=True)
    return ops.reshape(flags, (-1, *[1] * (len(latent.shape) - 1)))
