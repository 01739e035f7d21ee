"""The settings of a gallery: the network and how its clips are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from c3dvis import models
from c3dvis.gallery.record import Record
from c3dvis.maximize.defaults import STEPS
from c3dvis.models.chosen import built_shape

# Settings that name the network's files.
_FILES = ("model", "weights", "keras_model")


@dataclass(frozen=True)
class Settings:
    """Everything that determines a unit's files; and `batch_size`, which does not.

    Attributes:
        model: Name of a network in `c3dvis.models`; ignored if `keras_model` is given.
        weights: Weight file for it; None uses the bundled weights.
        keras_model: File of your own Keras model.
        labels: Text file with one class name per line; None uses the network's own.
        input: Name of your own model's input that takes the clips; None means the only one that
            does.
        output: Name of its output to show; None means the only one.
        value_range: Lowest and highest input value of your own model.
        steps: Number of optimization steps per clip.
        parametrization: "fourier" or another of `c3dvis.maximize.parametrizations`.
        colours: See `Maximizer`.
        size: `(height, width)` of the clips. A network of `c3dvis.models` is built for it; None
            is `Entry.command_shape`, which a laptop can compute, or what your own model takes.
        frames: Frames of the clips; None as for `size`.
        seed: Seed of the run. A unit's clip depends on it, its layer and its channel.
        fps: Frames per second of the clips.
        compare: Number of held-out clips of `c3dvis.motion` to score for comparison.
        dtype: "bfloat16" computes the network in it, see `Maximizer`; None means its own.
        batch_size: Clips per batch; None chooses it.
    """

    model: str = models.DEFAULT
    weights: str | None = None
    keras_model: str | None = None
    labels: str | None = None
    input: str | None = None
    output: str | None = None
    value_range: tuple[float, float] | None = None
    steps: int = STEPS
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
        """The settings that determine the clips, besides the network's hashes."""
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
        """The settings of a record, which reproduce its clip.

        Raises:
            ValueError: If the record does not hold all of them.
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
                "Expected a record that holds its settings. Received: one with the settings "
                f"{', '.join(sorted(map(str, record.settings))) or 'none'}."
            ) from None

    def of_network(self) -> dict[str, str | None]:
        """The network's name and files, as a record holds them."""
        own = self.keras_model is not None
        return {
            "name": Path(self.keras_model).name if self.keras_model is not None else self.model,
            "model": None if own else self.model,
            "weights": None if own else self.weights,
            "keras_model": self.keras_model,
        }

    def absolute(self) -> Settings:
        """The same settings with absolute paths, for workers in another working directory."""
        # A word that is not a file is the name of weights: see `models.loading.locate`.
        path = Path(self.weights or "")
        is_name = path.name == self.weights and not path.suffix and not path.is_file()
        return replace(
            self,
            weights=self.weights if is_name else _absolute(self.weights),
            keras_model=_absolute(self.keras_model),
            labels=_absolute(self.labels),
        )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())
