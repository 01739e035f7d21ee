"""The command `python -m c3dvis.responses`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from c3dvis.command_line import (
    Parser,
    add_time_arguments,
    choice_of_filters,
    folder_argument,
    load_keras,
    run,
    say,
    whole,
)
from c3dvis.models.chosen import add_arguments, add_size_arguments, check_arguments

_DESCRIPTION = """
Shows what the filters of a layer make of a clip, as GIFs beside the clip, with the pages index.html
and README.md; or the response of a random 3-D kernel, without any network.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.responses wave.mp4 --layer conv3b
  python -m c3dvis.responses --layer conv1 --filters 0-7 --out conv1
      the clip is one that the package makes: a disc goes to the left, then to the right
  python -m c3dvis.responses wave.gif --random-kernel 5

exit codes: 0 all made; 1 files could not be written; 2 wrong arguments; 130 stopped with Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    chosen = _parse(sys.argv[1:] if arguments is None else arguments)
    return run(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    load_keras()
    from c3dvis.responses import report

    made = report.write(chosen)
    say(f"{chosen.out}/index.html: {made} GIFs")
    return 0


def _parse(given: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m c3dvis.responses",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "clip",
        nargs="?",
        metavar="CLIP",
        help="a video, an animated picture, or a folder of frames (default: one the package makes)",
    )
    add_arguments(parser.add_argument_group("which network"))
    what = parser.add_argument_group("what is shown")
    one = what.add_mutually_exclusive_group(required=True)
    one.add_argument("--layer", metavar="LAYER", help="its filters' maps and kernels")
    one.add_argument(
        "--random-kernel", type=whole(1), metavar="N", help="a random kernel of N x N x N instead"
    )
    what.add_argument(
        "--filters",
        type=choice_of_filters,
        metavar="CHOICE",
        help="such as 0-3,7 (default: the first 8)",
    )
    what.add_argument(
        "--scale",
        choices=("filter", "layer"),
        default="filter",
        help="black and white are each filter's own extremes (default), or the whole layer's",
    )
    what.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the random kernel")
    add_size_arguments(what, any_size=(16, 256))
    add_time_arguments(what)
    parser.add_argument("--out", default="responses", metavar="FOLDER", help="(default responses)")
    chosen = parser.parse_args(given)
    check_arguments(parser, chosen)
    folder_argument(parser, chosen.out)
    times = [name for name in ("start", "step", "short") if getattr(chosen, name)]
    if chosen.clip is None and times:
        parser.error(f"argument --{times[0]}: Expected a CLIP with it. Received: none.")
    if chosen.clip is not None and not Path(chosen.clip).exists():
        parser.error(f"argument CLIP: Expected a file or folder. Received: {chosen.clip!r}.")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
