"""What a gallery keeps of each unit: how its clip was made and what became of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from c3dvis import stored

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
        network: What the clip is of: its name, the files it came from, and `HASHES`.
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
        """What decided the clip, and what all runs in one folder must agree on."""
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
            try:
                _CHECKS[name](value)
            except ValueError:
                raise ValueError(f"Expected the {name} of a record. Received: {value!r}.") from None
        if not {"layer", "channel", "status"} <= given.keys():
            raise ValueError("Expected a record with layer, channel and status. Received: less.")
        given |= {name: tuple(given[name]) for name in _TUPLES if given.get(name) is not None}
        return cls(**given)


def _or_none(check):
    return lambda value: None if value is None else check(value)


def _one_of(choices):
    return lambda value: choices.index(value)


def _like(pattern: str):
    def check(value: Any) -> None:
        if not re.fullmatch(pattern, stored.text(value)):
            raise ValueError(f"Expected {pattern}. Received: {value!r}.")

    return check


def _all(check, length: int | None = None):
    """Of a list of values."""

    def check_all(values: Any) -> None:
        if not isinstance(values, (list, tuple)) or length not in (None, len(values)):
            raise ValueError(f"Expected a list of {length or 'any'} values. Received: {values!r}.")
        for value in values:
            check(value)

    return check_all


def _by_file(check):
    """Of values by the name of a file beside the record, which leads nowhere else."""

    def check_each(values: Any) -> None:
        for name, value in stored.mapping(values).items():
            _like(r"[A-Za-z0-9_.-]+")(name)
            check(value)

    return check_each


# Each raises a ValueError where a field holds something else.
_CHECKS = {
    "layer": stored.text,
    "channel": stored.count,
    "status": _one_of(STATUSES),
    "label": stored.text_or_none,
    "score": stored.number_or_none,
    "best_held_out": stored.number_or_none,
    "predicted_class": stored.text_or_none,
    "failed_step": _or_none(stored.count),
    "error": stored.text_or_none,
    "cause": stored.text_or_none,
    "seed": stored.count,
    "settings": stored.mapping,
    "shape": _or_none(_all(stored.count, 4)),
    "files": _by_file(stored.count),
    "sha256": _by_file(_like("[0-9a-f]{64}")),
    "batch": _all(stored.count),
    "network": stored.mapping,
    "versions": stored.mapping,
    "machine": stored.mapping,
    "change": stored.number_or_none,
    "plain_color": _or_none(_like("#[0-9a-f]{6}")),
    "drift": _or_none(_all(stored.number, 2)),
    "drift_share": stored.number_or_none,
}
