"""The command `python -m c3dvis.responses`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from c3dvis import files
from c3dvis.command_line import (
    Parser,
    add_time_arguments,
    add_window_arguments,
    check_window_arguments,
    choice_of_filters,
    folder_argument,
    run,
    say,
    whole,
)
from c3dvis.keras_start import load_keras
from c3dvis.models.chosen import (
    add_arguments,
    add_size_arguments,
    check_arguments,
    check_network,
)
from c3dvis.text import counted

_DESCRIPTION = """
Shows the feature maps of a layer's filters for a clip, as GIFs next to the clip, with the pages
index.html and README.md; or the response of a random 3-D kernel, without a network. With --windows,
shows when each filter responds most in a long film; with --sweep, which clips of a folder activate
each filter and class most and least.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.responses wave.mp4 --layer conv3b
  python -m c3dvis.responses --layer conv1 --filters 0-7 --out conv1
      the clip is generated: a disc moves to the left, then to the right
  python -m c3dvis.responses film.mp4 --layer conv3b --windows 24 --filters 0-3
      a long film: each filter's response in 24 parts, and feature maps of the four strongest
  python -m c3dvis.responses wave.gif --random-kernel 5
  python -m c3dvis.responses films/ --sweep --out strongest
      all scores are in strongest/sweep.npz; the same command again resumes the sweep
  python -m c3dvis.responses films/ --sweep --layers conv3b conv4b --filters 0-7 --windows 4

exit codes: 0 success; 1 files could not be written; 2 wrong arguments; 130 stopped with Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parse(given)
    resume = shlex.join(["python", "-m", "c3dvis.responses", *given]) if chosen.sweep else None
    return run(lambda: _run(chosen), resume=resume)


def _run(chosen: argparse.Namespace) -> int:
    load_keras()
    if chosen.sweep:
        from c3dvis.responses import sweep_report

        sweep_report.write(chosen)
        say(f"{chosen.out}/index.html: strongest and weakest clips")
        return 0
    from c3dvis.responses import report

    count = report.write(chosen)
    say(f"{chosen.out}/index.html: {counted(count, 'GIF')}")
    return 0


def _parse(given: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    chosen = parser.parse_args(given)
    check_arguments(parser, chosen)
    folder_argument(parser, chosen.out)
    if chosen.random_kernel is None:
        with parser.refusing():
            check_network(chosen)
    times = [name for name in ("start", "step", "short") if getattr(chosen, name)]
    if chosen.clip is None and times:
        parser.error(f"argument --{times[0]}: Expected a CLIP with it. Received: none.")
    if chosen.clip is not None and not Path(chosen.clip).exists():
        parser.error(
            "argument CLIP: Expected a file or folder. "
            f"Received: {chosen.clip!r}, which {files.absent(chosen.clip)}."
        )
    if chosen.sweep and (chosen.clip is None or not Path(chosen.clip).is_dir()):
        parser.error(f"argument --sweep: Expected a folder of clips. Received: {chosen.clip!r}.")
    if chosen.sweep and times:
        parser.error(f"argument --{times[0]}: not allowed with argument --sweep")
    if chosen.windows > 1 and (chosen.clip is None or chosen.random_kernel is not None):
        parser.error("argument --windows: Expected a CLIP and --layer, or --sweep, with it.")
    check_window_arguments(parser, chosen)
    for name in ("layers", "batch_size"):
        if not chosen.sweep and getattr(chosen, name) is not None:
            parser.error(f"argument --{name.replace('_', '-')}: Expected --sweep with it.")
    if chosen.batch_size is None:
        chosen.batch_size = 4
    return chosen


def _parser() -> Parser:
    parser = Parser(
        prog="python -m c3dvis.responses",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "clip",
        nargs="?",
        metavar="CLIP",
        help=(
            "a video, an animated image, a folder of frames or an .npy file (default: a generated "
            "clip); with --sweep a folder of them"
        ),
    )
    add_arguments(parser.add_argument_group("which network"))
    what = parser.add_argument_group("what is shown")
    one = what.add_mutually_exclusive_group(required=True)
    one.add_argument(
        "--layer",
        action="append",
        metavar="LAYER",
        help="layer whose feature maps and kernels to show; can be given several times",
    )
    one.add_argument(
        "--random-kernel",
        type=whole(1),
        metavar="N",
        help="show a random kernel of N x N x N, without a network",
    )
    one.add_argument(
        "--sweep",
        action="store_true",
        help="find the strongest and weakest clips of a folder for every filter and class",
    )
    what.add_argument(
        "--filters",
        type=choice_of_filters,
        metavar="CHOICE",
        help=(
            "filters to show, such as 0-3,7 (default: the first 8; with --sweep the first 4 of "
            "each layer)"
        ),
    )
    what.add_argument(
        "--scale",
        choices=("filter", "layer"),
        default="filter",
        help="scale each filter's map by its own extremes (default) or by the whole layer's",
    )
    what.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="seed of the random kernel"
    )
    add_size_arguments(what, any_size=(16, 256))
    add_time_arguments(what)
    add_window_arguments(
        what,
        windows="without --sweep, plots each filter's mean activation over time and shows feature "
        "maps of the windows in which it is highest",
        top="number of these windows; with --sweep, number of strongest and of weakest clips of "
        "each unit, from different films",
    )
    swept = parser.add_argument_group("with --sweep")
    swept.add_argument(
        "--layers",
        nargs="+",
        action="extend",
        metavar="LAYER",
        help="layers to sweep and show (default: those that a gallery shows, and the classes)",
    )
    swept.add_argument(
        "--batch-size", type=whole(1), metavar="N", help="clips per batch (default 4)"
    )
    parser.add_argument(
        "--out", default="responses", metavar="FOLDER", help="output folder (default responses)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
