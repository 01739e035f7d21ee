"""The command `python -m c3dvis.attribution`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from c3dvis import files
from c3dvis.attribution import methods
from c3dvis.attribution.method_names import method_name
from c3dvis.command_line import (
    Parser,
    add_time_arguments,
    add_window_arguments,
    check_window_arguments,
    folder_argument,
    run,
    say,
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
Shows which pixels and frames of a clip decided a network's prediction. For each clip and method it
writes a GIF with the clip, its heatmap over the original frames and a bar with the importance of
each frame, and the pages index.html and README.md. What was cropped away for the network is drawn
pale, outside a line. On the page, methods, classes and clips can be filtered and compared side by
side.

Run the same command again to resume; finished files are kept.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.attribution wave.mp4 --model i3d --weights model.ckpt --labels label_map.txt
  python -m c3dvis.attribution wave.gif --method grad_cam step --target "moving left"
  python -m c3dvis.attribution clips/ --method occlusion --option block=[4,16,16]
      every video, animated image and folder of frames in a folder
  python -m c3dvis.attribution wave.gif --method rise occlusion --tolerance 0.3
  python -m c3dvis.attribution film.mp4 --windows 24
      a long film: the score of the class in 24 parts, and heatmaps of the four highest-scoring ones
  python -m c3dvis.attribution scan.nii.gz --keras-model mine.keras --window -1000 400
      a volume: its heatmap as NIfTI on the same grid, and a page of three planes
  python -m c3dvis.attribution --list-methods

exit codes: 0 success; 1 some clips or methods failed, or files could not be written; 2 wrong
arguments; 130 stopped with Ctrl-C
"""
_DEFAULT_METHODS = ("integrated_gradients",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    args = _parse(typed)
    resume = shlex.join(["python", "-m", "c3dvis.attribution", *typed])
    return run(lambda: _run(args), resume=resume)


def _run(args: argparse.Namespace) -> int:
    if args.list_methods:
        print("\n".join(methods.names()))
        return 0
    load_keras()
    from c3dvis.attribution import report

    count, failed = report.write(args)
    say(f"{args.out}/index.html: {counted(count, 'GIF')}, {failed} failed")
    return 1 if failed else 0


def _parse(typed: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    args = parser.parse_args(typed)
    check_arguments(parser, args)
    folder_argument(parser, args.out)
    args.options = dict(args.option or [])
    if args.tolerance is not None:
        if "tolerance" in args.options:
            parser.error("argument --tolerance: not allowed with argument --option tolerance=")
        args.options["tolerance"] = args.tolerance
    if args.list_methods:
        return args
    with parser.refusing():
        check_network(args)
        for name in args.method or ():
            method_name(name)
    if args.smooth and args.polarity == "negative":
        parser.error(
            "argument --polarity: Expected both or positive with --smooth, whose heat has no sign. "
            "Received: 'negative'."
        )
    if args.clip is None:
        parser.error("argument CLIP: Expected a file or folder. Received: none.")
    of_volumes = [name for name in ("axis", "window") if getattr(args, name) is not None]
    check_window_arguments(parser, args)
    of_clips = [name for name in ("start", "step", "short") if getattr(args, name)]
    of_clips += ["windows"] if args.windows > 1 else []
    is_volume = args.clip.endswith((".nii", ".nii.gz"))
    for name in of_clips if is_volume else of_volumes:
        if not Path(args.clip).is_dir():
            kind = "a video or pictures" if is_volume else "a NIfTI volume"
            parser.error(f"argument --{name}: Expected {kind} with it. Received: {args.clip!r}.")
    args.method = args.method or list(_DEFAULT_METHODS)
    if not Path(args.clip).exists():
        parser.error(
            "argument CLIP: Expected a file or folder. "
            f"Received: {args.clip!r}, which {files.absent(args.clip)}."
        )
    return args


def _parser() -> Parser:
    parser = Parser(
        prog="python -m c3dvis.attribution",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "clip",
        nargs="?",
        metavar="CLIP",
        help=(
            "a video, an animated image, a folder of frames, an .npy file, a NIfTI volume, or a "
            "folder of these"
        ),
    )
    add_arguments(parser.add_argument_group("which network"))
    asked = parser.add_argument_group("what to explain")
    asked.add_argument(
        "--method",
        nargs="+",
        action="extend",
        metavar="METHOD",
        help=f"one or several methods (default {' '.join(_DEFAULT_METHODS)})",
    )
    asked.add_argument(
        "--option",
        action="append",
        type=_option,
        metavar="NAME=VALUE",
        help="option of the method, such as steps=50; can be given several times",
    )
    asked.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="ERROR",
        help=(
            "for methods that estimate their error: stop once it is at most ERROR, such as 0.2. "
            "The error is relative to the heatmap for smooth_grad, rise, occlusion and score_cam "
            "(default: a fixed number of passes), and to the sum for integrated_gradients "
            "(default 0.01)"
        ),
    )
    asked.add_argument(
        "--target",
        action="append",
        metavar="CLASS",
        help=(
            "class to explain, by name or number; can be given several times (default: the "
            "predicted class)"
        ),
    )
    asked.add_argument(
        "--region",
        type=_region,
        metavar="T,Y,X",
        help=(
            "for a segmentation network: region in which the class is explained, such as "
            "2:6,0:16,0:16 (default: where the network predicts it)"
        ),
    )
    asked.add_argument(
        "--list-methods", action="store_true", help="print the names of the methods, and exit"
    )
    clip = parser.add_argument_group("how clips are read and drawn")
    add_size_arguments(clip, any_size=(16, 112))
    add_time_arguments(clip)
    add_window_arguments(
        clip,
        windows="shows the score of the class in each, and heatmaps of the highest-scoring ones",
        top="number of clips with heatmaps, for each --target",
    )
    clip.add_argument(
        "--axis",
        type=int,
        choices=(0, 1, 2),
        help="axis of a NIfTI volume to use as time (default 2)",
    )
    clip.add_argument(
        "--window",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="values of a NIfTI volume to show as black and white (default: its extremes)",
    )
    clip.add_argument(
        "--polarity",
        choices=("both", "positive", "negative"),
        default="both",
        help="sign of the evidence to draw (default both)",
    )
    clip.add_argument(
        "--normalize",
        choices=("clip", "frame"),
        default="clip",
        help="scale the colours by the largest value of the whole clip (default) or of each frame",
    )
    clip.add_argument(
        "--smooth",
        action="store_true",
        help=(
            "draw the slightly blurred magnitude of the evidence, which covers whole objects "
            "better than single pixels"
        ),
    )
    parser.add_argument(
        "--out", default="attribution", metavar="FOLDER", help="output folder (default attribution)"
    )
    return parser


def _region(text: str) -> tuple[slice, ...]:
    spans = re.fullmatch(r"(\d{1,6}):(\d{1,6}),(\d{1,6}):(\d{1,6}),(\d{1,6}):(\d{1,6})", text)
    ends = [] if spans is None else [int(end) for end in spans.groups()]
    region = tuple(slice(*pair) for pair in zip(ends[::2], ends[1::2], strict=True))
    if spans is None or any(span.start >= span.stop for span in region):
        raise argparse.ArgumentTypeError(
            "Expected first and end of frames, rows and columns, such as 2:6,0:16,0:16. "
            f"Received: {text!r}."
        )
    return region


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"Expected a number above 0. Received: {text!r}.")
    return value


def _option(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"Expected NAME=VALUE. Received: {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
