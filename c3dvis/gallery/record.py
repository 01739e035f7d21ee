"""The record of a unit: how its clip was made and with what result."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from functools import partial
from typing import Any

from c3dvis import stored

Check = Callable[[Any], object]  # raises a ValueError for a wrong value
# Finished; the score became NaN or infinite; the gradient was zero; an error was raised.
STATUSES = ("ok", "failed", "no gradient", "error")
# Names in JSON, where they differ from the field's.
_JSON_NAMES = {"predicted_class": "taken_for"}
# Fields that are lists in JSON.
_TUPLES = ("shape", "drift", "batch")
# The hashes in `network` that belong to the identity.
HASHES = ("weights_sha256", "architecture_sha256")
# To be increased when a field changes its meaning or is removed.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one unit.

    Attributes:
        layer: Name of its layer, or `plan.CLASSES`.
        channel: Index of the filter or class.
        label: Name of the class, if known.
        status: One of `STATUSES`.
        score: Score of the clip; None if it is not finite.
        best_held_out: Best score of the held-out clips; None if none were scored.
        predicted_class: Name or index of the class with the highest logit for the clip; None for
            filters.
        failed_step: Step at which the score became NaN or infinite.
        error: Why no clip was made, in one line.
        cause: The full error messages, with those of its causes.
        seed: Seed of the run.
        settings: Settings of the run.
        shape: Shape of the clip, `(T, H, W, C)`.
        files: By name, the size of each file in bytes.
        sha256: By name, the SHA-256 of each file, in hexadecimal.
        batch: Channels of the clips that were made in one batch, in order; on some processors the
            bits of a clip depend on it.
        network: Name of the network, the files it came from, and `HASHES`.
        versions: Versions of the programs that made the clip.
        machine: Machine that made the clip.
        change: See `measure.Measures`, as for the fields that follow.
        plain_color: Colour of a clip of one colour.
        drift: Pixels per frame to the right and down.
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
        """Score divided by the best held-out score; None if that is not above 0."""
        if self.score is None or self.best_held_out is None or self.best_held_out <= 0:
            return None
        return self.score / self.best_held_out

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the clip; the same for all runs in one folder."""
        return {**self.settings, **{name: self.network.get(name) for name in HASHES}}

    @property
    def is_failure(self) -> bool:
        """Whether the clip could not be finished."""
        return self.status in ("failed", "error")

    def to_json(self) -> dict[str, Any]:
        """The record as JSON keeps it."""
        values = {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}
        lists = {name: values[name] and list(values[name]) for name in _TUPLES}
        return {"schema": SCHEMA, **values, "ratio": self.ratio, **lists}

    @classmethod
    def from_json(cls, values: Any) -> Record:
        """The record that `to_json` wrote.

        Raises:
            ValueError: If it is not a valid record.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"Expected a record. Received: {type(values).__name__}.")
        if values.get("schema") != SCHEMA:
            raise ValueError(
                f"Expected a record of schema {SCHEMA}. Received: {values.get('schema')!r}."
            )
        given = {}
        for one in fields(cls):
            key = _JSON_NAMES.get(one.name, one.name)
            if key in values:
                given[one.name] = _checked(one, values[key])
        if not {"layer", "channel", "status"} <= given.keys():
            raise ValueError(
                "Expected a record with layer, channel and status. Received: a record without them."
            )
        given |= {name: tuple(given[name]) for name in _TUPLES if given.get(name) is not None}
        return cls(**given)


def _checked(one: Field, value: Any) -> Any:
    """The value of a field; None only where it is the default."""
    try:
        if value is not None or one.default is not None:
            _CHECKS[one.name](value)
    except ValueError:
        raise ValueError(f"Expected the {one.name} of a record. Received: {value!r}.") from None
    return value


def _like(pattern: str, value: Any) -> None:
    if not re.fullmatch(pattern, stored.text(value)):
        raise ValueError(f"Expected {pattern}. Received: {value!r}.")


def _each(check: Check, values: Any, *, length: int | None = None) -> None:
    """Checks each value of a list, and its length."""
    if not isinstance(values, (list, tuple)) or length not in (None, len(values)):
        raise ValueError(f"Expected a list of {length or 'any'} values. Received: {values!r}.")
    for value in values:
        check(value)


def _by_file(check: Check, values: Any) -> None:
    """Checks values by file name; a name must not lead out of the record's folder."""
    for name, value in stored.mapping(values).items():
        _like(r"[A-Za-z0-9_.-]+", name)
        check(value)


# By field, a function that raises a ValueError for a wrong value other than None.
_CHECKS: dict[str, Check] = {
    "layer": stored.text,
    "channel": stored.count,
    "status": STATUSES.index,
    "label": stored.text,
    "score": stored.number,
    "best_held_out": stored.number,
    "predicted_class": stored.text,
    "failed_step": stored.count,
    "error": stored.text,
    "cause": stored.text,
    "seed": stored.count,
    "settings": stored.mapping,
    "shape": partial(_each, stored.count, length=4),
    "files": partial(_by_file, stored.count),
    "sha256": partial(_by_file, partial(_like, "[0-9a-f]{64}")),
    "batch": partial(_each, stored.count),
    "network": stored.mapping,
    "versions": stored.mapping,
    "machine": stored.mapping,
    "change": stored.number,
    "plain_color": partial(_like, "#[0-9a-f]{6}"),
    "drift": partial(_each, stored.number, length=2),
    "drift_share": stored.number,
}
