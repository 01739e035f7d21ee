"""The base class of both callbacks: when they run, what they isolate, how errors are handled."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import keras

from c3dvis.callbacks.event_file import EventFile
from c3dvis.callbacks.history import EpochResult, History, Tracked
from c3dvis.callbacks.isolation import isolated_thread, run_isolated
from c3dvis.callbacks.network_copy import NetworkCopy
from c3dvis.checks import are_numbers, whole
from c3dvis.files import as_path
from c3dvis.identity import described
from c3dvis.objectives import Objective


class EpochCallback(keras.callbacks.Callback):
    """Computes results of a copy of the network after some of the epochs.

    Args:
        objectives: Objectives to maximize or explain.
        units: What is tracked, in the order of the results.
        folder: Output folder.
        kind: Name for the settings and for TensorBoard's run.
        settings: Settings that must be equal for all epochs in the folder.
        about: A sentence or two for the page.
        every: Number of epochs between results; the last epoch of a training always has one.
        fps: Frames per second of the animations.
        log_dir: TensorBoard's folder; None writes nothing there.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        units: Sequence[Tracked],
        folder: str | os.PathLike[str],
        *,
        kind: str,
        settings: Mapping[str, Any],
        about: str,
        every: int,
        fps: float,
        log_dir: str | os.PathLike[str] | None,
    ):
        super().__init__()
        every = whole(every, "every", 1)
        if not are_numbers(fps) or not 0.001 <= fps <= 50:
            raise ValueError(f"Expected fps from 0.001 to 50. Received: fps={fps!r}.")
        self.objectives, self.units = list(objectives), list(units)
        self.folder, self.every = as_path(folder), every
        self._about, self._kind = about, kind
        self._history = History(self.folder, described({"kind": kind, **settings}), fps=fps)
        self._log_dir = None if log_dir is None else as_path(log_dir) / kind
        self._events: EventFile | None = None
        self._copy: NetworkCopy | None = None
        self._thread: Executor | None = None
        # Epochs trained so far, and the last epoch with results.
        self._trained: int | None = None
        self._shown: int | None = None
        # Whether the next results may create layers, besides those of `prepare`.
        self._makes_layers = False

    def prepare(self, network: keras.Model) -> None:
        """Raises errors for what the network can't do, and prepares what serves all epochs."""
        raise NotImplementedError

    def results(self, network: keras.Model, interrupted: threading.Event) -> Iterator[EpochResult]:
        """Yields the current network's result for each unit, in order; errors are results too."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        self._trained = self._shown = None
        if self._thread is not None:  # of a training that was stopped
            self._thread.shutdown()
        self._thread = isolated_thread()
        self._copy = run_isolated(lambda interrupted: self._prepared(), self._thread)
        self._history.begin()
        self._events = None if self._log_dir is None else EventFile(self._log_dir)

    def on_epoch_begin(self, epoch, logs=None):
        if self._trained is None:
            self._trained = epoch
            self._with_warnings(lambda interrupted: self._set_aside_later_epochs(epoch), epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._trained = epoch + 1
        if self._trained % self.every == 0:
            self._show(self._trained)

    def on_train_end(self, logs=None):
        if self._trained and self._shown != self._trained:
            self._show(self._trained)
        self._copy = None
        if self._thread is not None:
            self._thread.shutdown()
        if self._events is not None:
            self._events.close()

    def _prepared(self) -> NetworkCopy:
        copy = NetworkCopy(self.model)
        for objective in self.objectives:
            copy.check(objective)
        self.prepare(copy.network)
        return copy

    def _set_aside_later_epochs(self, epoch: int) -> list[str]:
        """Moves away results of epochs that are trained again; returns a message."""
        aside = self._history.set_aside(epoch)
        if aside is None:
            return []
        if self._events is not None:
            self._events.restart(epoch + 1)
        for unit in self.units:
            self._history.film(unit)
        self._write_pages()
        return [
            f"The training begins after epoch {epoch}, but {str(self.folder)!r} held later epochs "
            f"of an earlier training; they were moved to its subfolder {aside.name!r}."
        ]

    def _show(self, epoch: int) -> None:
        self._shown = epoch
        self._with_warnings(lambda interrupted: self._make(epoch, interrupted), epoch)

    def _with_warnings(self, work: Callable[[threading.Event], list[str]], epoch: int) -> None:
        """Turns all errors into warnings, so that the training continues."""
        assert self._thread is not None
        try:
            messages = run_isolated(work, self._thread, makes_layers=self._makes_layers)
        except Exception as error:
            messages = [f"The {self._kind} of epoch {epoch} was not finished: {first_line(error)}."]
        for message in messages:
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _make(self, epoch: int, interrupted: threading.Event) -> list[str]:
        """Makes the results of an epoch; returns messages about failures."""
        assert self._copy is not None
        self._copy.refresh()
        messages = []
        results = self.results(self._copy.network, interrupted)
        for unit, result in zip(self.units, results, strict=True):
            if result.error_message:
                messages.append(
                    f"{unit.title} was not made at epoch {epoch}: {result.error_message}."
                )
            gif = self._history.put(unit, epoch, result)
            if gif is not None:
                self._history.film(unit)
                if self._events is not None:
                    self._events.add_gif(unit.title, epoch, gif)
        self._write_pages()
        return messages

    def _write_pages(self) -> None:
        self._history.show(self.units, f"{self.model.name} during training", self._about)


def first_line(error: Exception) -> str:
    """The first line of an error."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(". :")
