"""Drops of networks' scores when the frames that decide are frozen or reversed, as a table."""

from __future__ import annotations

import html
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import objectives
from c3dvis.attribution import temporal
from c3dvis.attribution.explain import attribute
from c3dvis.attribution.method_names import method_name
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.attribution.temporal import page
from c3dvis.objectives.terms import names_of_classes


@dataclass(frozen=True)
class Row:
    """One clip and one network; scores are probabilities after the softmax.

    Attributes:
        clip: Name of the clip.
        network: Name of the network.
        predicted: P, the predicted class, which the mask explains.
        original: OS, score of the predicted class for the clip.
        frozen: FS, its score for the clip frozen under the mask.
        reversed: RS, its score for the clip reversed under the mask.
        correct: CS, score of the true class if another is predicted; else None.
        frames: The binary mask, one bool for each frame.
    """

    clip: str
    network: str
    predicted: str
    original: float
    frozen: float
    reversed: float
    correct: float | None
    frames: tuple[bool, ...]

    @property
    def freeze_drop(self) -> float:
        """Drop of the score by freezing, relative to the original."""
        return 1 - self.frozen / self.original

    @property
    def reverse_drop(self) -> float:
        """Drop of the score by reversal, relative to the original."""
        return 1 - self.reversed / self.original


@dataclass(frozen=True)
class Summary:
    """One network over all clips.

    Attributes:
        network: Its name.
        original, frozen, reversed: Means of the scores OS, FS and RS.
        freeze_drop, reverse_drop: Medians of the relative drops.
        frames: Mean number of frames in the mask.
    """

    network: str
    original: float
    frozen: float
    reversed: float
    freeze_drop: float
    reverse_drop: float
    frames: float


