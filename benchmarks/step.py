"""How much faster STEP is than the published search, and whether it finds as much.

python benchmarks/step.py [--rounds N] [--iterations N] [--full CLIPS] [--skip-large]
                          [--out docs/step.md]

Both take turns in one process. The published search (step_reference.py) is timed by the median of
a few iterations, each a compiled function, and its 2000 iterations are extrapolated from that,
without its start and compilation. STEP is timed as a user calls it, from clip to answer: the
first call, which compiles, and those after it. `--full` also runs all 2000 iterations on some clips
of the small network and compares the rewards and overlaps of both.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import step_reference
from keras import ops
from machine import add_out, state, write_page

from c3dvis import autodiff, models, objectives
from c3dvis.attribution.masks import extremal, perturbations
from c3dvis.attribution.masks.generators import MaskGenerator
from c3dvis.attribution.methods import step
from c3dvis.attribution.scorer import Scorer
from c3dvis.motion import HELD_OUT_SEED, MovingEvidence

# Classes whose evidence is gone when a clip of theirs is blurred, of every tenth clip.
CLASSES = (0, 1, 2, 3, 6, 7, 8, 9)
# The first clips are those on which the search was tuned.
_FIRST_CLIP = 100


@dataclass
class Case:
    """One network, and what was measured on it.

    Attributes:
        name: For the table.
        network: Takes clips `(N, T, H, W, 3)`.
        areas: Of the masks, in one batch.
        reference: Seconds of single iterations of the published search.
        first: Seconds of STEP's first call.
        fast: Seconds of each of its later calls, and the steps that it took.
        longest: Seconds of a call that takes all steps.
    """

    name: str
    network: keras.Model
    areas: tuple[float, ...]
    reference: list[float] = field(default_factory=list)
    first: float = 0.0
    fast: list[tuple[float, int]] = field(default_factory=list)
    longest: list[float] = field(default_factory=list)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """`(T, H, W, C)`."""
        return tuple(self.network.inputs[0].shape[1:])


@dataclass(frozen=True)
class Quality:
    """The result of one search on one clip.

    Attributes:
        rewards: Log p with only each area's mask kept.
        at_area: The same with masks of zeros and ones of exactly the wanted area.
        overlap: Intersection over union of the evidence and as many of the highest pixels.
    """

    rewards: np.ndarray
    at_area: np.ndarray
    overlap: float


def clips_of(case: Case) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Clips, their classes and where their evidence is, without an end."""
    frames, height, width, _ = case.clip_shape
    world = MovingEvidence(seed=HELD_OUT_SEED, frames=frames, size=(height, width))
    index = _FIRST_CLIP
    while True:
        if index % 10 in CLASSES:
            batch = world.batch(index, 1)
            yield batch.clips[0], int(batch.labels[0]), batch.masks[0]
        index += 1


def published(scorer: Scorer, clip: np.ndarray, areas: Sequence[float]):
    """One iteration of the published search, `(grid, iteration)` to energies and gradient."""
    levels = ops.convert_to_tensor(perturbations.pyramid(clip))
    size = clip.shape[1:3]
    axis = MaskGenerator(size).axes[0]
    weights = step_reference.kernel(size, axis.step, axis.sigma)

    def energies(grid, iteration):
        return step_reference.energies(
            scorer.log_probabilities,
            levels,
            grid,
            areas,
            iteration,
            variant="preserve",
            step=axis.step,
            sigma=axis.sigma,
            weights=weights,
        )

    return autodiff.value_and_gradient(energies, variables=scorer.network.variables)


def ones(clip: np.ndarray, areas: Sequence[float]) -> np.ndarray:
    """The grid at which the published search begins."""
    return np.ones((len(areas), len(clip), *MaskGenerator(clip.shape[1:3]).grid), np.float32)


def time_reference(case: Case, clip: np.ndarray, label: int, iterations: int) -> None:
    """Adds the seconds of some iterations, after two that compile and warm up."""
    step_of = published(Scorer(case.network, objectives.logit(label)), clip, case.areas)
    grid = ones(clip, case.areas)
    for iteration in range(iterations + 2):
        began = time.perf_counter()
        grid = step_reference.search(step_of, grid, 1)
        if iteration > 1:
            case.reference.append(time.perf_counter() - began)


