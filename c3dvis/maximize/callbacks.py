"""Keras callbacks for the fit of a `Maximizer`: snapshots, progress and early stopping.

They are called every `steps_per_execution` steps: set it to 1 for snapshots of every step.
"""

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from c3dvis import clips as clip_files
from c3dvis.checks import are_numbers, whole

__all__ = ["Progress", "Snapshots", "StopWhenStalled"]


class Snapshots(keras.callbacks.Callback):
    """Saves snapshots of the clips during optimization, and writes films of them.

    Frame i of a film is frame i of snapshot i, repeated from the start if there are more snapshots
    than frames. So it is short and shows both the motion and its optimization.

    Args:
        every: Minimum number of steps between snapshots; the first is before any step.
        at: Steps after which snapshots are taken, instead of `every`; if the fit ends earlier, its
            last clips are used.
        folder: Folder for `forming-0.gif`, `forming-1.gif`, ..., one per unit, in order; created if
            missing. None writes nothing.
        fps: Frames per second of the GIFs.

    Attributes:
        steps: Number of steps before each snapshot of the last batch of units.
        clips: Those snapshots, each uint8 `(N, T, H, W, C)`, 255 times the clips.
        units: For each unit so far, its snapshots, uint8 `(snapshots, T, H, W, C)`.
        films: For each unit so far, float32 `(snapshots, H, W, C)` in [0, 1].

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import callbacks, maximize
        >>> network, forming = models.build("c3d-motion"), callbacks.Snapshots(every=2)
        >>> options = {"steps": 4, "steps_per_execution": 2, "callbacks": [forming]}
        >>> clips = maximize(network, objectives.channel("conv1", 0), **options)
        >>> forming.steps, forming.films[0].shape
        ([0, 2, 4], (3, 64, 64, 3))
    """

    def __init__(
        self,
        every: int = 8,
        *,
        at: Sequence[int] | None = None,
        folder: str | os.PathLike[str] | None = None,
        fps: float = 8,
    ):
        super().__init__()
        self.every, self.fps = whole(every, "every", 1), fps
        self.at = () if at is None else _rising(at)
        self.folder = None if folder is None else Path(folder)
        self.steps: list[int] = []
        self.clips: list[np.ndarray] = []
        self.units: list[np.ndarray] = []
        self.films: list[np.ndarray] = []

    def on_train_begin(self, logs=None):
        self.steps, self.clips = [], []
        if not self.at or self.at[0] == 0:
            self._keep(0)
        if self.at:
            _check_steps(self.at, self.model.steps_per_execution, self.params.get("steps"))

    def on_train_batch_end(self, batch, logs=None):
        # Not the batch index, which goes past the end where the last run is shorter.
        step = _steps_run(self.model)
        if step in self.at if self.at else step >= self.steps[-1] + self.every:
            self._keep(step)

    def on_train_end(self, logs=None):
        while len(self.steps) < len(self.at):
            self._keep(_steps_run(self.model))
        numbers = np.arange(len(self.clips))
        for snapshots in np.stack(self.clips, axis=1):
            film = snapshots[numbers, numbers % snapshots.shape[1]].astype(np.float32) / 255
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                name = f"forming-{len(self.films)}.gif"
                clip_files.write(self.folder / name, film, fps=self.fps)
            self.units.append(snapshots)
            self.films.append(film)

    def _keep(self, step: int) -> None:
        clips = ops.convert_to_numpy(self.model.parametrization.decode())[: self.model.count]
        # A failed clip is black.
        self.clips.append(np.round(255 * np.nan_to_num(clips)).astype(np.uint8))
        self.steps.append(step)


def _rising(at: Sequence[int]) -> tuple[int, ...]:
    steps = tuple(at) if isinstance(at, Iterable) else (at,)
    whole = all(isinstance(step, (int, np.integer)) and step >= 0 for step in steps)
    if not steps or not whole or any(a >= b for a, b in itertools.pairwise(steps)):
        raise ValueError(f"Expected rising numbers of steps for snapshots. Received: {at!r}.")
    return tuple(int(step) for step in steps)


