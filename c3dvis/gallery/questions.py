"""A forced-choice test for people: which of two real clips activates a gallery's unit more?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c3dvis.gallery import real, rebuild
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import CLASSES, Unit, units_of
from c3dvis.gallery.record import Record
from c3dvis.gallery.tile import Tile
from c3dvis.objectives import LOGITS
from c3dvis.responses.mis_tasks import Task, TaskSampler
from c3dvis.responses.sweep_result import Sweep

# Explanations of a unit: its synthetic clip, or its strongest real clips.
EXPLANATIONS = ("synthetic", "real")
# Share of the clips that count as strongest, and as weakest, as in `responses.video_mis`.
_SHARE = 0.1
# Maximum number of real clips that explain a unit.
_REFERENCES = 4
# Minimum number of real clips.
_FEWEST = 20


@dataclass(frozen=True)
class Question:
    """One question: two clips, and what explains the unit.

    Attributes:
        unit: Unit of the gallery.
        explanation: One of `EXPLANATIONS`.
        clips: Names of the two clips, from left to right.
        right: Which of them excites the unit more, 0 or 1.
        scores: The unit's scores for them.
        references: Names of the real clips that explain the unit, none from the films of the
            question; empty where the synthetic clip does.
    """

    unit: Unit
    explanation: str
    clips: tuple[str, str]
    right: int
    scores: tuple[float, float]
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Questions:
    """The questions of a test, in the order in which they are asked.

    Attributes:
        manifest: Manifest of the gallery.
        records: Records of its units.
        questions: The questions.
        seed: Seed of the draw.
        count: Number of real clips to draw from.
    """

    manifest: Manifest
    records: Mapping[Unit, Record]
    questions: tuple[Question, ...]
    seed: int
    count: int

    def __repr__(self) -> str:
        return f"Questions({len(self.questions)} of {len(self.units)} units, seed {self.seed})"

    @property
    def units(self) -> list[Unit]:
        """The units of the questions."""
        return list(dict.fromkeys(question.unit for question in self.questions))


def draw(gallery: str | Path, *, tasks: int = 40, seed: int = 0) -> Questions:
    """Draws questions about the units of a gallery that was given real clips.

    One of the two clips is among the tenth that excites the unit most, the other among the tenth
    that does so least, as in `responses.video_mis`. Half of the questions are explained by
    synthetic clips and half by real ones; in half of either the right clip is on the left; all
    units are asked about equally often, or some of them once where there are more units than that.

    Args:
        gallery: Folder of the gallery.
        tasks: Number of questions; an even number.
        seed: Seed of the draw and of the order.

    Raises:
        ValueError: No gallery, one without real clips or with fewer than 20, or an odd number.
    """
    if tasks < 2 or tasks % 2:
        raise ValueError(f"Expected an even number of questions. Received: {tasks}.")
    manifest, records = rebuild.read(Path(gallery))
    scores = _scores(Path(gallery), manifest, records)
    rng = np.random.default_rng(seed)
    units = [list(scores)[i] for i in rng.permutation(len(scores))]
    asked = [units[i % len(units)] for i in range(tasks // 2)]
    questions = []
    for number, unit in enumerate(dict.fromkeys(asked)):
        unit_rng = np.random.default_rng([seed, number])
        questions += _ask(unit, *scores[unit], asked.count(unit), unit_rng)
    return Questions(
        manifest,
        records,
        tuple(_ordered(questions, rng)),
        seed,
        max(len(sweep.names) for sweep, _ in scores.values()),
    )


def _scores(
    gallery: Path, manifest: Manifest, records: Mapping[Unit, Record]
) -> Mapping[Unit, tuple[Sweep, NDArray[np.float64]]]:
    """Sweep and scores `(N,)` of the units with a synthetic clip that do not score all alike."""
    sweeps = real.sweeps(gallery)
    if not sweeps:
        raise ValueError(
            f"Expected a gallery that was given real clips, with --real. Received: {gallery}."
        )
    scored = {}
    for unit in units_of(manifest.sections):
        layer = LOGITS if unit.layer == CLASSES else unit.layer
        swept = next((sweep for sweep in sweeps if layer in sweep.layers), None)
        if swept is not None and Tile(unit, records.get(unit)).strip:
            scored[unit] = (swept, swept[layer].scores[:, unit.channel].astype(np.float64))
    most = max((len(sweep.names) for sweep, _ in scored.values()), default=0)
    if most < _FEWEST:
        raise ValueError(f"Expected {_FEWEST} real clips or more. Received: {most}.")
    selective = {unit: (s, x) for unit, (s, x) in scored.items() if _is_selective(x)}
    if not selective:
        raise ValueError(
            "Expected a unit that some real clips excite more than others. Received: none."
        )
    return selective


def _is_selective(scores: NDArray[np.floating]) -> bool:
    strong = int(_SHARE * len(scores))
    ranked = np.sort(scores)
    return strong >= 2 and ranked[-strong] > ranked[strong - 1]


def _ask(
    unit: Unit,
    sweep: Sweep,
    scores: NDArray[np.floating],
    count: int,
    rng: np.random.Generator,
) -> list[Question]:
    """`count` questions about a unit with each explanation."""
    strong = int(_SHARE * len(scores))
    films = np.unique(sweep.sources, return_inverse=True)[1]
    sampler = TaskSampler(strong, min(_REFERENCES, strong - 1), films, rng)
    kinds = EXPLANATIONS * count
    tasks = sampler.tasks(scores, len(kinds))
    pairs = zip(kinds, tasks, strict=True)
    return [_question(unit, kind, task, scores, sweep) for kind, task in pairs]


def _question(
    unit: Unit, kind: str, task: Task, scores: NDArray[np.floating], sweep: Sweep
) -> Question:
    """The question of a task, with the right clip on the left."""
    left, right = (int(row) for row in task.pair)
    references = task.strongest if kind == "real" else ()
    best_first = sorted((int(row) for row in references), key=lambda row: -scores[row])
    return Question(
        unit,
        kind,
        (sweep.names[left], sweep.names[right]),
        right=0,
        scores=(float(scores[left]), float(scores[right])),
        references=tuple(sweep.names[row] for row in best_first),
    )


def _ordered(questions: Sequence[Question], rng: np.random.Generator) -> list[Question]:
    """In a random order, with half of each explanation's right clips moved to the right."""
    flipped = []
    for kind in EXPLANATIONS:
        own = [question for question in questions if question.explanation == kind]
        for place, i in enumerate(rng.permutation(len(own))):
            flipped.append(_flipped(own[i]) if place % 2 else own[i])
    return [flipped[i] for i in rng.permutation(len(flipped))]


def _flipped(question: Question) -> Question:
    return replace(
        question,
        clips=(question.clips[1], question.clips[0]),
        right=1 - question.right,
        scores=(question.scores[1], question.scores[0]),
    )
