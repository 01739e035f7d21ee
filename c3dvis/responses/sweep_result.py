"""The result of a sweep: scores, statistics and the strongest and weakest clips of every unit."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c3dvis import files, stored, text
from c3dvis.checks import whole

SCHEMA = 1
"""Version of the layout of a sweep's file."""

PARTS_SCHEMA = 2
"""Version of the layout of a sweep's folder."""

MEASURED = ("scores", "peaks", "places")
"""Arrays of each part, `(clips, units of all layers)`; another is `shapes`, `(layers, 4)`."""

# Maximum size of these arrays in memory, if there are several layers.
_MOST_BYTES = 2**26

SETTINGS, COMPLETE, PARTS = "sweep.json", "complete.json", "parts"
"""Files of a sweep's folder, and the folder of its parts."""

_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class RankedClip:
    """One of the strongest clips of a unit.

    Attributes:
        name: Name of the clip.
        index: Row of the clip in the scores.
        score: Mean of the unit's activation.
        peak: Greatest activation.
        place: Its place in the layer's grid, `(t, y, x)`; see `c3dvis.receptive_field.of`.
    """

    name: str
    index: int
    score: float
    peak: float
    place: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class LayerResponses:
    """The responses of a layer's C units to N clips.

    Attributes:
        scores: float16 `(N, C)`, float32 where half precision has no such numbers: the mean of
            the activation over places.
        mean: float32 `(C,)`, of the scores.
        deviation: float32 `(C,)`, their standard deviation.
        zeros: float32 `(C,)`, share of clips to which the unit does not respond at all.
        strongest: int32 `(k, C)`, rows of the clips of the highest scores, each of another film.
        peaks: float32 `(k, C)`, the greatest activation in each of these.
        places: int32 `(k, C, 3)`, where that is in the layer's grid, `(t, y, x)`.
        weakest: int32 `(k, C)`, rows of the clips of the lowest scores.
        deciles: int32 `(9, C)`, rows of the clips at 10, 20, ... 90 % of the scores.
        grid: `(t, h, w)` of the layer's output; 1 where it has no such axis.
    """

    scores: NDArray[np.floating]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    zeros: NDArray[np.float32]
    strongest: NDArray[np.int32]
    peaks: NDArray[np.float32]
    places: NDArray[np.int32]
    weakest: NDArray[np.int32]
    deciles: NDArray[np.int32]
    grid: NDArray[np.int32]

    def __repr__(self) -> str:
        clips, units = self.scores.shape
        return f"LayerResponses({text.counted(units, 'unit')}, {text.counted(clips, 'clip')})"


_ARRAYS = tuple(LayerResponses.__dataclass_fields__)


