"""Renders units: maximizes their clips and writes the clips and records."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from c3dvis import autodiff, clips, files, identity, objectives, rewire, stored
from c3dvis.gallery import provenance
from c3dvis.gallery.forming import Forming
from c3dvis.gallery.groups import Group, Task
from c3dvis.gallery.measure import Measures, measure
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.record import Record
from c3dvis.gallery.settings import Settings
from c3dvis.maximize import (
    MaximizedClip,
    Maximizer,
    parametrizations,
)
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.objectives.terms import names_of_classes
from c3dvis.text import in_one_line

# Channels of an RGB picture.
_COLORS = 3
# Maximum length of a record's `error` and of its `cause`, in characters.
_LONGEST_REASON = 500
_LONGEST_CAUSE = 8000


class Renderer:
    """Makes the files of units; keeps the network and the compiled step of one layer at a time.

    Args:
        settings: Settings of the gallery.
        out: Folder of the gallery.
        network: The network of the settings, if it is already loaded.
    """

    def __init__(self, settings: Settings, out: Path, *, network: keras.Model | None = None):
        self.settings = settings
        self.out = Path(out)
        self.network = choices.load(settings) if network is None else network
        hashes = {
            "weights_sha256": identity.weights_sha256(self.network),
            "architecture_sha256": identity.architecture_sha256(self.network),
        }
        self.provenance = {**settings.of_network(), **hashes}
        # What determines the clips, as JSON holds it.
        self.identity = json.loads(json.dumps({**settings.identity(), **hashes}))
        self.environment: dict[str, Any] = {
            "versions": provenance.versions(),
            "machine": provenance.machine(),
        }
        # Draws unfinished clips; None draws only finished ones.
        self.forming: Forming | None = None
        self._compiled: tuple[str, int] | None = None
        self._maximizer: Maximizer | None = None
        self._logits: keras.Model | None = None

    def check(self, section: Section) -> None:
        """Raises a ValueError if the layer, size or a setting does not fit the network."""
        self.maximizer(Group(section.units, len(section.units)))

    def maximizer(self, group: Group) -> Maximizer:
        """The Maximizer of a group's layer; that of another layer is released.

        Raises:
            ValueError: If the layer, the size or a setting does not fit the network.
        """
        layer = group.layer
        if self._compiled != (layer, group.size) or self._maximizer is None:
            self._maximizer = None
            channels = repeat_to([unit.channel for unit in group.units], group.size)
            self._maximizer = Maximizer(
                self.network,
                objective_of(self.network, layer, channels),
                batch_size=self.settings.batch_size,
                **self.options(),
            )
            self._compiled = (layer, group.size)
        return self._maximizer

    def options(self) -> dict[str, Any]:
        """The settings that are options of `Maximizer`."""
        return {
            "dtype": self.settings.dtype,
            "size": self.settings.size,
            "frames": self.settings.frames,
            "parametrization": self.settings.parametrization,
            "colours": self.settings.colours,
            "preprocess": choices.preprocess(self.settings.value_range),
        }

    def render(self, task: Task, best: Mapping[int, float | None]) -> Iterator[Record]:
        """Makes the files of a group's missing units and yields their records, in order.

        If an error is raised, it is recorded for each unit that is not finished.

        Args:
            task: The group and its missing units.
            best: By channel, the best score of the held-out clips; empty if none were scored.

        Raises:
            OSError: If a file cannot be written.
        """
        remaining = list(task.missing)
        try:
            maximizer = self.maximizer(task.group)
            first = 0
            while remaining:
                units = task.group.units[first : first + maximizer.batch_size]
                first += len(units)
                if not set(units).isdisjoint(remaining):
                    for unit, maximized, batch in self._maximize(maximizer, units):
                        if unit in remaining:
                            yield self._write(unit, maximized, batch, best.get(unit.channel))
                            remaining.remove(unit)
        except OSError:
            raise
        except Exception as error:  # recorded, so that the other layers are still made
            reason = f"{type(error).__name__}: {in_one_line(error)}"
            reason = textwrap.shorten(reason, _LONGEST_REASON, placeholder=" ...")
            for unit in remaining:
                yield self.write_error(unit, reason, cause=_cause(error))

    def _maximize(
        self, maximizer: Maximizer, units: Sequence[Unit]
    ) -> Iterator[tuple[Unit, MaximizedClip, tuple[int, ...]]]:
        """Each unit with its clip and the channels of its batch."""
        channels = [unit.channel for unit in units]
        results = maximizer.make(
            objective_of(self.network, units[0].layer, channels),
            steps=self.settings.steps,
            seed=self.settings.seed,
            callbacks=[] if self.forming is None else [_Draw(self.forming, units, self.shown)],
        )
        batch: list[int] = []
        end = 0
        for i, (unit, clip) in enumerate(zip(units, results, strict=True)):
            if i == end:  # out of memory halves the batch size
                size = maximizer.batch_size
                batch, end = repeat_to(channels[i : i + size], size), i + size
            yield unit, clip, tuple(batch)

    def _write(
        self, unit: Unit, maximized: MaximizedClip, batch: tuple[int, ...], best: float | None
    ) -> Record:
        sizes, hashes = {}, {}
        # A clip without a gradient is still the initial noise, which says nothing of the unit.
        for ending in () if maximized.status == "no gradient" else ("gif", "jpg"):
            path = self.out / unit.path(ending)
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = self.shown(maximized.clip, opaque=ending == "jpg")
            clips.write(path, shown, fps=self.settings.fps)
            content = path.read_bytes()
            sizes[path.name] = len(content)
            hashes[path.name] = hashlib.sha256(content).hexdigest()
        is_class = unit.layer == CLASSES and maximized.status == "ok"
        measured = measure(self.shown(maximized.clip)) if sizes else Measures()
        return self._record(
            unit,
            status=maximized.status,
            score=stored.finite(maximized.score),
            best_held_out=best,
            predicted_class=self._predicted_class(maximized) if is_class else None,
            failed_step=maximized.failed_step,
            shape=maximized.clip.shape,
            files=sizes,
            sha256=hashes,
            batch=batch,
            **asdict(measured),
        )

    def _predicted_class(self, maximized: MaximizedClip) -> str | None:
        """The class with the highest logit; it need not be the unit's own."""
        if self._logits is None:
            self._logits = rewire.Shadow(layers.tap(self.network, [objectives.LOGITS]))
        maximizer = self._maximizer  # the one that made it
        assert maximizer is not None
        inputs = maximizer.plain(maximized.clip[None])
        if maximizer.preprocess is not None:
            inputs = maximizer.preprocess(inputs)
        (logits,) = autodiff.predict(self._logits, inputs, verbose=0)
        best = int(np.argmax(logits.reshape(-1, logits.shape[-1]).mean(axis=0)))
        names = names_of_classes(self.network)
        return names[best] if names else str(best)

    def shown(self, clip: np.ndarray, *, opaque: bool = True) -> np.ndarray:
        """A clip `(T, H, W, C)` as RGB, or as RGBA if it is transparent and `opaque` is False.

        More than three channels are shown as their mean, in grey.
        """
        channels = self.network.inputs[0].shape[-1]
        if channels > _COLORS:
            return clip[..., :channels].mean(axis=-1, keepdims=True)
        if clip.shape[-1] == channels:
            return clip
        clip = parametrizations.rgba(clip)
        return clips.to_rgb(clip) if opaque else clip

    def write_error(self, unit: Unit, reason: str, *, cause: str) -> Record:
        """Writes and returns the record of a unit of which no clip is made.

        Args:
            unit: The unit.
            reason: Why, in one line.
            cause: The full error messages.
        """
        return self._record(unit, status="error", error=reason, cause=cause)

    def _record(self, unit: Unit, **values: Any) -> Record:
        """Writes the unit's record, as the last of its files, and returns it."""
        record = Record(
            layer=unit.layer,
            channel=unit.channel,
            label=unit.label,
            seed=self.settings.seed,
            settings=self.settings.identity(),
            network=self.provenance,
            **self.environment,
            **values,
        )
        files.write_json(self.out / unit.path("json"), record.to_json())
        return record


