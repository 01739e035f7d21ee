"""The command `python -m c3dvis.bench`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from c3dvis import models
from c3dvis.bench.names import method_of
from c3dvis.command_line import Parser, print_error, run, whole
from c3dvis.keras_start import load_keras
from c3dvis.text import unknown

_DESCRIPTION = """
Scores heatmaps on generated clips with known evidence, after verifying that the network decides
each clip by this evidence alone. The scores, with 95 % intervals, are pointing (the share of the
evidence's frames whose hottest pixel lies on it) and tube IoU (the overlap of the evidence and the
same number of hottest pixels).

METHOD is a Python file that defines heatmap(network, clip, target). It gets a Keras model, a clip
(T, H, W, 3) in [0, 1] and the index of a class, and returns an array (T, H, W). The file is run.
METHOD can also be the name of a c3dvis method; append _smoothed for Attribution.smoothed().
"""
_EXAMPLES = """
examples:
  python -m c3dvis.bench mymethod.py
  python -m c3dvis.bench mymethod.py grad_cam occlusion --model tsm-motion --clips 100 --json

exit codes: 0 success; 2 wrong arguments, or a file or function that can't be scored; 130 stopped
with Ctrl-C
"""
_BESIDE = ("integrated_gradients", "integrated_gradients_smoothed", "gradient", "random map")
_WORLDS = ("discs", "shapes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = _parse(list(sys.argv[1:] if arguments is None else arguments))
    return run(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    load_keras()
    from c3dvis.bench import functions, scores

    heatmaps = functions.heatmaps_of(dict.fromkeys((*args.method, *_BESIDE)))
    network = models.build(args.model)
    answers = {
        world: scores.score(network, heatmaps, world=world, clips=args.clips)
        for world in (_WORLDS if args.world == "both" else (args.world,))
    }
    for world, scored in answers.items():
        if scored.verified < args.clips:
            print_error(
                f"Expected {args.clips} verified clips of {world}. Received: {scored.verified} "
                f"of {scored.looked_at}, which are scored."
            )
    if args.json:
        worlds = {world: scores.as_json(scored) for world, scored in answers.items()}
        print(json.dumps({"model": args.model, "worlds": worlds}, indent=1))
        return 0
    print(f"{args.model}\n")
    print("\n\n".join(scores.markdown(world, scored) for world, scored in answers.items()))
    return 0


def bundled() -> list[str]:
    """Networks whose weights come with the package: they know the classes of `c3dvis.motion`."""
    return [name for name in models.names() if models.entry(name).weights is not None]


def _parse(given: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m c3dvis.bench", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument(
        "method", nargs="+", metavar="METHOD", help="a Python file, or the name of a method"
    )
    parser.add_argument(
        "--model",
        default=models.DEFAULT,
        metavar="NAME",
        help=f"a network that comes with c3dvis (default {models.DEFAULT})",
    )
    parser.add_argument(
        "--clips",
        type=whole(2),
        default=30,
        metavar="N",
        help=(
            "number of verified clips of each kind (default 30); at most 20 times as many are tried"
        ),
    )
    parser.add_argument(
        "--world",
        choices=(*_WORLDS, "both"),
        default="both",
        help="discs on muted noise, on which the networks were trained; shapes, five kinds of "
        "textured objects on natural textures; or both (default)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(given)
    with parser.refusing():
        if args.model not in bundled():
            raise unknown("a network that comes with c3dvis", args.model, bundled())
        for name in args.method:
            method_of(name)
    return args


if __name__ == "__main__":
    sys.exit(main())
