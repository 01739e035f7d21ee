"""The arguments of `python -m c3dvis.gallery`; nothing here loads Keras."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c3dvis.command_line import Parser, choice_of_filters, folder_argument, whole
from c3dvis.gallery import engines, from_records, options
from c3dvis.gallery.plan import DEFAULT_CLASSES, MOST_CLASSES
from c3dvis.maximize import parametrizations
from c3dvis.maximize.defaults import COLOURS, MOST_STEPS, STEPS
from c3dvis.models.chosen import (
    add_arguments,
    add_size_arguments,
    check_arguments,
    check_network,
)

_DESCRIPTION = """
Makes a gallery of a video network: a synthetic clip for each filter and class that strongly
activates it (activation maximization), as GIF and film strip, with the pages index.html (for a
browser) and README.md (for GitHub).

Run the same command again to resume; finished files are kept.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.gallery
      four filters of every convolution, and every class, of the bundled network, in gallery/
  python -m c3dvis.gallery --list-layers --model c3d-motion
  python -m c3dvis.gallery --layers conv3b "conv4?" --filters 0-7,12 --out filters
  python -m c3dvis.gallery --classes "moving left" 3 --steps 512 --out classes
  python -m c3dvis.gallery --model c3d --weights sports1M_weights_tf.h5 --filters 0-15 --out c3d
  python -m c3dvis.gallery --model i3d --weights kinetics400 --real films/ --out i3d
  python -m c3dvis.gallery --keras-model mine.keras --labels names.txt --value-range -1 1 --out mine
  python -m c3dvis.gallery --diff gallery later --out differences
  python -m c3dvis.gallery --questions i3d --real films/ --out questions

exit codes: 0 success; 1 some units failed, files could not be written, or a clip made with --again
differs; 2 wrong arguments; 130 stopped with Ctrl-C
"""
# Held-out clips that a bundled motion network is compared with; the clips it was trained for.
COMPARE_BUNDLED = 512
# By option, the default folder of what it writes; others write a gallery.
_FOLDERS = {"diff": "differences", "questions": "questions", "again": "again"}


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments; a wrong one ends the program with an error line."""
    parser = arguments_parser()
    chosen = parser.parse_args(given)
    if chosen.out is None:
        of_options = [_FOLDERS[name] for name in _FOLDERS if getattr(chosen, name) is not None]
        chosen.out = of_options[0] if of_options else "gallery"
    from_records.check_arguments(parser, chosen)
    check_arguments(parser, chosen)
    folder_argument(parser, chosen.out)
    if chosen.real is not None and not Path(chosen.real).is_dir():
        parser.error(f"argument --real: Expected a folder. Received: {chosen.real!r}.")
    with parser.refusing():
        if not from_records.given(chosen) and chosen.again is None:
            check_network(chosen)
        options.check(
            engine=chosen.engine,
            workers=chosen.workers,
            address=chosen.address,
            shard=chosen.shard,
            real_clips=chosen.real,
            motion_cards=chosen.cards,
            directions=chosen.directions,
            slow_to_free=chosen.speeds,
            other_parametrizations=chosen.parametrizations or (),
            neurons=chosen.neurons,
        )
    return chosen


def arguments_parser() -> Parser:
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
    from_records.add_arguments(parser.add_argument_group("with a finished gallery"))
    return parser


def _add_selection(group: Any) -> None:
    group.add_argument(
        "--layers",
        nargs="+",
        action="extend",
        metavar="LAYER",
        help=(
            "names or patterns such as 'Mixed_4?' (default: every convolution, or the block "
            "outputs of networks with many; none if --classes is given)"
        ),
    )
    group.add_argument(
        "--filters",
        type=choice_of_filters,
        metavar="CHOICE",
        help="filters to show of each chosen layer, such as 0-3,7 or all (default: the first four)",
    )
    group.add_argument(
        "--classes",
        nargs="+",
        action="extend",
        metavar="CLASS",
        help=(
            f"names, numbers such as 0-3,7, or all (default: all, or the first {DEFAULT_CLASSES} "
            f"if there are more than {MOST_CLASSES}; none if --layers is given)"
        ),
    )