@dataclass(frozen=True)
class TemporalReport:
    """The rows of a `temporal_report`; `temporal.page` renders them.

    Attributes:
        rows: One `Row` for each clip and network: all networks of the first clip, then of the next.
        method: The method that found the masks.
    """

    rows: tuple[Row, ...]
    method: str

    def __repr__(self) -> str:
        return f"TemporalReport({self.method}: {len(self.rows)} rows, {', '.join(self.networks)})"

    def _repr_html_(self) -> str:
        height = 160 + 30 * len(self.rows)
        style = f"width: 100%; height: {min(height, 800)}px; border: 0"
        return f'<iframe style="{style}" srcdoc="{html.escape(page.to_html(self))}"></iframe>'

    @property
    def networks(self) -> list[str]:
        """Names of the networks, in order."""
        return list(dict.fromkeys(row.network for row in self.rows))

    def summary(self) -> list[Summary]:
        """One `Summary` for each network."""
        return [
            _summary([row for row in self.rows if row.network == name]) for name in self.networks
        ]

    def to_frame(self):
        """The rows as a pandas data frame, with a column for each attribute and drop.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise ImportError(
                "Expected pandas to be installed for a data frame (pip install pandas); "
                "`rows` holds the same without it."
            ) from None
        return pandas.DataFrame(
            [
                {**asdict(row), "freeze_drop": row.freeze_drop, "reverse_drop": row.reverse_drop}
                for row in self.rows
            ]
        )


def temporal_report(
    networks: Mapping[str, keras.Model],
    clips: ArrayLike,
    labels: Sequence[int | str] | None = None,
    *,
    names: Sequence[str] | None = None,
    method: str = "freeze",
    preprocess: Mapping[str, Callable] | None = None,
    batch_size: int = 8,
    **options: Any,
) -> TemporalReport:
    """Drops of networks' scores when the frames that decide are frozen, and when they are reversed.

    For each clip and network, the method finds a mask of frames for the predicted class. The score
    of this class is then computed for the original clip (OS), frozen under the mask (FS) and
    reversed under it (RS), the mask binarized at 0.5. Reversal lowers the score of a network that
    uses temporal order, and hardly that of one that uses appearance.

    Args:
        networks: Networks that take these clips, by name.
        clips: `(N, T, H, W, C)` in [0, 1].
        labels: The true classes of the clips, as indices or names; None if unknown.
        names: Names of the clips; None numbers them from 0.
        method: One whose attributions have a `frame_mask`: "freeze", "reverse" or "window".
        preprocess: For networks by name, a function that turns clips in [0, 1] into its input.
        batch_size: Maximum number of clips per batch.
        **options: Options of the method.

    Returns:
        A `TemporalReport`; `temporal.page.to_markdown` and `to_html` render it.

    Raises:
        ValueError: No networks or clips, labels or names of another number, a clip that a network
            doesn't take, a method without a mask of frames.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution.temporal.report import temporal_report
        >>> from c3dvis.motion import MovingEvidence
        >>> some = MovingEvidence(seed=1).batch(0, 1)
        >>> networks = {"C3D": models.build("c3d-motion")}
        >>> report = temporal_report(networks, some.clips, some.labels, method="window", stride=4)
        >>> report.rows[0].predicted, report.rows[0].correct
        ('moving left', None)

    Mänttäri et al. 2020, "Interpreting Video Features: a Comparison of 3D Convolutional Networks
    and Convolutional LSTM Networks", https://arxiv.org/abs/2002.00367, which shows these columns.
    """
    array = np.asarray(clips, np.float32)
    if not isinstance(networks, Mapping) or not networks:
        raise ValueError(
            "Expected one network or more by name, such as {'C3D': network}. "
            f"Received: {'none' if networks == {} else type(networks).__name__}."
        )
    if array.ndim != 5 or not len(array):
        raise ValueError(f"Expected clips (N, T, H, W, C). Received: shape {array.shape}.")
    for what, several in (("labels", labels), ("names", names)):
        if several is not None and np.shape(several) != (len(array),):
            received = f"one of {len(several)}" if np.ndim(several) else repr(several)
            raise ValueError(f"Expected a list of {len(array)} {what}. Received: {received}.")
    unknown = set(preprocess or ()) - set(networks)
    if unknown:
        raise ValueError(f"Expected preprocess for {list(networks)}. Received: {sorted(unknown)}.")
    clip_names = list(map(str, range(len(array)) if names is None else names))
    true = [None] * len(array) if labels is None else labels
    columns = []
    for name, network in networks.items():
        column = _Column(name, network, (preprocess or {}).get(name), batch_size)
        columns.append(
            [
                column.row(clip_name, clip, label, method, options)
                for clip_name, clip, label in zip(clip_names, array, true, strict=True)
            ]
        )
    rows = tuple(row for of_clip in zip(*columns, strict=True) for row in of_clip)
    return TemporalReport(rows, method_name(method))


@dataclass(frozen=True)
class _Column:
    """One network of a report."""

    name: str
    network: keras.Model
    preprocess: Callable | None
    batch_size: int

    def row(self, name: str, clip: NDArray[np.float32], label, method: str, options) -> Row:
        attribution = attribute(
            self.network,
            clip,
            method=method,
            preprocess=self.preprocess,
            batch_size=self.batch_size,
            **options,
        )
        if not isinstance(attribution, Attribution) or attribution.frame_mask is None:
            raise ValueError(
                "Expected a method that finds a mask of frames: 'freeze', 'reverse' or 'window'. "
                f"Received: {method!r}."
            )
        frames = temporal.binarize(attribution.frame_mask)
        masks = frames[None].astype(np.float32)
        perturbed = [temporal.perturb(clip, masks, by)[0] for by in ("freeze", "reverse")]
        scorer = self._scorer(attribution.objective)
        original, frozen, reversed_ = scorer.probabilities(np.stack([clip, *perturbed])).tolist()
        correct = None
        if label is not None:
            own = self._scorer(objectives.logit(label if isinstance(label, str) else int(label)))
            if own.unit_indices[0, 0] != scorer.unit_indices[0, 0]:
                correct = float(own.probabilities(clip[None])[0])
        return Row(
            clip=name,
            network=self.name,
            predicted=self._class_name(scorer),
            original=original,
            frozen=frozen,
            reversed=reversed_,
            correct=correct,
            frames=tuple(map(bool, frames)),
        )

    def _scorer(self, objective: objectives.Objective) -> Scorer:
        return Scorer(
            self.network, objective, preprocess=self.preprocess, batch_size=self.batch_size
        )

    def _class_name(self, scorer: Scorer) -> str:
        index, names = int(scorer.unit_indices[0, 0]), names_of_classes(self.network)
        return str(index) if names is None else str(names[index])


def _summary(rows: Sequence[Row]) -> Summary:
    def mean(values) -> float:
        return float(np.mean(list(values)))

    return Summary(
        network=rows[0].network,
        original=mean(row.original for row in rows),
        frozen=mean(row.frozen for row in rows),
        reversed=mean(row.reversed for row in rows),
        freeze_drop=float(np.median([row.freeze_drop for row in rows])),
        reverse_drop=float(np.median([row.reverse_drop for row in rows])),
        frames=mean(sum(row.frames) for row in rows),
    )
