"""The search for a mask of the frames to freeze or reverse, as `fit` of a Keras model.

The methods freeze and reverse differ in their perturbation only. `method` makes either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff
from c3dvis.attribution import temporal
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.attribution.temporal.windows import best_window
from c3dvis.input_optimizer import InputOptimizer
from c3dvis.text import unknown

# Share of the fully frozen clip's drop that the first window must reach (Mänttäri et al. 2020).
_SHARE_OF_DROP = 0.9


@dataclass(frozen=True)
class Settings:
    """How a mask is searched.

    Attributes:
        learning_rate: Of Adam.
        steps: Maximum number of steps.
        start: "window", the exact best one (see `window`), or "centred", as in the paper.
        logit: Initial logit of the mask inside its window; outside it is the negative.
        binary: Whether the result is the best of all masks of the search after each is binarized,
            rather than the best as it is.
        min_delta: The search ends when a step changes the loss by less; 0 never ends it.
    """

    learning_rate: float
    steps: int
    start: str
    logit: float
    binary: bool
    min_delta: float = 0.0


SETTINGS = MappingProxyType(
    {
        "default": Settings(0.2, 60, "window", logit=4.0, binary=True, min_delta=1e-5),
        "published TensorFlow": Settings(0.001, 300, "centred", logit=5.0, binary=False),
        "published PyTorch": Settings(0.2, 300, "centred", logit=5.0, binary=False, min_delta=1e-5),
    }
)
"""By name. The published ones are those of the two halves of the authors' code. The second should
stop when the loss no longer changes, but compares it with a constant."""


@dataclass(frozen=True)
class MaskResult:
    """The best mask of a search.

    Attributes:
        mask: float32 `(T,)` in [0, 1].
        loss: Its loss.
        first_loss: The loss of the initial mask.
        steps: Steps run.
        history: float32 `(steps + 1, T)`, the initial mask and that of each step.
    """

    mask: NDArray[np.float32]
    loss: float
    first_loss: float
    steps: int
    history: NDArray[np.float32]


class TemporalSearch(InputOptimizer):
    """A mask of the frames of one clip, whose logits are the only trainable weights.

    Args:
        scorer: A scorer; the search serves every class of its network.
        shape: `(T, H, W, C)` of the clips.
        by: "freeze" or "reverse".
    """

    def __init__(self, scorer: Scorer, shape: tuple[int, ...], by: str):
        super().__init__(name="temporal_search", dtype="float32")
        # Attributes, so that Keras tracks their variables.
        self.shared, self.tap = scorer.shared, scorer.shared.tap
        self.reference_scores = scorer.shared.reference_scores
        self.matrices = temporal.matrices(by)
        self.logits = self.add_weight(shape=(1, shape[0]), name="logits")
        self.clip = self.add_weight(shape=shape, trainable=False, name="clip")
        self.best = self.add_weight(shape=(1, shape[0]), trainable=False, name="best")
        self.current = self.add_weight(shape=(1, shape[0]), trainable=False, name="current")
        self.best_loss = self.add_weight(shape=(1,), trainable=False, name="best_loss")
        self.last_loss = self.add_weight(shape=(1,), trainable=False, name="last_loss")
        self.compile(optimizer=keras.optimizers.Adam())

    @property
    def latents(self) -> list[keras.Variable]:
        """The logits of the mask."""
        return [self.logits]

    def call(self, unit_indices, training=None):
        """The mask's loss `(1,)`: its penalty, and the probability of the class under it."""
        masks = ops.sigmoid(self.logits)
        self.current.assign(masks)
        clips = temporal.mix_frames(self.clip, self.matrices(masks))
        losses = temporal.penalty(masks) + ops.exp(
            self.shared.log_probabilities(clips, unit_indices)[0]
        )
        # Read as tensors first, as JAX's `where` takes no variables of Keras.
        best, best_loss = map(ops.convert_to_tensor, (self.best, self.best_loss))
        better = losses < best_loss
        self.best.assign(ops.where(better[:, None], masks, best))
        self.best_loss.assign(ops.where(better, losses, best_loss))
        self.last_loss.assign(losses)
        return losses

    def search(
        self,
        clip: NDArray[np.float32],
        unit_indices: NDArray[np.int32],
        window: NDArray[np.bool_],
        settings: Settings,
    ) -> MaskResult:
        """Optimises the mask of a clip, starting at a window `(T,)`."""
        self.restart_optimizer()
        self.optimizer.learning_rate = settings.learning_rate
        self.clip.assign(clip)
        self.logits.assign(np.where(window, settings.logit, -settings.logit)[None])
        self.best_loss.assign([np.finfo(np.float32).max])  # finite, for the check of numerics
        history = _History(settings.min_delta)
        # One step more, for the loss of the mask of the last one.
        rows = np.repeat(unit_indices, settings.steps + 1, axis=0)
        autodiff.fit(self, rows, batch_size=1, callbacks=[history], verbose=0)
        losses, masks = history.losses, np.stack(history.masks)
        mask = ops.convert_to_numpy(self.best)[0]
        return MaskResult(mask, min(losses), losses[0], len(losses) - 1, masks)


