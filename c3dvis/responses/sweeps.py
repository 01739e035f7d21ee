"""Responses of all units of some layers to many clips, with one forward pass per clip."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff, files, identity, rewire
from c3dvis import clips as clips_room
from c3dvis.checks import whole
from c3dvis.models import layers as network_layers
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives.terms import layer_name
from c3dvis.output_folder import take_lock
from c3dvis.responses import clip_sources
from c3dvis.responses.sweep_result import (
    COMPLETE,
    MEASURED,
    PARTS,
    PARTS_SCHEMA,
    SETTINGS,
    Damaged,
    Sweep,
    collect,
    write_arrays,
)

__all__ = ["sweep"]

# Default frames, height and width of clips from files, if the network takes any.
USUAL_SHAPE = (16, 112, 112)
# Clips per file of responses; a killed run repeats at most one file.
_PART = 16


def sweep(
    network: keras.Model,
    clips: Any,
    *,
    layers: Sequence[str] | str | None = None,
    out: str | Path | None = None,
    top: int = 9,
    windows: int = 1,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    preprocess: Callable | None = None,
    batch_size: int = 4,
    verbose: int | str = "auto",
) -> Sweep:
    """The responses of every unit of some layers to many clips.

    A unit's score is the mean of its activation over places, as of `objectives.channel`, and its
    peak the greatest activation. One forward pass per clip serves all units of all layers. Memory
    holds one batch, and later the scores of as many layers as fit in 64 MiB, or of one, at 12
    bytes per clip and unit; everything else is on disk.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        clips: A folder of videos, a list of files, an array or list of clips `(T, H, W, C)` in
            [0, 1], a `tf.data.Dataset` of batches or a Keras `PyDataset`.
        layers: Names of layers, or one, or `objectives.LOGITS` for class scores; None means every
            layer with weights.
        out: Folder for the results: the same call resumes a stopped sweep and only reads a
            finished one. None saves nothing.
        top: Number of strongest and of weakest clips of each unit, each of another film.
        windows: Number of clips per film, from equal parts of it.
        frames: Frames of clips that are read from files; None means what the network takes, or 16.
        size: Height and width of those; None means what the network takes, or 112.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.
        verbose: As in Keras: "auto" or 1 shows progress with the time left, 0 nothing.

    Returns:
        Scores, strongest and weakest clips and statistics of every unit.

    Raises:
        ValueError: Invalid clips or layers, or a folder of another sweep.

    Example:
        >>> from c3dvis import models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> clips = MovingEvidence(seed=1).batch(0, 6).clips
        >>> swept = responses.sweep(models.build("c3d-motion"), clips, layers=["conv2"], verbose=0)
        >>> swept["conv2"].scores.shape
        (6, 16)
    """
    top, windows = whole(top, "top", 1), whole(windows, "windows", 1)
    batch_size = whole(batch_size, "batch_size", 1)
    network = one_input(network, scaled=preprocess is None)
    if layers is None:
        layers = [info.name for info in network_layers.visualizable(network)]
    listed = layers if isinstance(layers, Iterable) and not isinstance(layers, str) else [layers]
    chosen = tuple(layer_name(layer) for layer in listed)
    if not chosen:
        raise ValueError("Expected one layer or more. Received: none.")
    tap = network_layers.tap(network, chosen)
    own = tuple(network.inputs[0].shape[1:])
    *taken, channels = clip_shape(network, frames=frames, size=size, default=USUAL_SHAPE)
    given = clip_sources.of(
        clips, frames=taken[0], size=(taken[1], taken[2]), channels=channels, windows=windows
    )
    settings = {
        "schema": PARTS_SCHEMA,
        "weights": identity.weights_sha256(network),
        "architecture": identity.architecture_sha256(network),
        "layers": list(chosen),
        "shape": taken,
        "preprocess": identity.described(preprocess),
        "clips": given.identity,
    }
    with _folder(out) as folder:
        _begin(folder, settings)

        def make() -> None:
            measure = _measure(tap, preprocess)
            for number, part in _parts(folder, given, verbose):
                content = _responses(part, measure, chosen, batch_size, own)
                write_arrays(folder / PARTS / f"{number:06}.npz", content)
            files.write_json(folder / COMPLETE, {"schema": PARTS_SCHEMA})

        if files.read_json(folder / COMPLETE) is None:
            make()
        removed: set[Path] = set()
        while True:
            try:
                return collect(sorted((folder / PARTS).glob("*.npz")), chosen, top)
            except Damaged as damaged:
                if damaged.path in removed:
                    raise
                removed.add(damaged.path)
                _remove_from(folder, damaged)
                make()


@contextlib.contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """The locked folder for the results; None means a temporary one."""
    if out is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"Expected a folder. Received: {str(folder)!r}, which is a file.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / ".sweep.lock")
    if lock is None:
        raise ValueError(
            f"Expected a folder that no other run is writing. Received: {str(folder)!r}."
        )
    try:
        yield folder
    finally:
        lock.release()


def _begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes the settings into the folder; raises a ValueError if it holds another sweep."""
    (folder / PARTS).mkdir(exist_ok=True)
    for leftover in (folder / PARTS).glob(files.IN_FLIGHT):
        leftover.unlink()
    before = files.read_json(folder / SETTINGS)
    if before is None and not any((folder / PARTS).glob("*.npz")):
        files.write_json(folder / SETTINGS, settings)
    elif before != settings:
        known = before if isinstance(before, dict) else {}
        other = [name for name in settings if known.get(name) != settings[name]]
        raise ValueError(
            f"Expected the sweep that {str(folder)!r} was begun with. "
            f"Received: other {', '.join(other)}."
        )


