"""The search for a mask of the frames that decide, as `fit` of a Keras model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff
from c3dvis.attribution import temporal
from c3dvis.attribution.methods.window import best_window
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.text import unknown

# Share of the fully frozen clip's drop that the first window must reach (Mänttäri et al. 2020).
_SHARE_OF_DROP = 0.9


@dataclass(frozen=True)
class Settings:
    """How a mask is searched.

    Attributes:
        learning_rate: Of Adam.
        steps: Most steps of it.
        start: "window", the exact best one (see `window`), or "centred", the paper's.
        logit: What the mask begins with in its window before the sigmoid, and with a minus outside.
        snap: Whether the answer is the best of the masks seen once each is snapped to zeros and
            ones, rather than the best as it is.
        least_change: The search ends when a step changes the loss by less; 0 never ends it.
    """

    learning_rate: float
    steps: int
    start: str
    logit: float
    snap: bool
    least_change: float = 0.0


SETTINGS = MappingProxyType(
    {
        "default": Settings(0.2, 60, "window", logit=4.0, snap=True, least_change=1e-5),
        "published TensorFlow": Settings(0.001, 300, "centred", logit=5.0, snap=False),
        "published PyTorch": Settings(
            0.2, 300, "centred", logit=5.0, snap=False, least_change=1e-5
        ),
    }
)
"""By name. The published ones are those of the two halves of the authors' code, of which the second
means to stop where the loss stands still, but compares it with a number that never changes."""


@dataclass(frozen=True)
class Found:
    """The best mask of a search.

    Attributes:
        mask: float32 `(T,)` in [0, 1].
        loss: Its loss.
        first_loss: The loss of the mask that the search began with.
        steps: Steps taken.
        seen: float32 `(steps + 1, T)`, every mask on the way, the first one included.
    """

    mask: NDArray[np.float32]
    loss: float
    first_loss: float
    steps: int
    seen: NDArray[np.float32]


class TemporalSearch(keras.Model):
    """A mask of the frames of one clip, whose logits are the only trainable weights.

    Args:
        scorer: A scorer about one class; the search serves every class of its network.
        shape: `(T, H, W, C)` of the clips.
        by: "freeze" or "reverse".
    """

    def __init__(self, scorer: Scorer, shape: tuple[int, ...], by: str):
        super().__init__(name="temporal_search", dtype="float32")
        self.shared, self.tap = scorer.shared, scorer.shared.tap
        self.matrices = temporal.matrices(by)
        self.logits = self.add_weight(shape=(1, shape[0]), name="logits")
        self.clip = self.add_weight(shape=shape, trainable=False, name="clip")
        self.best = self.add_weight(shape=(1, shape[0]), trainable=False, name="best")
        self.seen = self.add_weight(shape=(1, shape[0]), trainable=False, name="seen")
        self.best_loss = self.add_weight(shape=(1,), trainable=False, name="best_loss")
        self.last_loss = self.add_weight(shape=(1,), trainable=False, name="last_loss")
        self.compile(
            optimizer=keras.optimizers.Adam(),
            jit_compile=bool(keras.distribution.list_devices("gpu")),
        )
        self.optimizer.build([self.logits])
        self._fresh = [ops.convert_to_numpy(v) for v in self.optimizer.variables]
        self.built = True

    # The network's own `trainable` flags stay as their owner set them.
    @property
    def trainable_variables(self):
        return [self.logits]

    @property
    def non_trainable_variables(self):
        return [v for v in self.variables if v is not self.logits]

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    def call(self, columns, training=None):
        """The mask's loss `(1,)`: what it costs, and the probability of the class under it."""
        masks = ops.sigmoid(self.logits)
        self.seen.assign(masks)
        clips = temporal.mix_frames(self.clip, self.matrices(masks))
        losses = temporal.cost(masks) + ops.exp(self.shared.log_probabilities(clips, columns)[0])
        better = losses < self.best_loss
        self.best.assign(ops.where(better[:, None], masks, self.best))
        self.best_loss.assign(ops.where(better, losses, self.best_loss))
        self.last_loss.assign(losses)
        return losses

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.sum(y_pred)

    def search(
        self,
        clip: NDArray[np.float32],
        columns: NDArray[np.int32],
        window: NDArray[np.bool_],
        settings: Settings,
    ) -> Found:
        """Improves a mask of a clip from a window `(T,)` on."""
        for variable, start in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(start)
        self.optimizer.learning_rate = settings.learning_rate
        self.clip.assign(clip)
        self.logits.assign(np.where(window, settings.logit, -settings.logit)[None])
        self.best_loss.assign([np.inf])
        watch = _Watch(settings.least_change)
        # The last step is there to read the loss of the mask that the one before it made.
        rows = np.repeat(columns, settings.steps + 1, axis=0)
        autodiff.fit(self, rows, batch_size=1, callbacks=[watch], verbose=0)
        losses, seen = watch.losses, np.stack(watch.masks)
        mask = ops.convert_to_numpy(self.best)[0]
        return Found(mask, min(losses), losses[0], len(losses) - 1, seen)


