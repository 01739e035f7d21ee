"""The arguments of `python -m c3dvis.gallery`; nothing here loads Keras."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from c3dvis.command_line import Parser, choice_of_filters, folder_argument, whole
from c3dvis.gallery import engines, from_records
from c3dvis.gallery.plan import DEFAULT_CLASSES, MOST_CLASSES
from c3dvis.maximize import parametrizations
from c3dvis.models.chosen import add_arguments, add_size_arguments, check_arguments

_DESCRIPTION = """
Makes a gallery of a video network: for each filter and class a clip that excites it, as GIF and as
film strip, with the pages index.html (open it in a browser) and README.md (GitHub shows it).

The same command again goes on where the last run stopped, and makes only what is missing.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.gallery
      four filters of every convolution and every class of the bundled network, into gallery/
  python -m c3dvis.gallery --list-layers --model c3d-motion
  python -m c3dvis.gallery --layers conv3b "conv4?" --filters 0-7,12 --out filters
  python -m c3dvis.gallery --classes "moving left" 3 --steps 512 --out classes
  python -m c3dvis.gallery --model c3d --weights sports1M_weights_tf.h5 --filters 0-15 --out c3d
  python -m c3dvis.gallery --model i3d --weights kinetics400 --real films/ --out i3d
  python -m c3dvis.gallery --keras-model mine.keras --labels names.txt --value-range -1 1 --out mine
  python -m c3dvis.gallery --diff gallery later --out differences
  python -m c3dvis.gallery --questions i3d --real films/ --out questions

exit codes: 0 all made; 1 some units failed, or files could not be written, or a clip made --again
is another; 2 wrong arguments; 130 stopped with Ctrl-C
"""
# Held-out clips that a bundled motion network is compared with; the clips it was trained for.
COMPARE_BUNDLED = 512


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The arguments chosen; a wrong one ends the program with a sentence."""
    parser = arguments_parser()
    chosen = parser.parse_args(given)
    from_records.check_arguments(parser, chosen)
    check_arguments(parser, chosen)
    folder_argument(parser, chosen.out)
    return chosen


def arguments_parser() -> argparse.ArgumentParser:
    """The command's arguments, with their help."""
    parser = Parser(
        prog="python -m c3dvis.gallery",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    add_arguments(parser.add_argument_group("which network"))
    _add_selection(parser.add_argument_group("which filters and classes"))
    _add_clips(parser.add_argument_group("how the clips are made"))
    _add_running(parser.add_argument_group("where and how to run"))
    from_records.add_arguments(parser.add_argument_group("with a gallery that is made"))
    return parser


def _add_selection(group: Any) -> None:
    group.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        help="names, or patterns such as 'Mixed_4?' (default: every convolution, or the outputs of "
        "the blocks where a network has many; none with --classes)",
    )
    group.add_argument(
        "--filters",
        type=choice_of_filters,
        metavar="CHOICE",
        help="such as 0-3,7 or all, of every chosen layer as far as it "
        "has them (default: the first four)",
    )
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="names, numbers such as 0-3,7, or all (default: all, the first "
        f"{DEFAULT_CLASSES} where there are more than {MOST_CLASSES}; none with --layers)",
    )


def _add_clips(group: Any) -> None:
    group.add_argument(
        "--steps", type=whole(1), default=128, metavar="N", help="optimizer steps (default 128)"
    )
    group.add_argument(
        "--parametrization",
        default="fourier",
        metavar="NAME",
        help=f"what clips are made of: {', '.join(parametrizations.names())} (default fourier)",
    )
    group.add_argument(
        "--colours",
        metavar="NAME",
        help="of clips: decorrelated, as in natural pictures; independent, those that the unit "
        "prefers, which look garish for networks of real films; or grey (default decorrelated)",
    )
    group.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="of the network's computations; bfloat16 takes about half as long on processors that "
        "have it, and its clips differ a little (default float32)",
    )
    add_size_arguments(group)
    group.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="the same makes the same (default 0)"
    )
    group.add_argument(
        "--fps", type=_fps, default=8.0, metavar="N", help="frames a second (default 8)"
    )
    group.add_argument(
        "--compare",
        type=whole(0),
        metavar="N",
        help="score N held-out clips too and show how a clip compares with the best of them "
        f"(default {COMPARE_BUNDLED} for bundled motion networks, else 0)",
    )


def _add_running(group: Any) -> None:
    group.add_argument(
        "--real",
        metavar="FOLDER",
        help="of videos: those that a filter or class responds to most stand beside its clip; a "
        "gallery that is made already can be given one too",
    )
    group.add_argument(
        "--cards",
        action="store_true",
        help="a motion card of each filter and class too: direction, speed, static or dynamic, and "
        "with --real what its strongest clips lose without motion and whether to believe its clip; "
        "takes longer than the clips",
    )
    group.add_argument(
        "--directions",
        action="store_true",
        help="with --cards: two more clips of each, made of motion in the direction that it "
        "prefers and of motion in the opposite one",
    )
    group.add_argument(
        "--speeds",
        action="store_true",
        help="three more clips of each, from slow, with a penalty on change between frames, to "
        "free; takes several times as long as its clip",
    )
    group.add_argument(
        "--parametrizations",
        nargs="+",
        metavar="NAME",
        help="one more clip of each, made of each of these, such as pixels pyramid",
    )
    group.add_argument(
        "--neurons",
        action="store_true",
        help="one more clip of each filter that sees less than a third of the clip's height and "
        "width: of its neuron in the middle, cropped to what it sees",
    )
    group.add_argument(
        "--out", default=from_records.OUT, metavar="FOLDER", help="(default gallery)"
    )
    group.add_argument(
        "--list-layers", action="store_true", help="print the network's layers and classes"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print what would be made, and make nothing"
    )
    group.add_argument(
        "--batch-size",
        type=whole(1),
        metavar="N",
        help="clips at once (default: found, and halved where memory does not hold them)",
    )
    group.add_argument(
        "--again",
        metavar="RECORD",
        help="make the clip of a record again, such as gallery/conv3b/7.json, into --out (default "
        "again), compare its bytes, and end",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="make units again that failed before"
    )
    group.add_argument(
        "--engine",
        choices=list(engines.ENGINES),
        default="serial",
        help="serial (default): one process; processes: several of this machine; ray: those of a "
        "Ray cluster, or of this machine; needs c3dvis[ray] and, on a cluster, a folder that all "
        "machines share",
    )
    group.add_argument(
        "--workers",
        type=whole(1),
        metavar="N",
        help="most at once, of processes (default: one a GPU, or one for four cores, at least two) "
        "or ray (default: one a GPU, or one a core)",
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a running Ray cluster (default: RAY_ADDRESS, or this machine alone)",
    )
    group.add_argument(
        "--shard",
        metavar="K/N",
        help="make share K of N, beside other runs in the same folder that make the others; slurm "
        "takes both from a Slurm array.",
    )


def _fps(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 50:  # GIF readers show nothing faster
        raise argparse.ArgumentTypeError(
            f"Expected frames a second from 0.1 to 50. Received: {text!r}."
        )
    return value
