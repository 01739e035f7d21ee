"""Runs an audit: scores every clip of a folder, original and changed, with a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import __version__, files, identity, output_folder, stored
from c3dvis.audit import report
from c3dvis.audit.changed_clips import ChangedClips
from c3dvis.audit.changes import ONE_FRAME
from c3dvis.audit.clip_set import ClipSet, clip_set
from c3dvis.audit.result import Audit, ClipScores, Score
from c3dvis.checks import whole
from c3dvis.models import layers as network_layers
from c3dvis.models.chosen import class_count
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import LOGITS
from c3dvis.objectives.terms import names_of_classes
from c3dvis.responses.unit_responses import UnitResponses
from c3dvis.text import in_one_line

__all__ = ["audit"]

# Default frames, height and width of clips from files, if the network takes any.
_USUAL = (16, 112, 112)
# Clips per file of scores; a killed run repeats at most one file.
_PART = 16
_PARTS = "parts"


def audit(
    network: keras.Model,
    clips: Any,
    labels: Mapping[str, str | int] | Sequence[str | int] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | Sequence[ArrayLike] | None = None,
    source: str | None = None,
    draws: int = 4,
    shown: int = 3,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    preprocess: Callable | None = None,
    batch_size: int = 5,
    seed: int = 0,
    note: str | None = None,
    verbose: int | str = "auto",
) -> Audit:
    """Measures how freezing, shuffling, reversing and other backgrounds change class scores.

    Each clip is scored unchanged, and under each change of `c3dvis.audit.changes.CHANGES`. Actor
    and background are separated by frame differences, or by masks; a clip where this fails, such as
    with a moving camera, is scored without these changes, and reported. Memory holds one batch of
    clips, and four backgrounds per class.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1] and gives class scores.
        clips: A folder of videos, sorted into folders that are named as classes; a list of files;
            or an array or list of clips `(T, H, W, C)` in [0, 1].
        labels: Names or numbers of classes: one for each clip, or by the name of a clip or folder
            below the folder. None takes the folders' names.
        out: Folder for pages, tables and scores; the same call resumes a stopped audit. None writes
            nothing.
        masks: Where the actors are: a folder of pictures or films of the clips' names, white on
            black; or `(T, H, W)` in [0, 1] for each clip. None finds what moves.
        source: Regular expression; what it matches in a clip's name (its first group, if any) names
            the film of the clip. None means that each file is a film.
        draws: Number of frozen frames, and of random orders.
        shown: Number of clips on the page for each change: those that lose the most.
        frames: Frames of clips that are read from files; None means what the network takes, or 16.
        size: Height and width of those; None means what the network takes, or 112.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.
        seed: Seed of the random orders and of the choice of backgrounds.
        note: A sentence at the top of the pages.
        verbose: As in Keras: "auto" or 1 shows progress with the time left, 0 nothing.

    Returns:
        Scores of all clips and changes, means with intervals, verdicts.

    Raises:
        ValueError: Invalid clips, labels or masks, a network without class scores, or a folder of
            something else.
        OSError: If files cannot be written.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.audit import audit
        >>> from c3dvis.motion import MovingEvidence
        >>> some = MovingEvidence(seed=1).batch(0, 2)
        >>> network = models.build("c3d-motion")
        >>> audited = audit(network, some.clips, some.labels, draws=1, verbose=0)
        >>> audited.summary("freeze").clips
        2
    """
    draws, batch_size = whole(draws, "draws", 1), whole(batch_size, "batch_size", 1)
    shown, seed = whole(shown, "shown"), whole(seed, "seed")
    network = one_input(network, scaled=preprocess is None)
    count = class_count(network)
    if count < 2:
        raise ValueError(
            "Expected a network that gives a score for each of two classes or more. "
            f"Received: one with output of shape {network.output_shape}."
        )
    names = names_of_classes(network)
    clips_of = clip_set(
        clips,
        labels,
        shape=clip_shape(network, frames=frames, size=size, default=_USUAL),
        class_names=names,
        class_count=count,
        masks=masks,
        source=source,
    )
    changed = ChangedClips(clips_of, draws=draws, seed=seed)
    scores = _Scores(network, changed, preprocess, batch_size)
    named = tuple(map(str, range(count) if names is None else names))
    if out is None:
        return _audited(scores, named, None, verbose)
    folder = Path(out)
    with output_folder.locked(folder, "audit"):
        result = _audited(scores, named, folder / _PARTS, verbose)
        report.write(folder, result, changed, shown=shown, note=note)
    return result


def _audited(scores: _Scores, names: tuple[str, ...], parts: Path | None, verbose) -> Audit:
    """Scores all clips; those of earlier runs are read from files."""
    of = scores.changed.clip_set
    key = None if parts is None else scores.key()
    count = len(of.names)
    progress = keras.utils.Progbar(count, verbose=int(bool(verbose)), unit_name="clip")
    rows: list[dict[str, Any]] = []
    totals: dict[str, NDArray[np.float64]] = {}
    for number, first in enumerate(range(0, count, _PART)):
        indices = range(first, min(first + _PART, count))
        path = None if parts is None else parts / f"{number:06}.json"
        part = None if path is None else _stored_part(path, key, len(indices), len(scores.labels))
        if part is not None:
            progress.add(len(indices))
        else:
            part = {"key": key, **_part(scores, indices, progress)}
            if path is not None:
                files.write_json(path, part)
        rows += part["clips"]
        for change, total in part["totals"].items():
            totals[change] = totals.get(change, 0) + np.array(total)
    kept = tuple(_clip_scores(of, i, row) for i, row in enumerate(rows) if "scores" in row)
    return Audit(
        network=scores.network.name,
        class_names=names,
        clips=kept,
        failed=tuple((of.names[i], row["error"]) for i, row in enumerate(rows) if "error" in row),
        elsewhere={
            change: _elsewhere(kept, change, dict(zip(scores.labels, total, strict=True)))
            for change, total in totals.items()
        },
    )


def _part(scores: _Scores, indices: Sequence[int], progress: Any) -> dict[str, Any]:
    """Scores of some clips, and sums of their probabilities of the audited classes."""
    rows: list[dict[str, Any]] = []
    totals: dict[str, NDArray[np.float64]] = {}
    for index in indices:
        row, probabilities = scores.of(index)
        rows.append(row)
        for change, values in probabilities.items():
            totals[change] = totals.get(change, 0) + values
        progress.add(1)
    return {"clips": rows, "totals": {change: list(total) for change, total in totals.items()}}


def _stored_part(path: Path, key: str | None, clips: int, labels: int) -> dict[str, Any] | None:
    """The part of an earlier run; None if it is missing, damaged or of another key."""
    part = files.read_json(path)
    try:
        rows, totals = stored.items(part["clips"]), stored.mapping(part["totals"])
        for row in map(stored.mapping, rows):
            if "error" in row:
                stored.text(row["error"])
                continue
            stored.text_or_none(row["no_actor"])
            for score in stored.mapping(row["scores"]).values():
                probability, logit, correct, predicted = score
                for value in (probability, logit, correct):
                    stored.number(value)
                stored.count(predicted)
        sizes = {len([stored.number(one) for one in total]) for total in totals.values()}
        is_whole = part["key"] == key and len(rows) == clips and sizes <= {labels}
    except (KeyError, TypeError, ValueError):
        return None
    return part if is_whole else None


def _elsewhere(
    clips: Sequence[ClipScores], change: str, total: Mapping[int, float]
) -> dict[int, float]:
    """Mean probability of each class for the clips of other classes, from sums over all clips."""
    shown = [clip for clip in clips if change in clip.scores]
    means = {}
    for label, everywhere in total.items():
        own = [clip.scores[change].probability for clip in shown if clip.label == label]
        if len(own) < len(shown):
            means[label] = float((everywhere - sum(own)) / (len(shown) - len(own)))
    return means


def _clip_scores(of: ClipSet, index: int, row: Mapping[str, Any]) -> ClipScores:
    return ClipScores(
        name=of.names[index],
        source=of.films[index],
        label=of.labels[index],
        scores={change: Score(*score) for change, score in row["scores"].items()},
        no_actor=row["no_actor"],
    )


class _Scores:
    """Scores clips one at a time, as values for JSON."""

    def __init__(self, network, changed: ChangedClips, preprocess, batch_size: int):
        self.network, self.changed, self.preprocess = network, changed, preprocess
        self.labels = sorted(set(changed.clip_set.labels))
        self._is_sigmoid = network_layers.output_activation(network) == "sigmoid"
        self._logits = UnitResponses(network, LOGITS, preprocess=preprocess, batch_size=batch_size)

    def key(self) -> str:
        """Hash of everything that determines the scores."""
        return identity.sha256(
            {
                "version": __version__,
                "weights": identity.weights_sha256(self.network),
                "architecture": identity.architecture_sha256(self.network),
                "clips": self.changed.clip_set.identity,
                "draws": self.changed.draws,
                "seed": self.changed.seed,
                "preprocess": self.preprocess,
            }
        )

    def of(self, index: int) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
        """One clip's scores by change, or why it can't be read; and probabilities of `labels`."""
        try:
            clip, actor, no_actor = self.changed.clip(index)
        except ValueError as error:
            return {"error": in_one_line(error)}, {}
        changes: list[str] = []

        def shown() -> Iterator[NDArray[np.float32]]:
            for change, version in self.changed.versions(index, clip, actor):
                changes.append(change)
                yield version

        logits = self._logits(shown()).astype(np.float64)
        if not np.isfinite(logits).all():
            raise ValueError(
                "Expected finite class scores. Received: NaN or infinite ones for "
                f"{self.changed.clip_set.names[index]!r}."
            )
        label = self.changed.clip_set.labels[index]
        by_change = {c: logits[[c == one for one in changes]] for c in dict.fromkeys(changes)}
        frozen = by_change["freeze"]
        surest = self._probabilities(frozen).max(axis=1).argmax()
        by_change[ONE_FRAME] = frozen[[surest]]
        means = {c: self._probabilities(rows).mean(axis=0) for c, rows in by_change.items()}
        scores = {c: _score(rows, means[c], label) for c, rows in by_change.items()}
        probabilities = {c: mean[self.labels] for c, mean in means.items()}
        return {"no_actor": no_actor, "scores": scores}, probabilities

    def _probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._is_sigmoid:
            return 0.5 * (1 + np.tanh(logits / 2))
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)


def _score(logits: NDArray[np.float64], mean: NDArray[np.float64], label: int) -> Score:
    """The score of the draws of one change: logits `(draws, classes)`, mean probabilities."""
    best = logits.argmax(axis=1)
    return Score(
        probability=float(mean[label]),
        logit=float(logits[:, label].mean()),
        correct=float((best == label).mean()),
        predicted=int(np.bincount(best).argmax()),
    )
