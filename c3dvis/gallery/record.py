"""What a gallery keeps of each unit: how its clip was made and what became of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

# The clip was made to the end; the score became NaN or infinite; nothing in the clip changed the
# score; an error kept it from being made.
STATUSES = ("ok", "failed", "no gradient", "error")
# JSON names of fields, where they differ.
_JSON_NAMES = {"predicted_class": "taken_for"}
# JSON has them as lists.
_TUPLES = ("shape", "drift", "batch")
# The hashes in `network` that are part of what decides a clip.
HASHES = ("weights_sha256", "architecture_sha256")
# Raised by whoever changes what a field means or takes one away.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """What became of one unit.

    Attributes:
        layer: True name of its layer, or `plan.CLASSES`.
        channel: Index of the filter or class.
        label: Name of the class where there is one.
        status: One of `STATUSES`.
        score: The objective's for the clip; None where that is not finite.
        best_held_out: Best score of the held-out clips; None where none were scored.
        predicted_class: Name or number of the class to which the network gives the clip the
            highest score; of classes only.
        failed_step: At which the score became NaN or infinite.
        error: Why no clip was made, in one line.
        cause: The same in full, with the errors that led to it.
        seed: Of the run.
        settings: Of the run.
        shape: Of the clip, `(T, H, W, C)`.
        files: Name to size in bytes.
        sha256: Name to the SHA-256 of the file's bytes, in hexadecimal.
        batch: Channels of the clips that were made at once, in order; on some processors the bits
            of a clip depend on it.
        network: What the clip is of: `provenance.of_network`.
        versions: Of the programs that made it.
        machine: That made it.
        change: As `measure.Measures` has it; so are those that follow.
        plain_color: Of a clip of one colour.
        drift: Pixels a frame to the right and down.
        drift_share: Share of the change between frames that the drift explains.
    """

    layer: str
    channel: int
    status: str
    label: str | None = None
    score: float | None = None
    best_held_out: float | None = None
    predicted_class: str | None = None
    failed_step: int | None = None
    error: str | None = None
    cause: str | None = None
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, int, int, int] | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    batch: tuple[int, ...] = ()
    network: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    change: float | None = None
    plain_color: str | None = None
    drift: tuple[float, float] | None = None
    drift_share: float | None = None

    @property
    def ratio(self) -> float | None:
        """Score over the best of the held-out clips; None where that is not above 0."""
        if self.score is None or self.best_held_out is None or self.best_held_out <= 0:
            return None
        return self.score / self.best_held_out

    @property
    def identity(self) -> dict[str, Any]:
        """What decided the clip; see `provenance.identity_of`."""
        return {**self.settings, **{name: self.network.get(name) for name in HASHES}}

    @property
    def is_failure(self) -> bool:
        """Whether its clip could not be made to the end."""
        return self.status in ("failed", "error")

    def to_json(self) -> dict[str, Any]:
        """The record as JSON keeps it."""
        values = {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}
        lists = {name: values[name] and list(values[name]) for name in _TUPLES}
        return {"schema": SCHEMA, **values, "ratio": self.ratio, **lists}

    @classmethod
    def from_json(cls, values: Any) -> Record:
        """What `to_json` gave.

        Raises:
            ValueError: If it is none.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"Expected a record. Received: {type(values).__name__}.")
        if values.get("schema") != SCHEMA:
            raise ValueError(
                f"Expected a record of schema {SCHEMA}. Received: {values.get('schema')!r}."
            )
        given = {
            one.name: values[key]
            for one in fields(cls)
            if (key := _JSON_NAMES.get(one.name, one.name)) in values
        }
        for name, value in given.items():
            if not _CHECKS[name](value):
                raise ValueError(f"Expected the {name} of a record. Received: {value!r}.")
        if not {"layer", "channel", "status"} <= given.keys():
            raise ValueError("Expected a record with layer, channel and status. Received: less.")
        given |= {name: tuple(given[name]) for name in _TUPLES if given.get(name) is not None}
        return cls(**given)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_shape(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 4 and all(map(_is_count, value))


def _is_drift(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _is_color(value: Any) -> bool:
    return _is_text(value) and re.fullmatch("#[0-9a-f]{6}", value) is not None


def _is_files(value: Any) -> bool:
    return _is_mapping(value) and all(map(_is_name, value)) and all(map(_is_count, value.values()))


def _is_hashes(value: Any) -> bool:
    return _is_mapping(value) and all(map(_is_name, value)) and all(map(_is_hash, value.values()))


def _is_name(value: Any) -> bool:
    """Of a file beside the record: it leads nowhere else."""
    return _is_text(value) and re.fullmatch(r"[A-Za-z0-9_.-]+", value) is not None


def _is_hash(value: Any) -> bool:
    return _is_text(value) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_counts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_count, value))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _or_none(check):
    return lambda value: value is None or check(value)


_CHECKS = {
    "layer": _is_text,
    "channel": _is_count,
    "status": lambda value: value in STATUSES,
    "label": _or_none(_is_text),
    "score": _or_none(_is_number),
    "best_held_out": _or_none(_is_number),
    "predicted_class": _or_none(_is_text),
    "failed_step": _or_none(_is_count),
    "error": _or_none(_is_text),
    "cause": _or_none(_is_text),
    "seed": _is_count,
    "settings": _is_mapping,
    "shape": _or_none(_is_shape),
    "files": _is_files,
    "sha256": _is_hashes,
    "batch": _is_counts,
    "network": _is_mapping,
    "versions": _is_mapping,
    "machine": _is_mapping,
    "change": _or_none(_is_number),
    "plain_color": _or_none(_is_color),
    "drift": _or_none(_is_drift),
    "drift_share": _or_none(_is_number),
}
