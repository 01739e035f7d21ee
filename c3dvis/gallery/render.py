"""Turns units into files: the only place where a gallery meets networks, maximization and clips."""

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
from c3dvis.text import in_one_line

# Channels of a picture.
_COLORS = 3
# Letters of why a unit failed, and of its whole cause; what is cut of that is its middle.
_LONGEST_REASON = 500
_LONGEST_CAUSE = 8000


class Renderer:
    """Makes the files of units; holds one network, and the compiled step of one layer at a time.

    Args:
        settings: Of the gallery.
        out: Its folder.
        network: The settings' network where it is loaded already.
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
        # What decides the clips, as JSON keeps it: all runs in one folder agree on it.
        self.identity = json.loads(json.dumps({**settings.identity(), **hashes}))
        self._made_by: dict[str, Any] = {
            "versions": provenance.versions(),
            "machine": provenance.machine(),
        }
        # What draws the clips while they form; None draws only finished ones.
        self.forming: Forming | None = None
        self._compiled: tuple[str, int] | None = None
        self._maximizer: Maximizer | None = None
        self._logits: keras.Model | None = None

    def check(self, section: Section) -> None:
        """Refuses a layer, a size or a setting that does not fit the network."""
        self.maximizer(Group(section.units, len(section.units)))

    def maximizer(self, group: Group) -> Maximizer:
        """The compiled step that makes a group; that of another layer is given up.

        Raises:
            ValueError: If the layer, the size or a setting does not fit the network.
        """
        layer = group.units[0].layer
        if self._compiled != (layer, group.size) or self._maximizer is None:
            self._maximizer = None
            channels = filled([unit.channel for unit in group.units], group.size)
            self._maximizer = Maximizer(
                self.network,
                objective_of(self.network, layer, channels),
                batch_size=self.settings.batch_size,
                **self.options(),
            )
            self._compiled = (layer, group.size)
        return self._maximizer

    def options(self) -> dict[str, Any]:
        """What of the settings a maximizer takes."""
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

        Where making a clip raises an error, the units that are left have records that tell it.

        Args:
            task: The group, and what is missing of it.
            best: Best score of the held-out clips by channel; empty where none were scored.

        Raises:
            OSError: If files cannot be written.
        """
        left = list(task.missing)
        try:
            maximizer = self.maximizer(task.group)
            first = 0
            while left:
                units = task.group.units[first : first + maximizer.batch_size]
                first += len(units)
                if not set(units).isdisjoint(left):
                    for unit, made, batch in self._make(maximizer, units):
                        if unit in left:
                            yield self._write(unit, made, batch, best.get(unit.channel))
                            left.remove(unit)
        except OSError:
            raise
        except Exception as error:  # whatever it is, it is recorded, and the other layers go on
            for unit in left:
                yield self._write_error(unit, error)

    def _make(
        self, maximizer: Maximizer, units: Sequence[Unit]
    ) -> Iterator[tuple[Unit, MaximizedClip, tuple[int, ...]]]:
        """Each unit with its clip and the channels that were made at once with it."""
        channels = [unit.channel for unit in units]
        made = maximizer.make(
            objective_of(self.network, units[0].layer, channels),
            steps=self.settings.steps,
            seed=self.settings.seed,
            callbacks=[] if self.forming is None else [_Draw(self.forming, units, self.shown)],
        )
        batch: list[int] = []
        end = 0
        for i, (unit, clip) in enumerate(zip(units, made, strict=True)):
            if i == end:  # where memory did not hold the whole batch, this one is smaller
                size = maximizer.batch_size
                batch, end = filled(channels[i : i + size], size), i + size
            yield unit, clip, tuple(batch)

    def _write(
        self, unit: Unit, maximized: MaximizedClip, batch: tuple[int, ...], best: float | None
    ) -> Record:
        sizes, hashes = {}, {}
        # A clip that no gradient has moved is noise; showing it would tell something untrue.
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
            predicted_class=self._predicted_class(unit, maximized) if is_class else None,
            failed_step=maximized.failed_step,
            shape=maximized.clip.shape,
            files=sizes,
            sha256=hashes,
            batch=batch,
            **asdict(measured),
        )

    def _predicted_class(self, unit: Unit, maximized: MaximizedClip) -> str | None:
        """The class with the highest score: that of the clip can rise, and others higher."""
        if self._logits is None:
            self._logits = rewire.quicker(layers.tap(self.network, [objectives.LOGITS]))
        maximizer = self._maximizer  # the one that made it
        assert maximizer is not None
        shown = maximizer.plain(maximized.clip[None])
        given = shown if maximizer.preprocess is None else maximizer.preprocess(shown)
        (logits,) = autodiff.predict(self._logits, given, verbose=0)
        best = int(np.argmax(logits.reshape(-1, logits.shape[-1]).mean(axis=0)))
        names = getattr(self.network, "class_names", None)
        return names[best] if names else str(best)

    def shown(self, clip: np.ndarray, *, opaque: bool = True) -> np.ndarray:
        """A clip `(T, H, W, C)` as a film strip shows it; what is transparent may stay so, as RGBA.

        Of more channels than a picture has, their mean is shown in grey.
        """
        channels = self.network.inputs[0].shape[-1]
        if channels > _COLORS:
            return clip[..., :channels].mean(axis=-1, keepdims=True)
        if clip.shape[-1] == channels:
            return clip
        clip = parametrizations.rgba(clip)
        return clips.to_rgb(clip) if opaque else clip

    def _write_error(self, unit: Unit, error: Exception) -> Record:
        reason = f"{type(error).__name__}: {in_one_line(error)}"
        reason = textwrap.shorten(reason, _LONGEST_REASON, placeholder=" ...")
        return self._record(unit, status="error", error=reason, cause=_cause(error))

    def set_aside(self, unit: Unit, reason: str) -> Record:
        """The record of a unit that is not tried any more."""
        return self._record(unit, status="error", error=reason, cause=reason)

    def _record(self, unit: Unit, **values: Any) -> Record:
        """Writes the unit's record, the last of its files."""
        record = Record(
            layer=unit.layer,
            channel=unit.channel,
            label=unit.label,
            seed=self.settings.seed,
            settings=self.settings.identity(),
            network=self.provenance,
            **self._made_by,
            **values,
        )
        files.write_json(self.out / unit.path("json"), record.to_json())
        return record