def _check_steps(at: Sequence[int], at_once: int, steps: int | None) -> None:
    fitting = math.gcd(*at, at_once)
    if fitting != at_once:
        raise ValueError(
            f"Expected steps_per_execution={fitting} for snapshots at {', '.join(map(str, at))}. "
            f"Received: {at_once}."
        )
    if steps is not None and at[-1] > steps:
        raise ValueError(f"Expected snapshots at up to {steps} steps. Received: {at[-1]}.")


def _steps_run(model) -> int:
    return int(ops.convert_to_numpy(model.tracking.steps).max())


class StopWhenStalled(keras.callbacks.Callback):
    """Ends the fit once no score of the batch increases any more.

    A clip has stalled if in `patience` steps its best score has not increased by the share
    `least_rise` of its total increase before. At the end it is restored to its state at that step,
    so that it does not depend on the other clips of the batch. (Clips that are compared with each
    other, or share weights, are not restored.) A failed clip has stalled, too.

    Args:
        patience: Steps without a rise after which a clip has stalled.
        least_rise: Minimum increase that counts, as a share of the increase since the first steps.

    Attributes:
        stalled_at: Steps after which each clip of the last batch stalled; -1 where it did not.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import callbacks, maximize
        >>> network, stop = models.build("c3d-motion"), callbacks.StopWhenStalled(patience=2)
        >>> clips = maximize(network, objectives.channel("conv1", 0), steps=9, callbacks=[stop])
    """

    def __init__(self, patience: int = 16, *, least_rise: float = 0.01):
        super().__init__()
        if not (are_numbers(least_rise) and least_rise >= 0):
            raise ValueError(f"Expected a smallest rise of 0 or more. Received: {least_rise!r}.")
        self.patience, self.least_rise = whole(patience, "patience", 1), least_rise
        self.stalled_at = np.zeros(0, int)

    def on_train_begin(self, logs=None):
        count = self.model.batch_size
        self.stalled_at = np.full(count, -1)
        self._first, self._best = (np.full(count, -np.inf) for _ in range(2))
        self._risen_at = np.zeros(count, int)
        self._kept = [np.array(ops.convert_to_numpy(v)) for v in self._variables()]

    def on_train_batch_end(self, batch, logs=None):
        step = _steps_run(self.model)
        tracking = self.model.tracking
        best, scored = map(ops.convert_to_numpy, (tracking.best, tracking.finite_steps))
        best = np.where(scored > 0, best, -np.inf)
        self._first = np.where(np.isfinite(self._first), self._first, best)
        known = np.isfinite(self._best)
        so_far = np.subtract(self._best, self._first, out=np.zeros(len(best)), where=known)
        risen = best > self._best + self.least_rise * so_far
        self._best = np.where(risen, best, self._best)
        self._risen_at = np.where(risen, step, self._risen_at)
        waited = step - self._risen_at >= self.patience
        self._keep(waited & (self.stalled_at < 0), step)
        if (self.stalled_at >= 0).all():
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.model.batchwise:
            return
        rows = self.stalled_at >= 0
        for kept, variable in zip(self._kept, self._variables(), strict=True):
            now = np.array(ops.convert_to_numpy(variable))
            now[rows] = kept[rows]
            variable.assign(now)

    def _keep(self, rows: np.ndarray, step: int) -> None:
        self.stalled_at[rows] = step
        if rows.any() and not self.model.batchwise:
            for kept, variable in zip(self._kept, self._variables(), strict=True):
                kept[rows] = ops.convert_to_numpy(variable)[rows]

    def _variables(self) -> list[keras.Variable]:
        """The latents and what is tracked; rows are clips."""
        return [*self.model.latents, *self.model.tracking.variables]


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar, which ends at the last step.

    Keras counts a last run of the compiled graph as long as the others, past the end. `maximize`
    uses it where `verbose` asks for a bar.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import callbacks, maximize
        >>> network, options = models.build("c3d-motion"), {"callbacks": [callbacks.Progress()]}
        >>> clips = maximize(network, objectives.channel("conv1", 0), steps=1, **options)
    """

    def on_train_batch_end(self, batch, logs=None):
        last = batch if self.target is None else min(batch, self.target - 1)
        super().on_train_batch_end(last, logs)
