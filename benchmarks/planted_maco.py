"""Why MaCo recovers no planted unit: how near its clips can come to the planted optima at all.

python benchmarks/planted_maco.py [--kinds slow order ...] [--steps N] [--own N] [--seed N]

Clips are synthesized and judged as in planted.py, with the magnitude of natural films held and, for
some units of each kind, with that of the unit's planted optimum. Beside the overlap that a clip has
stands the highest that it could have if, at each frequency in space, its power were shared out in
time in the best way: how much there is at each is held.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import measures
import numpy as np
from planted_judge import OVERLAP, Recovery, judge
from planted_networks import KINDS, Planted, Unit, all_networks

from c3dvis.maximize import Maximizer, parametrizations, scores

_TRADES = np.geomspace(1e-3, 1e3, 61)


@dataclass(frozen=True)
class Result:
    """A clip that was judged, and the highest overlap that its magnitude lets it have."""

    recovery: Recovery
    most: float


def most_overlap(held: np.ndarray, wanted: np.ndarray) -> float:
    """The highest cosine to `wanted` of a spectrum whose sums over time are `held`.

    For each frequency in space, the shares in time that are wanted, scaled and moved until they
    add up to what is held, are the best for one trade between product and length; all are tried.

    Args:
        held: Power for each frequency in space, `(H, W)`.
        wanted: Power spectrum `(T, H, W)`.
    """
    columns = wanted.reshape(len(wanted), -1)
    best = 0.0
    for trade in _TRADES / wanted.max() * held.max():
        shares = _moved(trade * columns, held.ravel())
        best = max(best, measures.overlap(shares, columns))
    return best


def _moved(columns: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Each column moved by a number, and cut off at 0, so that it adds up to its total."""
    falling = -np.sort(-columns, axis=0)
    counts = np.arange(1, len(columns) + 1)[:, None]
    by = (np.cumsum(falling, axis=0) - totals) / counts
    kept = np.sum(falling > by, axis=0) - 1
    return np.maximum(columns - by[kept, np.arange(len(totals))], 0)


def make(planted: Planted, units: Sequence[int], steps: int, seed: int, **options) -> list[Result]:
    """Clips of some units by MaCo with some options."""
    objective = planted.objective[list(units)]
    maximizer = Maximizer(
        planted.network, objective, parametrization=parametrizations.MaCo(**options)
    )
    some = [planted.units[index] for index in units]
    best = np.diag(scores(planted.network, objective, np.stack([u.best for u in some])))
    clips = maximizer.make(steps=steps, seed=seed)
    return [
        _judged(unit, one.clip, one.score / float(top))
        for unit, one, top in zip(some, clips, best, strict=True)
    ]


def _judged(unit: Unit, clip: np.ndarray, score: float) -> Result:
    held, wanted = (measures.spectrum(one, unit.window) for one in (clip, unit.best))
    return Result(judge(unit, clip, score), most_overlap(held.sum(axis=0), wanted))


def row(label: str, results: Sequence[Result]) -> str:
    """Medians over units as Markdown, and the highest."""
    recovered = sum(not one.recovery.misses for one in results)
    could = sum(one.most >= OVERLAP for one in results)
    overlaps, most = [one.recovery.overlap for one in results], [one.most for one in results]
    score = statistics.median(one.recovery.score for one in results)
    return (
        f"| {label} | {recovered} of {len(results)} | {statistics.median(overlaps):.2f} "
        f"({max(overlaps):.2f}) | {statistics.median(most):.2f} ({max(most):.2f}) "
        f"| {could} of {len(results)} | {score:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, default=128, help="of the optimizer")
    parser.add_argument("--own", type=int, default=2, help="units a kind with their own magnitude")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows, everything = [], []
    for planted in all_networks():
        kind = planted.units[0].kind
        if kind not in args.kinds:
            continue
        natural = make(planted, range(len(planted.units)), args.steps, args.seed)
        own: list[Result] = []
        for index in range(args.own):
            magnitude = parametrizations.magnitude_of(planted.units[index].best[None])
            own += make(planted, [index], args.steps, args.seed, magnitude=magnitude)
        everything.append((natural, own))
        rows += [row(f"{kind}, natural films", natural), row(f"{kind}, its optimum", own)]
        print(*rows[-2:], sep="\n", flush=True)
    labels = ("natural films", "its optimum")
    for label, group in zip(labels, zip(*everything, strict=True), strict=True):
        rows.append(row(f"all, {label}", sum(group, [])))
    head = "| magnitude held | recovered | overlap | at most | of 0.9 or more | score |"
    print("", head, "|---" * 6 + "|", *rows, sep="\n")


if __name__ == "__main__":
    main()
