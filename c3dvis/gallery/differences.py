"""Compares two galleries unit by unit: of two networks, or of two checkpoints of one network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import pages
from c3dvis.gallery import rebuild
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import CLASSES, Unit, units_of
from c3dvis.gallery.record import HASHES, Record
from c3dvis.gallery.tile import MIN_DRIFT_SHARE, Tile
from c3dvis.responses.similarity import FeatureSpace
from c3dvis.text import in_short

# Settings that are not compared: where the network comes from, and what is shown beside its clips.
_LEFT_OUT = (*HASHES, "model", "weights", "keras_model", "labels", "compare")
# Degrees. Pages name eight directions, 45 degrees apart.
MIN_TURN = 45
# Kinds of differences, in the order in which they are tested and shown.
KINDS = {
    "died": "Nothing excites the unit any more: its clip has no gradient, or its filter's score is "
    "0 or less, but was above 0 before. The highest scores before come first.",
    "born": "Nothing excited the unit before, by the same rule, but something does after. The "
    "highest scores after come first.",
    "turned": f"Both clips drift (one translation explains {MIN_DRIFT_SHARE:.0%} or more of the "
    f"change between frames), and in directions at least {MIN_TURN} degrees apart. The widest "
    "turns come first.",
    "moved": "The two clips are no more alike than those of two different units of the layer "
    "usually are. The greatest distances come first.",
    "similar": "All others: the clips are more alike than those of different units. The greatest "
    "distances come first.",
}


@dataclass(frozen=True)
class Side:
    """One of two galleries.

    Attributes:
        folder: Folder of the gallery.
        manifest: Manifest of the gallery.
        records: Records of its units.
    """

    folder: Path
    manifest: Manifest
    records: Mapping[Unit, Record]

    @property
    def name(self) -> str:
        """The name of its folder and of its network."""
        return f"{self.folder.resolve().name} ({self.manifest.network.get('name')})"

    @property
    def tiles(self) -> dict[tuple[str, int], Tile]:
        """Its units by layer and channel."""
        return {
            (unit.layer, unit.channel): Tile(unit, self.records.get(unit))
            for unit in units_of(self.manifest.sections)
        }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of one unit.

    Attributes:
        before: The unit in the first gallery.
        after: The unit in the second gallery.
        distance: 1 minus the cosine of the two clips' features: 0 for equal clips, 1 for
            clips with nothing in common, at most 2; None if one has no clip.
        usual: Median distance between different units of the layer, before; 1 for a single unit.
    """

    before: Tile
    after: Tile
    distance: float | None
    usual: float

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        dead = [_is_dead(tile) for tile in (self.before, self.after)]
        if dead[0] != dead[1]:
            return "died" if dead[1] else "born"
        if (self.turn or 0) >= MIN_TURN:
            return "turned"
        return "moved" if (self.distance or 0) >= self.usual else "similar"

    @property
    def turn(self) -> float | None:
        """Degrees between the two drifts, 0 to 180; None if a clip has no drift."""
        if self.before.drift is None or self.after.drift is None:
            return None
        return abs((self.after.angle - self.before.angle + 180) % 360 - 180)

    @property
    def score_ratio(self) -> float | None:
        """Ratio of the score after to that before, for filters; None if one is not above 0."""
        before, after = _score(self.before), _score(self.after)
        if self.before.unit.layer == CLASSES or before is None or after is None:
            return None
        return after / before if before > 0 and after > 0 else None

    @property
    def sort_key(self) -> float:
        """Units of a kind are sorted by it, the highest first; see `KINDS`."""
        match self.kind:
            case "died":
                value = _score(self.before)
            case "born":
                value = _score(self.after)
            case "turned":
                value = self.turn
            case _:
                value = self.distance
        return -1.0 if value is None else value

    def to_json(self) -> dict[str, Any]:
        """The difference as in `differences.json`."""
        sides = {"before": self.before, "after": self.after}
        return {
            "layer": self.before.unit.layer,
            "channel": self.before.unit.channel,
            "label": self.before.unit.label,
            "kind": self.kind,
            "distance": self.distance,
            "usual_distance": self.usual,
            "turn": self.turn,
            "score_ratio": self.score_ratio,
            **{name: _side_json(tile) for name, tile in sides.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """The differences between two galleries.

    Attributes:
        before: The first gallery.
        after: The second.
        differences: Units of the same layer and index, sorted by kind and size.
        only_before: Units that the second gallery does not have.
        only_after: Units that the first does not have.
        left_out: Units that could not be compared, each with the reason.
    """

    before: Side
    after: Side
    differences: tuple[Difference, ...]
    only_before: tuple[Unit, ...]
    only_after: tuple[Unit, ...]
    left_out: Mapping[Unit, str]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items() if count)
        return f"Comparison({self.before.name} to {self.after.name}: {counts or 'no units'})"

    @property
    def counts(self) -> dict[str, int]:
        """Units of each kind."""
        kinds = [one.kind for one in self.differences]
        return {kind: kinds.count(kind) for kind in KINDS}

    @property
    def summary(self) -> str:
        """How many of each kind, in a sentence."""
        counts = [f"{count} {kind}" for kind, count in self.counts.items() if count]
        total = len(self.differences)
        return f"Of {total} {'unit' if total == 1 else 'units'}: {', '.join(counts) or 'none'}."

    @property
    def other_settings(self) -> list[str]:
        """Settings in which the galleries differ, apart from their networks."""
        before, after = self.before.manifest.identity, self.after.manifest.identity
        keys = [key for key in dict.fromkeys([*before, *after]) if key not in _LEFT_OUT]
        return [
            f"{key.replace('_', ' ')} {json.dumps(before.get(key))} before, "
            f"{json.dumps(after.get(key))} after"
            for key in keys
            if before.get(key) != after.get(key)
        ]


def compare(
    before: str | Path, after: str | Path, *, report: Callable[[str], None] | None = None
) -> Comparison:
    """Compares two galleries by their records and clips; no network is loaded.

    Args:
        before: Folder of a gallery.
        after: Folder of another, of another network or checkpoint, or of other settings.
        report: Called with a line about invalid records.

    Raises:
        ValueError: If one is not a gallery, both are the same, or they have no unit in common.
    """
    folders = Path(before), Path(after)
    sides = [Side(path, *rebuild.read(path, report=report)) for path in folders]
    if folders[0].resolve() == folders[1].resolve():
        raise ValueError(f"Expected two galleries. Received: {before} twice.")
    one, other = (side.tiles for side in sides)
    pairs = [(one[key], other[key]) for key in one if key in other]
    if not pairs:
        layers = [in_short(dict.fromkeys(layer for layer, _ in tiles)) for tiles in (one, other)]
        raise ValueError(
            "Expected two galleries with units of the same layer and number. "
            f"Received: {layers[0]} and {layers[1]}."
        )
    reasons = {pair[0].unit: _reason(pair) for pair in pairs}
    compared = [pair for pair in pairs if not reasons[pair[0].unit]]
    differences = _differences([side.folder for side in sides], compared)
    return Comparison(
        sides[0],
        sides[1],
        tuple(differences),
        tuple(tile.unit for key, tile in one.items() if key not in other),
        tuple(tile.unit for key, tile in other.items() if key not in one),
        {unit: reason for unit, reason in reasons.items() if reason},
    )


def _reason(pair: Sequence[Tile]) -> str:
    """Why two tiles can't be compared; empty where they can."""
    for name, tile in zip(("before", "after"), pair, strict=True):
        if tile.record is None or tile.record.is_failure:
            return f"{name}: {tile.note}"
    return ""


def _differences(folders: Sequence[Path], pairs: Sequence[Sequence[Tile]]) -> list[Difference]:
    films = _Films(
        [
            (folder / tile.strip, tile.shape[0])
            for pair in pairs
            for folder, tile in zip(folders, pair, strict=True)
            if tile.strip
        ]
    )
    points = iter(FeatureSpace(films).known if len(films) else ())
    placed = [[next(points) if tile.strip else None for tile in pair] for pair in pairs]
    layers = [pair[0].unit.layer for pair in pairs]
    usual = {
        layer: _usual([at[0] for at, own in zip(placed, layers, strict=True) if own == layer])
        for layer in dict.fromkeys(layers)
    }
    differences = [
        Difference(
            before=pair[0],
            after=pair[1],
            distance=_distance(*at),
            usual=usual[layer],
        )
        for pair, at, layer in zip(pairs, placed, layers, strict=True)
    ]
    order = list(KINDS)
    return sorted(differences, key=lambda one: (order.index(one.kind), -one.sort_key))


class _Films(Sequence[NDArray[np.float32]]):
    """Clips that are read from their film strips on demand, as all would fill memory."""

    def __init__(self, strips: Sequence[tuple[Path, int]]):
        self._strips = strips

    def __len__(self) -> int:
        return len(self._strips)

    def __getitem__(self, index):
        return pages.read_strip(*self._strips[index])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (pages.read_strip(*strip) for strip in self._strips)


def _distance(one: NDArray | None, other: NDArray | None) -> float | None:
    return None if one is None or other is None else float(max(0, 1 - one @ other))


def _usual(points: Sequence[NDArray | None]) -> float:
    """The median distance of different ones."""
    known = np.array([point for point in points if point is not None])
    if len(known) < 2:
        return 1.0
    return float(np.median((1 - known @ known.T)[np.triu_indices(len(known), 1)]))


def _score(tile: Tile) -> float | None:
    return tile.record.score if tile.record else None


def _is_dead(tile: Tile) -> bool:
    record = tile.record
    if record is None or record.status == "no gradient":
        return True
    # Scores of classes can be below 0, as logits are.
    return tile.unit.layer != CLASSES and record.score is not None and record.score <= 0


def _side_json(tile: Tile) -> dict[str, Any]:
    record = tile.record
    return {
        "status": record.status if record else None,
        "score": record.score if record else None,
        "drift": list(tile.drift) if tile.drift else None,
        "plain_color": record.plain_color if record else None,
    }