def _add_clips(group: Any) -> None:
    group.add_argument(
        "--steps",
        type=whole(1, MOST_STEPS),
        default=STEPS,
        metavar="N",
        help=f"optimization steps (default {STEPS})",
    )
    group.add_argument(
        "--parametrization",
        choices=parametrizations.names(),
        default="fourier",
        metavar="NAME",
        help=f"how a clip is parametrized: {', '.join(parametrizations.names())} (default fourier)",
    )
    group.add_argument(
        "--colours",
        choices=COLOURS,
        metavar="NAME",
        help=(
            "colour space: decorrelated, as in natural images (default for classes); opponent, "
            "closer to the colours that a unit prefers (default for filters); independent, closer "
            "still, but garish for networks trained on real films; or grey"
        ),
    )
    group.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help=(
            "precision of the network; bfloat16 takes about half the time on processors that "
            "support it, and the clips differ slightly (default float32)"
        ),
    )
    add_size_arguments(group)
    group.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        metavar="N",
        help="the same seed gives the same clips (default 0)",
    )
    group.add_argument(
        "--fps",
        type=_fps,
        default=8.0,
        metavar="N",
        help="frames per second of the GIFs (default 8)",
    )
    group.add_argument(
        "--compare",
        type=whole(0),
        metavar="N",
        help=(
            "also score N held-out clips, and show the ratio of each clip's score to the best of "
            f"them (default {COMPARE_BUNDLED} for bundled motion networks, else 0)"
        ),
    )


def _add_running(group: Any) -> None:
    group.add_argument(
        "--real",
        metavar="FOLDER",
        help=(
            "folder of videos or .npy files: next to each synthetic clip, show the real clips "
            "that activate its filter or class most; also works on a finished gallery"
        ),
    )
    group.add_argument(
        "--cards",
        action="store_true",
        help=(
            "also make a motion card for each filter and class: direction, speed, static or "
            "dynamic selectivity; with --real also how much its strongest clips lose without "
            "motion, and whether to trust its synthetic clip. Takes longer than the clips"
        ),
    )
    group.add_argument(
        "--directions",
        action="store_true",
        help=(
            "with --cards: two more clips of each filter and class, restricted to motion in its "
            "preferred direction and in the opposite one"
        ),
    )
    group.add_argument(
        "--speeds",
        action="store_true",
        help=(
            "three more clips of each filter and class, from slow (with a penalty on change "
            "between frames) to free; takes several times as long as one clip"
        ),
    )
    group.add_argument(
        "--parametrizations",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=(
            "one more clip of each filter and class in each of these parametrizations, such as "
            "pixels pyramid"
        ),
    )
    group.add_argument(
        "--neurons",
        action="store_true",
        help=(
            "one more clip of each filter whose receptive field spans less than a third of the "
            "clip's height and width: of its centre neuron, cropped to that field"
        ),
    )
    group.add_argument("--out", metavar="FOLDER", help="output folder (default gallery)")
    group.add_argument(
        "--list-layers",
        action="store_true",
        help="print the network's layers and classes, and exit",
    )
    group.add_argument("--dry-run", action="store_true", help="print what would be made, and exit")
    group.add_argument(
        "--batch-size",
        type=whole(1),
        metavar="N",
        help="clips per batch (default: automatic, halved if memory runs out)",
    )
    group.add_argument(
        "--again",
        metavar="RECORD",
        help=(
            "reproduce a record's clip, such as gallery/conv3b/7.json, in --out (default again), "
            "compare the bytes, and exit"
        ),
    )
    group.add_argument("--retry-failed", action="store_true", help="retry units that failed before")
    group.add_argument(
        "--engine",
        choices=list(engines.ENGINES),
        default="serial",
        help=(
            "serial (default): in this process; processes: in several processes on this machine; "
            "ray: on a Ray cluster or this machine; needs c3dvis[ray] and, on a cluster, a shared "
            "folder"
        ),
    )
    group.add_argument(
        "--workers",
        type=whole(1),
        metavar="N",
        help=(
            "maximum number of workers: processes (default: one per GPU, or one per four cores, "
            "at least two) or Ray workers (default: one per GPU, or one per core)"
        ),
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="address of a running Ray cluster (default: RAY_ADDRESS, or this machine alone)",
    )
    group.add_argument(
        "--shard",
        metavar="K/N",
        help=(
            "make only share K of N; other runs make the rest in the same folder. slurm takes K "
            "and N from a Slurm array job"
        ),
    )


def _fps(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 50:  # GIF viewers show no higher frame rate
        raise argparse.ArgumentTypeError(
            f"Expected frames per second from 0.1 to 50. Received: {text!r}."
        )
    return value