class _Draw(keras.callbacks.Callback):
    """Draws unfinished clips during `fit`.

    Args:
        forming: Writes their film strips.
        units: The units, in the order in which `fit` makes them.
        to_rgb: Function of a clip that returns it as RGB.
    """

    def __init__(
        self,
        forming: Forming,
        units: Sequence[Unit],
        to_rgb: Callable[[np.ndarray], np.ndarray],
    ):
        super().__init__()
        self.forming, self.units, self.to_rgb = forming, list(units), to_rgb

    def on_train_batch_end(self, batch, logs=None):
        if not self.forming.is_due():
            return
        step = int(ops.convert_to_numpy(self.model.tracking.steps).max())
        current = ops.convert_to_numpy(self.model.parametrization.decode())[: self.model.count]
        shown = {
            unit: self.to_rgb(clip)
            for unit, clip in zip(self.units, current, strict=False)
            if np.isfinite(clip).all()
        }
        self.forming.draw(shown, step)

    def on_train_end(self, logs=None):
        # After running out of memory, the other units are made in the next `fit`.
        del self.units[: self.model.count]


def repeat_to(channels: Sequence[int], size: int) -> list[int]:
    """Channels repeated up to a batch size, as `Maximizer.restart` does.

    >>> repeat_to([3, 4], 5)
    [3, 4, 3, 4, 3]
    """
    return [channels[i % len(channels)] for i in range(size)]


def _cause(error: BaseException) -> str:
    """The messages of an error and its causes, first cause first; a long text loses its middle."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    text = "\n\n".join(f"{type(one).__name__}: {one}" for one in reversed(chain))
    if len(text) <= _LONGEST_CAUSE:
        return text
    return f"{text[: _LONGEST_CAUSE // 2]}\n...\n{text[-_LONGEST_CAUSE // 2 :]}"


def objective_of(network: keras.Model, layer: str, channels: Sequence[int]) -> objectives.Objective:
    """The objective of a layer's channels, or of classes."""
    if layer != CLASSES:
        return objectives.channel(layer, channels)
    if not has_exclusive_classes(network):
        return objectives.logit(channels)
    # Log odds keep the logits of other classes from rising as well.
    return objectives.logit(channels) + objectives.log_odds(channels)


def has_exclusive_classes(network: keras.Model) -> bool:
    """Whether the network's classes exclude each other, as those of a softmax."""
    return layers.output_activation(network) != "sigmoid" and choices.class_count(network) > 1