class _Watch(keras.callbacks.Callback):
    """Notes the mask and the loss of every step; ends the search when the loss stands still."""

    def __init__(self, least_change: float):
        super().__init__()
        self.least_change = least_change
        self.losses: list[float] = []
        self.masks: list[np.ndarray] = []

    def on_train_batch_end(self, batch, logs=None):
        autodiff.synchronize(self.model)
        self.losses.append(float(ops.convert_to_numpy(self.model.last_loss)[0]))
        self.masks.append(np.array(ops.convert_to_numpy(self.model.seen)[0]))
        if not np.isfinite(self.losses[-1]):
            raise ValueError(
                "Expected a network that gives finite scores to perturbed clips. "
                f"Received: {self.losses[-1]} at step {batch}."
            )
        changed = abs(self.losses[-1] - self.losses[-2]) if batch else np.inf
        if changed < self.least_change:
            self.model.stop_training = True


def explain(
    scorer: Scorer, clip: NDArray[np.float32], *, by: str, settings: str, steps: int | None
) -> Attribution:
    """What `freeze` and `reverse` do alike; see there."""
    chosen = _settings(settings, steps)
    found = find(scorer, clip, by, chosen)
    noted = {
        "settings": settings,
        **asdict(chosen),
        "steps": found.steps,
        "first_loss": found.first_loss,
        "loss": found.loss,
    }
    return Attribution(
        clip=clip,
        heatmap=temporal.spread(found.mask, clip),
        score=float(scorer.scores(clip[None])[0]),
        objective=scorer.objective,
        method=by,
        settings=noted,
        perturbed=temporal.perturb(clip, found.mask[None], by)[0],
        frame_mask=found.mask,
    )


def find(scorer: Scorer, clip: NDArray[np.float32], by: str, settings: Settings) -> Found:
    """The best mask of a clip by one of the perturbations."""
    if settings.start == "centred":
        window = centred_window(scorer, clip, by)
    else:
        window = best_window(scorer, clip, by).mask
    search = scorer.compiled(
        ("temporal search", by, clip.shape), lambda: TemporalSearch(scorer, clip.shape, by)
    )
    found = search.search(clip, scorer.columns, window, settings)
    return _snapped(scorer, clip, by, found) if settings.snap else found


def _snapped(scorer: Scorer, clip: NDArray[np.float32], by: str, found: Found) -> Found:
    """The best of the masks on the way, as zeros and ones."""
    masks = temporal.snapped(found.seen).astype(np.float32)
    few, which = np.unique(masks, axis=0, return_inverse=True)
    costs = ops.convert_to_numpy(temporal.cost(ops.convert_to_tensor(few)))
    losses = temporal.probabilities(scorer, clip, few, by) + costs
    best = int(losses.argmin())
    first = float(losses[which.reshape(-1)[0]])
    return replace(found, mask=few[best], loss=float(losses[best]), first_loss=first)


def centred_window(scorer: Scorer, clip: NDArray[np.float32], by: str) -> NDArray[np.bool_]:
    """The window that the search of the paper begins with, bool `(T,)`.

    The smallest centred one, as many frames away from both ends, whose drop of probability is at
    least 90 % of the fully frozen clip's; all frames where none is. (The published code takes the
    first that falls short.)
    """
    frames = len(clip)
    margins = np.arange((frames + 1) // 2)[:, None]
    times = np.arange(frames)
    masks = (margins <= times) & (times < frames - margins)
    ends = np.stack([np.zeros(frames), np.ones(frames)])
    original, full = temporal.probabilities(scorer, clip, ends, "freeze")
    left = temporal.probabilities(scorer, clip, masks, by)
    enough = original - left >= _SHARE_OF_DROP * (original - full)
    return masks[np.flatnonzero(enough).max(initial=0)]


def _settings(name: str, steps: int | None) -> Settings:
    if name not in SETTINGS:
        raise unknown("settings", name, SETTINGS)
    if steps is None:
        return SETTINGS[name]
    if steps < 1:
        raise ValueError(f"Expected 1 step or more. Received: {steps}.")
    return replace(SETTINGS[name], steps=steps)
