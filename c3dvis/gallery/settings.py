"""The settings of a gallery: which network, and what is made of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from c3dvis import models
from c3dvis.gallery.record import Record
from c3dvis.models.chosen import built_shape

# Where a record's network comes from.
_FILES = ("model", "weights", "keras_model")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a unit's files hold, and `batch_size`, which does not.

    Attributes:
        model: Name of a network in `c3dvis.models`; ignored where `keras_model` is given.
        weights: File of weights for it; None takes those that come with c3dvis.
        keras_model: File of a Keras model of your own.
        labels: Text file with the name of one class a line; None takes the network's own.
        input: Name of your own model's input that takes the clips; None is the only one that does.
        output: Name of its output that is shown; None is the only one.
        value_range: Lowest and highest value that your own model takes.
        steps: Steps of the optimizer a clip.
        parametrization: "fourier" or another of `c3dvis.maximize.parametrizations`.
        colours: As `Maximizer` has it.
        size: `(height, width)` of the clips. A network of `c3dvis.models` is built for it; None
            is what a laptop can do, `Entry.command_shape`. None is what your own model takes.
        frames: Of the clips; likewise.
        seed: Of the run. A unit's clip depends on it, its layer and its channel.
        fps: Frames a second of the clips.
        compare: Held-out clips of `c3dvis.motion` whose scores stand beside those reached.
        dtype: "bfloat16" computes the network in it, as `Maximizer` says; None is its own.
        batch_size: Clips made at once; None finds it by itself.
    """

    model: str = models.DEFAULT
    weights: str | None = None
    keras_model: str | None = None
    labels: str | None = None
    input: str | None = None
    output: str | None = None
    value_range: tuple[float, float] | None = None
    steps: int = 128
    parametrization: str = "fourier"
    colours: str | None = None
    size: tuple[int, int] | None = None
    frames: int | None = None
    seed: int = 0
    fps: float = 8.0
    compare: int = 0
    dtype: str | None = None
    batch_size: int | None = None

    def identity(self) -> dict[str, Any]:
        """The part of what decides the clips that is set; the network's hashes are the other."""
        values = asdict(self)
        shape = built_shape(self)
        if shape is not None:
            values |= {"frames": shape[0], "size": list(shape[1:3])}
        for name in ("model", "weights", "keras_model", "labels", "batch_size"):
            del values[name]
        for name in ("input", "output", "colours"):
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def of_record(cls, record: Record) -> Settings:
        """The settings that a record tells, which make its clip again.

        Raises:
            ValueError: If it does not tell them.
        """
        values = {**record.settings, **{name: record.network.get(name) for name in _FILES}}
        values["model"] = values["model"] or models.DEFAULT
        for name in ("size", "value_range"):
            if isinstance(values.get(name), list):
                values[name] = tuple(values[name])
        try:
            return cls(**values)
        except TypeError:
            raise ValueError(
                "Expected a record that tells its settings. Received: one with the settings "
                f"{', '.join(sorted(map(str, record.settings))) or 'none'}."
            ) from None

    def of_network(self) -> dict[str, str | None]:
        """Where the network comes from, as a record keeps it."""
        own = self.keras_model is not None
        return {
            "name": Path(self.keras_model).name if self.keras_model is not None else self.model,
            "model": None if own else self.model,
            "weights": None if own else self.weights,
            "keras_model": self.keras_model,
        }

    def absolute(self) -> Settings:
        """The same with absolute paths, for processes that run elsewhere."""
        return replace(
            self,
            weights=_absolute(self.weights),
            keras_model=_absolute(self.keras_model),
            labels=_absolute(self.labels),
        )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())