def time_fast(case: Case, clip: np.ndarray, label: int, steps: int) -> None:
    """Adds the seconds of one call, and of one that would take all its steps."""

    def call(steps: int) -> tuple[float, int]:
        scorer = Scorer(case.network, objectives.logit(label))
        began = time.perf_counter()
        attribution = step.attribute(scorer, clip, areas=case.areas, steps=steps)
        return time.perf_counter() - began, attribution.settings["steps"]

    if not case.first:
        case.first, _ = call(steps)
    case.fast.append(call(steps))
    # Before twenty steps no plateau can be seen: two lengths tell what a step costs.
    few, more = max(1, steps // 6), max(2, steps // 3 - 1)
    short, long = call(few)[0], call(more)[0]
    case.longest.append(short + (steps - few) * (long - short) / (more - few))


def quality(scorer: Scorer, clip, masks, padded, areas, evidence) -> Quality:
    """Judges masks `(areas, T, H, W)`; `padded` are the same with their margins."""
    levels = ops.convert_to_tensor(perturbations.pyramid(clip))

    def rewards(shown):
        kept = step_reference.perturbed(levels, ops.convert_to_tensor(shown))
        return np.asarray(scorer.log_probabilities(kept)[0])

    counts = [round(area * padded[0].size) for area in areas]
    hard = [mask >= np.sort(mask, axis=None)[-n] for mask, n in zip(masks, counts, strict=True)]
    heatmap = extremal.combine_masks(masks, MaskGenerator(clip.shape[1:3]).sigma)
    highest = heatmap >= np.sort(heatmap, axis=None)[-evidence.sum()]
    return Quality(
        rewards=rewards(masks),
        at_area=rewards(np.stack(hard).astype(np.float32)),
        overlap=float((highest & evidence).sum() / (highest | evidence).sum()),
    )


def compare(case: Case, clip, label: int, evidence, iterations: int) -> tuple[Quality, Quality]:
    """The published search at full length, and the fast one, on one clip."""
    scorer = Scorer(case.network, objectives.logit(label))
    step_of = published(scorer, clip, case.areas)
    grid = step_reference.search(step_of, ones(clip, case.areas), iterations)
    size, axis = clip.shape[1:3], MaskGenerator(clip.shape[1:3]).axes[0]
    weights = step_reference.kernel(size, axis.step, axis.sigma)
    flat = grid.reshape(-1, *grid.shape[2:])
    padded = np.asarray(step_reference.masks(flat, size, axis.step, axis.sigma, weights))
    padded = padded.reshape(*grid.shape[:2], *padded.shape[1:])
    inside = slice(axis.sigma, axis.sigma + size[0]), slice(axis.sigma, axis.sigma + size[1])
    slow = quality(scorer, clip, padded[..., *inside], padded, case.areas, evidence)
    search = extremal.mask_search(scorer, clip.shape, step.ENERGY, areas=case.areas)
    search.load(perturbations.pyramid(clip))
    masks, _ = extremal.find_masks(
        search, scorer.unit_indices, steps=extremal.FAST_STEPS, reference=False
    )
    wide = ops.convert_to_numpy(search.masks(search.grid))
    return slow, quality(scorer, clip, masks, wide, case.areas, evidence)


def table(cases: Sequence[Case]) -> list[str]:
    """The times as Markdown."""
    lines = [
        "| network | areas | published, an iteration | its 2000 | STEP, first call | later calls |"
        " steps | with all steps | times faster | with all steps |",
        "| --- |" + " ---: |" * 9,
    ]
    for case in cases:
        whole = step_reference.ITERATIONS * statistics.median(case.reference)
        later = statistics.median(seconds for seconds, _ in case.fast)
        steps = statistics.median(taken for _, taken in case.fast)
        longest = statistics.median(case.longest)
        lines.append(
            f"| {case.name} | {len(case.areas)} "
            f"| {1000 * statistics.median(case.reference):.0f} ms | {whole:.0f} s "
            f"| {case.first:.1f} s | {later:.2f} s | {steps:.0f} | {longest:.2f} s "
            f"| {whole / later:.0f} | {whole / longest:.0f} |"
        )
    return lines


def comparison(pairs: Sequence[tuple[Quality, Quality]], areas, iterations: int) -> list[str]:
    """Rewards and overlaps as Markdown, one line a clip and search."""
    heads = [f"{kind} {area:g}" for kind in ("reward at", "at exactly") for area in areas]
    lines = [
        f"| clip | search | {' | '.join(heads)} | overlap |",
        "| ---: | --- |" + " ---: |" * (len(heads) + 1),
    ]
    for index, pair in enumerate(pairs):
        for name, result in zip((f"published, {iterations}", "STEP"), pair, strict=True):
            numbers = [*result.rewards, *result.at_area, result.overlap]
            lines.append(f"| {index} | {name} | {' | '.join(f'{n:.3f}' for n in numbers)} |")
    return lines


def build_cases(areas: tuple[float, ...], skip_large: bool) -> list[Case]:
    """The trained small C3D, and a whole R(2+1)D-18 with random weights."""
    cases = [Case("C3D, an eighth of its channels, 16x64x64", models.build("c3d-motion"), areas)]
    if not skip_large:
        keras.utils.set_random_seed(0)
        large = models.build("r2plus1d")
        cases.append(Case("R(2+1)D-18, random weights, 16x112x112", large, areas))
    return cases


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints, and writes where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--areas", type=float, nargs="+", default=[0.1])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each of the two")
    parser.add_argument("--iterations", type=int, default=10, help="published ones timed a turn")
    parser.add_argument("--steps", type=int, default=extremal.FAST_STEPS, help="most steps of STEP")
    parser.add_argument("--full", type=int, default=0, help="clips searched at full length")
    parser.add_argument("--full-areas", type=float, nargs="+", default=list(extremal.AREAS))
    parser.add_argument("--full-iterations", type=int, default=step_reference.ITERATIONS)
    parser.add_argument("--skip-large", action="store_true", help="leave out R(2+1)D-18")
    add_out(parser)
    options = parser.parse_args(arguments)
    before = state()
    cases = build_cases(tuple(options.areas), options.skip_large)
    supplies = [clips_of(case) for case in cases]
    for _ in range(options.rounds):
        for case, supply in zip(cases, supplies, strict=True):
            clip, label, _ = next(supply)
            time_reference(case, clip, label, options.iterations)
            time_fast(case, clip, label, options.steps)
    lines = ["# STEP beside the published search", "", *before, "", *table(cases)]
    if options.full:
        small = Case(cases[0].name, cases[0].network, tuple(options.full_areas))
        pairs = [
            compare(small, clip, label, evidence, options.full_iterations)
            for _, (clip, label, evidence) in zip(
                range(options.full), clips_of(small), strict=False
            )
        ]
        lines += ["", *comparison(pairs, small.areas, options.full_iterations)]
    write_page("\n".join(lines) + "\n", options.out)


if __name__ == "__main__":
    main()
