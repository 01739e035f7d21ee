"""Whether synthetic clips show what a unit prefers, where that is known in advance.

python benchmarks/planted.py [--parametrizations fourier pixels ...] [--kinds slow order ...]
                             [--steps N] [--seed N] [--out docs/planted.md]
"""

import argparse
import sys
from collections.abc import Sequence

import planted_report
import planted_runs
from machine import add_out, write_page
from planted_networks import FRAMES, KINDS, SIZE, all_networks

from c3dvis.maximize import parametrizations

# Those that the targets are for; other settings are tried for them alone.
_MENDED = ("fourier", "pixels")


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    networks = [n for n in all_networks() if n.units[0].kind in args.kinds]
    options = {"steps": args.steps, "seed": args.seed}
    recoveries = planted_runs.controls(networks, seed=args.seed)
    for label, parametrization in planted_runs.variants(args.parametrizations):
        recoveries[label] = []
        for planted in networks:
            of_kind = planted_runs.recover(planted, parametrization=parametrization, **options)
            recoveries[label] += of_kind
            recovered = sum(not one.misses for one in of_kind)
            print(
                f"{label}: {planted.units[0].kind}: {recovered} of {len(of_kind)}", file=sys.stderr
            )
    mended = [name for name in args.parametrizations if name in _MENDED]
    settings = {
        "options": " ".join(["", *(sys.argv[1:] if arguments is None else arguments)]),
        "frames": FRAMES,
        "size": SIZE,
    }
    text = planted_report.page(
        recoveries,
        knob=planted_runs.turn_knob(networks, **options),
        others=planted_runs.try_other_settings(mended, networks, **options),
        settings=settings,
    )
    write_page(text, args.out)


def _arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = parametrizations.names()
    parser.add_argument("--parametrizations", nargs="+", choices=known, default=known)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, help="steps of the optimizer; default: Maximizer's")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