class _Draw(keras.callbacks.Callback):
    """Draws clips while they form.

    Args:
        forming: Of the run.
        units: In the order in which the fits make them.
        drawn: Function of a clip that returns it as a strip shows it.
    """

    def __init__(
        self,
        forming: Forming,
        units: Sequence[Unit],
        drawn: Callable[[np.ndarray], np.ndarray],
    ):
        super().__init__()
        self.forming, self.units, self.drawn = forming, list(units), drawn

    def on_train_batch_end(self, batch, logs=None):
        if not self.forming.is_due():
            return
        step = int(ops.convert_to_numpy(self.model.tracking.steps).max())
        current = ops.convert_to_numpy(self.model.parametrization.decode())[: self.model.count]
        shown = {
            unit: self.drawn(clip)
            for unit, clip in zip(self.units, current, strict=False)
            if np.isfinite(clip).all()
        }
        self.forming.draw(shown, step)

    def on_train_end(self, logs=None):
        # Where memory did not hold all of them, the others are made in the next fit.
        del self.units[: self.model.count]


def filled(channels: Sequence[int], size: int) -> list[int]:
    """Channels and the first of them again, as often as it takes; so does `Maximizer.restart`.

    >>> filled([3, 4], 5)
    [3, 4, 3, 4, 3]
    """
    return [channels[i % len(channels)] for i in range(size)]


def _cause(error: BaseException) -> str:
    """An error in full, and before it those that led to it."""
    told = []
    seen: BaseException | None = error
    while seen is not None and seen not in told:
        told.append(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    text = "\n\n".join(f"{type(one).__name__}: {one}" for one in reversed(told))
    if len(text) <= _LONGEST_CAUSE:
        return text
    return f"{text[: _LONGEST_CAUSE // 2]}\n...\n{text[-_LONGEST_CAUSE // 2 :]}"


def objective_of(network: keras.Model, layer: str, channels: Sequence[int]) -> objectives.Objective:
    """What the clips of a layer's channels, or of classes, raise."""
    if layer != CLASSES:
        return objectives.channel(layer, channels)
    if not excludes(network):
        return objectives.logit(channels)
    # The logit shows most of a class; log odds see to it that no other class is shown instead.
    return objectives.logit(channels) + objectives.log_odds(channels)


def excludes(network: keras.Model) -> bool:
    """Whether the network's classes exclude each other."""
    return layers.output_activation(network) != "sigmoid" and choices.class_count(network) > 1