def _remove_from(folder: Path, damaged: Damaged) -> None:
    """Removes a damaged part and all that follow it, as clips are read in order."""
    warnings.warn(f"made again with what follows it: {damaged}", stacklevel=3)
    (folder / COMPLETE).unlink(missing_ok=True)
    for part in (folder / PARTS).glob("*.npz"):
        if part.name >= damaged.path.name:
            part.unlink()


def _parts(
    folder: Path, given: clip_sources.Clips, verbose: int | str
) -> Iterator[tuple[int, list[clip_sources.NamedClip]]]:
    """The missing parts, each with its number; shows the progress."""
    done = len(list((folder / PARTS).glob("*.npz")))
    # Progress of this run alone, for a correct estimate of the time left.
    left = None if given.count is None else max(given.count - done * _PART, 0)
    progress = keras.utils.Progbar(left, verbose=int(bool(verbose)), unit_name="clip")
    ahead = given.start_at(done * _PART)
    number = done
    while part := list(itertools.islice(ahead, _PART)):
        yield number, part
        number += 1
        progress.add(len(part))


def _measure(tap: keras.Model, preprocess: Callable | None) -> Callable:
    """A compiled function of clips that returns mean, peak and place of the peak, `(N, units)`.

    Its last result is `(layers, 4)`: frames, rows, columns and units of each layer. The units of
    all layers are concatenated, as few large arrays are faster than many small ones.
    """
    quick = rewire.Shadow(tap)

    def measure(batch):
        outputs = quick(batch if preprocess is None else preprocess(batch), training=False)
        means, peaks, places, shapes = [], [], [], []
        for output in outputs if len(tap.outputs) > 1 else [outputs]:
            shape = ops.shape(output)
            values = ops.cast(ops.reshape(output, (shape[0], -1, shape[-1])), "float32")
            means.append(ops.mean(values, axis=1))
            peaks.append(ops.max(values, axis=1))
            places.append(ops.cast(ops.argmax(values, axis=1), "int32"))
            whole = (*_three_axes(shape[1:-1]), shape[-1])
            shapes.append(ops.cast(ops.convert_to_tensor(whole), "int32"))
        joined = (ops.concatenate(each, axis=1) for each in (means, peaks, places))
        return *joined, ops.stack(shapes)

    return autodiff.compiled(measure, variables=tap.variables)


def _three_axes(shape: Sequence) -> tuple:
    """Lengths along frames, rows and columns, 1 where a layer has no such axis."""
    missing = (1,) * (3 - len(shape))
    return (*missing, *shape) if len(shape) == 2 else (*shape, *missing)


def _responses(
    part: Sequence[clip_sources.NamedClip],
    measure: Callable,
    chosen: Sequence[str],
    batch_size: int,
    shape: tuple[int | None, ...],
) -> dict[str, NDArray]:
    """The arrays of one part.

    Args:
        part: Clips, and those that could not be read.
        measure: What `_measure` gives.
        chosen: Names of the layers.
        batch_size: Number of clips per batch.
        shape: Shape of a clip, as the network takes it.
    """
    read = [(one, clips_room.check(one.clip, shape)) for one in part if one.clip is not None]
    failed = [one for one in part if one.clip is None]
    arrays = {
        "names": np.array([one.name for one, _ in read], np.str_),
        "sources": np.array([one.source for one, _ in read], np.str_),
        "failed": np.array([one.name for one in failed], np.str_),
        "errors": np.array([one.error for one in failed], np.str_),
    }
    batches = []
    for first in range(0, len(read), batch_size):
        batch = [clip for _, clip in read[first : first + batch_size]]
        # The last batch is padded, so that the graph is traced once.
        padded = np.stack(batch + [batch[-1]] * (batch_size - len(batch)))
        *measured, shapes = (np.asarray(ops.convert_to_numpy(m)) for m in measure(padded))
        batches.append([m[: len(batch)] for m in measured])
    if batches:
        for name, each in zip(MEASURED, zip(*batches, strict=True), strict=True):
            arrays[name] = np.concatenate(each)
        arrays["shapes"] = shapes
        lost = np.flatnonzero(~np.isfinite(arrays["peaks"]).all(axis=0))
        if len(lost):
            layer = chosen[int(np.searchsorted(np.cumsum(shapes[:, 3]), lost[0], side="right"))]
            raise ValueError(f"Expected finite activations. Received: NaN in layer {layer!r}.")
    return arrays
