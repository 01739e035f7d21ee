"""How many passes methods of attribution need to a stated error, beside their fixed defaults.

python benchmarks/attribution_passes.py [--networks c3d-motion i3d-motion]
    [--methods smooth_grad rise occlusion score_cam] [--clips 8] [--answers FILE]

Held-out clips of `MovingEvidence`, and the logit of the right class. SmoothGrad and RISE: the error
that is stated of the fixed default, and the passes until the same error is stated with it as
tolerance. Occlusion and Score-CAM, whose fixed default has no error: the passes with tolerances of
0.2 and 0.1, and the error against that default. Counts of passes, which no other work on the
machine changes. What has been measured is kept in --answers, a line of JSON each, and not repeated.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

from attribution_real import count_clips_shown

from c3dvis import models, objectives
from c3dvis.attribution import attribute
from c3dvis.attribution.convergence import relative_error
from c3dvis.bench.evidence import known_clip
from c3dvis.motion import HELD_OUT_SEED, MovingEvidence
from c3dvis.text import table

SAMPLED = ("smooth_grad", "rise")
EXACT = ("occlusion", "score_cam")
TOLERANCES = (0.2, 0.1)


def measure(network, method: str, index: int, passes: Callable[[], int]) -> list[dict]:
    """Rows of one method on one held-out clip."""
    known = known_clip(MovingEvidence(seed=HELD_OUT_SEED), index)

    def run(**options):
        before = passes()
        objective = objectives.logit(known.label)
        attribution = attribute(network, known.clip, objective, method=method, **options)
        return attribution, passes() - before

    fixed, count = run()
    tolerances = [fixed.settings["standard_error"]] if method in SAMPLED else TOLERANCES
    rows = []
    for tolerance in tolerances:
        until, fewer = run(tolerance=tolerance)
        settings = until.settings
        estimate = settings.get("standard_error", settings.get("error_bound"))
        error = relative_error(until.heatmap - fixed.heatmap, fixed.heatmap)
        row = {"method": method, "clip": index, "fixed": count, "passes": fewer}
        rows.append(row | {"tolerance": tolerance, "stated": estimate, "error": error})
    return rows


_HEADS = (
    *("network", "method", "tolerance", "clips", "passes, fixed", "passes", "median share"),
    *("stated error", "error against the fixed"),
)


def page(rows: list[dict]) -> str:
    lines = []
    kinds = dict.fromkeys((r["network"], r["method"], _tolerance(r)) for r in rows)
    for network, method, tolerance in kinds:
        kind = (network, method, tolerance)
        some = [r for r in rows if (r["network"], r["method"], _tolerance(r)) == kind]

        def median(of, some=some):
            return statistics.median(of(row) for row in some)

        error = "" if method in SAMPLED else f"{median(lambda r: r['error']):.2f}"
        cells = [network, method, tolerance, str(len(some))]
        cells += [f"{median(lambda r, n=n: r[n]):.0f}" for n in ("fixed", "passes")]
        cells += [f"{median(lambda r: r['passes'] / r['fixed']):.2f}"]
        cells += [f"{median(lambda r: r['stated']):.2f}", error]
        lines.append(cells)
    return table(_HEADS, lines)


def _tolerance(row: dict) -> str:
    return "that of the default" if row["method"] in SAMPLED else f"{row['tolerance']:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["c3d-motion", "i3d-motion"])
    parser.add_argument("--methods", nargs="+", choices=SAMPLED + EXACT, default=SAMPLED + EXACT)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--answers", type=Path, help="what has been measured, a line of JSON each")
    args = parser.parse_args()
    rows, passes = [], count_clips_shown()
    if args.answers is not None and args.answers.exists():
        rows = [json.loads(line) for line in args.answers.read_text().splitlines()]
    done = {(row["network"], row["method"], row["clip"]) for row in rows}
    for index in range(args.clips):
        for name in args.networks:
            for method in args.methods:
                if (name, method, index) in done:
                    continue
                measured = measure(models.build(name), method, index, passes)
                new = [{"network": name, **row} for row in measured]
                rows += new
                if args.answers is not None:
                    with args.answers.open("a") as file:
                        file.writelines(json.dumps(row) + "\n" for row in new)
    print(page(rows))


if __name__ == "__main__":
    main()