class _History(keras.callbacks.Callback):
    """Records the mask and loss of every step; ends the search when the loss no longer changes."""

    def __init__(self, min_delta: float):
        super().__init__()
        self.min_delta = min_delta
        self.losses: list[float] = []
        self.masks: list[np.ndarray] = []

    def on_train_batch_end(self, batch, logs=None):
        autodiff.synchronize(self.model)
        self.losses.append(float(ops.convert_to_numpy(self.model.last_loss)[0]))
        self.masks.append(np.array(ops.convert_to_numpy(self.model.current)[0]))
        if not np.isfinite(self.losses[-1]):
            raise ValueError(
                "Expected finite scores of perturbed clips. "
                f"Received: {self.losses[-1]} at step {batch}."
            )
        change = abs(self.losses[-1] - self.losses[-2]) if batch else np.inf
        if change < self.min_delta:
            self.model.stop_training = True


def method(by: str) -> Callable[..., Attribution]:
    """The method that perturbs frames in this way.

    Args:
        by: "freeze" or "reverse", which is also the method's name.

    Returns:
        A function of a `Scorer` and a clip, whose docstring describes its options.
    """

    def attribute(
        scorer: Scorer,
        clip: NDArray[np.float32],
        *,
        settings: str = "default",
        steps: int | None = None,
    ) -> Attribution:
        """A mask of the frames whose perturbation lowers the probability of a class.

        Minimises `0.01 * sum(m) + 0.02 * TV(m) + p`, where p is the probability of the class for
        the clip frozen or reversed under the mask (`temporal.freeze_matrices`,
        `temporal.reverse_matrices`) and TV the sum of the cubed differences between neighbours.

        Args:
            scorer: The network and the class. For any other objective, p means how near its score
                is to the clip's and how far from the frozen clip's, see `Scorer.calibrate`.
            clip: float32 `(T, H, W, C)` in [0, 1].
            settings: "default" starts at the exact best window, and its result is the best binary
                mask of the search. "published TensorFlow" and "published PyTorch" start at the
                smallest centred window with 90 % of the effect of the whole frozen clip, and their
                result is the best mask as it is; their learning rates are those of the two halves
                of the authors' code (0.001, which hardly leaves that window in 300 steps, and 0.2).
                A frame half on is a double exposure, which can lower the probability for reasons
                that have nothing to do with time: such a mask may have little effect when it is
                binarized.
            steps: Maximum number of Adam steps; None takes it from the settings.

        Returns:
            `frame_mask` is the best mask of the search, whose loss is never above that of the
            initial one; the heatmap is this mask, the same for all pixels of a frame; `perturbed`
            is the clip frozen or reversed by it. `settings` hold the losses of the initial mask and
            of this one.

        Raises:
            ValueError: Unknown settings, no steps, or a score that freezing the clip does not
                change.
        """
        chosen = _settings(settings, steps)
        result = find_mask(scorer, clip, by, chosen)
        return Attribution(
            clip=clip,
            heatmap=temporal.frame_heatmap(result.mask, clip),
            score=float(scorer.scores(clip[None])[0]),
            objective=scorer.objective,
            method=by,
            settings={
                "settings": settings,
                **asdict(chosen),
                "steps": result.steps,
                "first_loss": result.first_loss,
                "loss": result.loss,
            },
            perturbed=temporal.perturb(clip, result.mask[None], by)[0],
            frame_mask=result.mask,
        )

    return attribute


def find_mask(scorer: Scorer, clip: NDArray[np.float32], by: str, settings: Settings) -> MaskResult:
    """The best mask of a clip by one of the perturbations."""
    scorer.calibrate(np.repeat(clip[:1], len(clip), axis=0), clip)
    if settings.start == "centred":
        window = centred_window(scorer, clip, by)
    else:
        window = best_window(scorer, clip, by).mask
    search = scorer.cached(
        ("temporal search", by, clip.shape), lambda: TemporalSearch(scorer, clip.shape, by)
    )
    result = search.search(clip, scorer.unit_indices, window, settings)
    return _best_binary(scorer, clip, by, result) if settings.binary else result


def _best_binary(
    scorer: Scorer, clip: NDArray[np.float32], by: str, result: MaskResult
) -> MaskResult:
    """The best of all masks of the search after they are binarized."""
    binary = temporal.binarize(result.history).astype(np.float32)
    masks, index = np.unique(binary, axis=0, return_inverse=True)
    penalties = ops.convert_to_numpy(temporal.penalty(ops.convert_to_tensor(masks)))
    losses = temporal.probabilities(scorer, clip, masks, by) + penalties
    best = int(losses.argmin())
    first = float(losses[index.reshape(-1)[0]])
    return replace(result, mask=masks[best], loss=float(losses[best]), first_loss=first)


def centred_window(scorer: Scorer, clip: NDArray[np.float32], by: str) -> NDArray[np.bool_]:
    """The initial window of the paper's search, bool `(T,)`.

    The smallest window in the middle of the clip whose drop of probability is at least 90 % of that
    of the fully frozen clip; all frames if none is. (The published code takes the first window
    below 90 %.)
    """
    frames = len(clip)
    margins = np.arange((frames + 1) // 2)[:, None]
    times = np.arange(frames)
    masks = (margins <= times) & (times < frames - margins)
    ends = np.stack([np.zeros(frames), np.ones(frames)])
    original, full = temporal.probabilities(scorer, clip, ends, "freeze")
    left = temporal.probabilities(scorer, clip, masks, by)
    sufficient = original - left >= _SHARE_OF_DROP * (original - full)
    return masks[np.flatnonzero(sufficient).max(initial=0)]


def _settings(name: str, steps: int | None) -> Settings:
    if name not in SETTINGS:
        raise unknown("settings", name, SETTINGS)
    if steps is None:
        return SETTINGS[name]
    if steps < 1:
        raise ValueError(f"Expected 1 step or more. Received: {steps}.")
    return replace(SETTINGS[name], steps=steps)