@dataclass(frozen=True, eq=False)
class Sweep(Mapping[str, LayerResponses]):
    """The responses of the units of some layers to many clips: a mapping from layers' names.

    Attributes:
        names: Names of the clips, in the order of the scores.
        sources: Film of each clip.
        failed: By name of each clip that could not be read, the reason.
        layers: The responses by layer.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    failed: Mapping[str, str]
    layers: Mapping[str, LayerResponses]

    def __getitem__(self, layer: str) -> LayerResponses:
        if layer not in self.layers:
            raise text.unknown("the name of a layer of the sweep", layer, self.layers)
        return self.layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        units = sum(layer.scores.shape[1] for layer in self.layers.values())
        clips = text.counted(len(self.names), "clip")
        return (
            f"Sweep({clips}, {text.counted(units, 'unit')} of {text.counted(len(self), 'layer')})"
        )

    def top(self, layer: str, channel: int) -> list[RankedClip]:
        """The strongest clips of a unit, best first."""
        responses = self[layer]
        count = responses.scores.shape[1]
        channel = whole(channel, "channel")
        if channel >= count:
            raise ValueError(
                f"Layer {layer!r} has {count} channels. Expected one from 0 to {count - 1}. "
                f"Received: {channel}."
            )
        return [
            RankedClip(
                name=self.names[row],
                index=int(row),
                score=float(responses.scores[row, channel]),
                peak=float(responses.peaks[rank, channel]),
                place=tuple(responses.places[rank, channel].tolist()),
            )
            for rank, row in enumerate(responses.strongest[:, channel])
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes all of it as one `.npz` file, whole or not at all."""
        about = {
            "schema": SCHEMA,
            "names": self.names,
            "sources": self.sources,
            "failed": dict(self.failed),
            "layers": list(self.layers),
        }
        arrays = {"about": np.array(json.dumps(about))}
        for number, layer in enumerate(self.layers.values()):
            arrays |= {f"{number}/{name}": getattr(layer, name) for name in _ARRAYS}
        return write_arrays(Path(path), arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sweep:
        """Reads what `save` wrote; no code of the file is run.

        Raises:
            ValueError: If it is not such a file, or of another schema.
        """
        with _opened(files.as_path(path), "a sweep's file") as arrays:
            about = stored.mapping(json.loads(str(arrays["about"])))
            schema = stored.count(about["schema"])
            if schema == SCHEMA:
                names, sources = (
                    tuple(map(stored.text, stored.items(about[key])))
                    for key in ("names", "sources")
                )
                failed = dict(stored.mapping(about["failed"]))
                layers = {
                    name: LayerResponses(**{key: arrays[f"{number}/{key}"] for key in _ARRAYS})
                    for number, name in enumerate(stored.items(about["layers"]))
                }
        if schema != SCHEMA:
            raise ValueError(
                f"Expected a sweep of schema {SCHEMA}. Received: {schema} in {path!s}."
            )
        return cls(names, sources, failed, layers)


class Damaged(ValueError):
    """A file of a sweep that cannot be read.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, path: Path, kind: str, reason: Exception):
        missing = isinstance(reason, FileNotFoundError)
        why = f"which {files.absent(path)}" if missing else text.in_one_line(reason)
        super().__init__(f"Expected {kind}. Received: '{path}': {why}.")
        self.path = path


@contextlib.contextmanager
def _opened(path: Path, kind: str = "a part of a sweep") -> Iterator[Mapping[str, NDArray]]:
    """The arrays of a file; any error in it is raised as `Damaged`."""
    try:
        # NumPy leaves a file open that it opens and cannot read.
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not an .npz file, or only a part of one")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
    # NumPy and zipfile raise many undocumented errors, such as those of tokenize.
    except Exception as error:
        raise Damaged(path, kind, error) from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> Path:
    """Writes an `.npz` file, whole or not at all; the same arrays make the same bytes."""
    buffer = io.BytesIO()
    # mypy takes one of the names for `allow_pickle`, which none is.
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    files.write_bytes(path, buffer.getvalue())
    return path


def read_folder(folder: Path) -> Sweep:
    """The finished sweep of a folder.

    Raises:
        ValueError: If there is none, or it is unfinished.
    """
    settings = files.read_json(folder / SETTINGS)
    layers = settings.get("layers") if isinstance(settings, dict) else None
    if not isinstance(layers, list) or not (folder / COMPLETE).is_file():
        raise ValueError(f"Expected the folder of a finished sweep. Received: {folder}.")
    return collect(sorted((folder / PARTS).glob("*.npz")), layers, 1)


def collect(parts: Sequence[Path], chosen: Sequence[str], top: int) -> Sweep:
    """The sweep of the parts in some files.

    Raises:
        Damaged: If one of them cannot be read.
        ValueError: If no clip could be read.
    """
    about: dict[str, list[str]] = {"names": [], "sources": [], "failed": [], "errors": []}
    for part in parts:
        with _opened(part) as arrays:
            for key, listed in about.items():
                listed += map(stored.text, arrays[key].tolist())
    failed = dict(zip(about["failed"], about["errors"], strict=True))
    if not about["names"]:
        first = next(iter(failed.values()), "none")
        raise ValueError(f"Expected clips that can be read. Received: {first}")
    sources = np.unique(about["sources"], return_inverse=True)[1]
    layers = {
        name: _layer(measured, grid, sources, top)
        for name, (measured, grid) in zip(chosen, _measured(parts, len(sources)), strict=True)
    }
    return Sweep(tuple(about["names"]), tuple(about["sources"]), failed, layers)


def _measured(parts: Sequence[Path], clips: int) -> Iterator[tuple[dict[str, NDArray], NDArray]]:
    """For each layer the measured arrays `(N, C)` of all clips, and its grid.

    Files are read once if memory allows, as opening them takes longer than reading.
    """
    shapes = _shapes(parts)
    ends = np.cumsum(shapes[:, 3])
    each = max(1, _MOST_BYTES // (12 * clips))  # units
    first = 0
    while first < len(ends):
        begin = ends[first] - shapes[first, 3]
        last = max(first + 1, int(np.searchsorted(ends, begin + each, side="right")))
        read: dict[str, list[NDArray]] = {name: [] for name in MEASURED}
        for part in parts:
            with _opened(part) as arrays:
                if not len(arrays["names"]):  # none of its clips could be read
                    continue
                own = {name: arrays[name] for name in MEASURED}
                _check(own, arrays["shapes"], shapes, len(arrays["names"]))
                for name, values in read.items():
                    values.append(own[name][:, begin : ends[last - 1]])
        joined = {name: np.concatenate(values) for name, values in read.items()}
        for layer in range(first, last):
            columns = slice(ends[layer] - shapes[layer, 3] - begin, ends[layer] - begin)
            yield {name: values[:, columns] for name, values in joined.items()}, shapes[layer, :3]
        first = last


def _shapes(parts: Sequence[Path]) -> NDArray[np.int32]:
    """Shapes of the layers, from the first part with readable clips."""
    for part in parts:
        with _opened(part) as arrays:
            if len(arrays["names"]):
                shapes = arrays["shapes"]
                if shapes.dtype != np.int32 or shapes.shape[1:] != (4,) or (shapes < 1).any():
                    raise ValueError(f"layers of shapes {shapes}")
                return shapes
    raise ValueError("Expected clips that can be read. Received: none.")


def _check(
    arrays: Mapping[str, NDArray], own: NDArray, shapes: NDArray[np.int32], clips: int
) -> None:
    """Raises a ValueError for arrays of wrong sizes.

    Args:
        arrays: The measured arrays.
        own: Shapes of the layers in this part.
        shapes: Shapes of the layers in other parts.
        clips: Number of clips in the part.
    """
    if own.dtype != np.int32 or not np.array_equal(own, shapes):
        raise ValueError(f"layers of shapes {own}")
    for name, kind in zip(MEASURED, (np.float32, np.float32, np.int32), strict=True):
        values = arrays[name]
        if values.shape != (clips, shapes[:, 3].sum()) or values.dtype != kind:
            raise ValueError(f"{name} of shape {values.shape} and type {values.dtype}")
    most = np.repeat(shapes[:, :3].prod(axis=1), shapes[:, 3])
    if ((arrays["places"] < 0) | (arrays["places"] >= most)).any():
        raise ValueError("places outside the layer")


def _layer(
    measured: Mapping[str, NDArray], grid: NDArray, sources: NDArray, top: int
) -> LayerResponses:
    """One layer's responses, of all parts."""
    scores, peaks = measured["scores"], measured["peaks"]
    strongest = ranked(scores, sources, top)
    units = np.arange(scores.shape[1])
    at = measured["places"][strongest, units]
    exact = scores if np.abs(scores).max() > _LARGEST_HALF else scores.astype(np.float16)
    order = np.argsort(scores, axis=0, kind="stable")
    positions = np.rint(np.arange(1, 10) / 10 * (len(scores) - 1)).astype(int)
    return LayerResponses(
        scores=np.ascontiguousarray(exact),
        mean=scores.mean(axis=0, dtype=np.float64).astype(np.float32),
        deviation=scores.std(axis=0, dtype=np.float64).astype(np.float32),
        zeros=((scores == 0) & (peaks == 0)).mean(axis=0).astype(np.float32),
        strongest=strongest,
        peaks=peaks[strongest, units],
        places=np.stack(np.unravel_index(at, grid), axis=-1).astype(np.int32),
        weakest=ranked(-scores, sources, top),
        deciles=order[positions].astype(np.int32),
        grid=grid,
    )


def ranked(scores: NDArray, sources: NDArray, top: int) -> NDArray[np.int32]:
    """Rows of the highest scores of each unit, `(k, C)`, at most one of a source."""
    by_source = [np.flatnonzero(sources == source) for source in range(sources.max() + 1)]
    best = np.stack([rows[scores[rows].argmax(axis=0)] for rows in by_source])
    units = np.arange(scores.shape[1])
    order = np.argsort(-scores[best, units], axis=0, kind="stable")[:top]
    return best[order, units].astype(np.int32)
