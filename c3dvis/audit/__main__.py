"""The command `python -m c3dvis.audit`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from c3dvis.command_line import Parser, folder_argument, run, say, whole
from c3dvis.keras_start import load_keras
from c3dvis.models.chosen import (
    add_arguments,
    add_size_arguments,
    check_arguments,
    check_network,
)
from c3dvis.text import counted, regular_expression

_DESCRIPTION = """
Tests whether a network relies on motion, on the background or on the actor's appearance: measures,
class by class, how its predictions change when clips are frozen, shuffled or reversed, when the
background is replaced and when the actor is blurred. Writes the pages index.html and README.md, the
tables scores.csv and summary.csv, and audit.json.

FOLDER has one subfolder of clips per class. Run the same command again to resume.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.audit clips/ --model i3d --weights kinetics400
      clips/ holds a folder for each class, such as "playing guitar"
  python -m c3dvis.audit clips/ --keras-model mine.keras --labels names.txt --masks masks/
  python -m c3dvis.audit clips/ --clip-classes classes.csv --source "_(g[0-9]+)_"
      classes.csv has lines such as handshake,shaking hands; clips of one film share g01

exit codes: 0 success; 1 some clips could not be read, or files could not be written; 2 wrong
arguments; 130 stopped with Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parse(given)
    return run(lambda: _run(chosen), resume=shlex.join(["python", "-m", "c3dvis.audit", *given]))


def _run(chosen: argparse.Namespace) -> int:
    load_keras()
    from c3dvis.audit.labels import read_table
    from c3dvis.audit.run import audit
    from c3dvis.models import chosen as choices

    classes = None if chosen.clip_classes is None else read_table(chosen.clip_classes)
    chosen = choices.for_real_clips(chosen)
    choices.say_size(chosen, say)
    audited = audit(
        choices.load(chosen),
        chosen.folder,
        classes,
        out=chosen.out,
        masks=chosen.masks,
        source=chosen.source,
        draws=chosen.draws,
        shown=chosen.shown,
        frames=chosen.frames,
        size=chosen.size,
        preprocess=choices.preprocess(chosen.value_range and tuple(chosen.value_range)),
        seed=chosen.seed,
        note=choices.training_data_note(chosen),
    )
    for name, why in audited.failed:
        say(f"{name}: {why}")
    for label in (None, *audited.labels):
        name = "all classes" if label is None else audited.class_names[label]
        say(f"{name}: {audited.verdict(label).text}")
    count = counted(len(audited.clips), "clip")
    say(f"{chosen.out}/index.html: {count}, {len(audited.failed)} failed")
    return 1 if audited.failed else 0


def _parse(given: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    chosen = parser.parse_args(given)
    check_arguments(parser, chosen)
    folder_argument(parser, chosen.out)
    with parser.refusing():
        check_network(chosen)
        if chosen.source is not None:
            regular_expression(chosen.source)
    if not Path(chosen.folder).is_dir():
        parser.error(f"argument FOLDER: Expected a folder. Received: {chosen.folder!r}.")
    if chosen.masks is not None and not Path(chosen.masks).is_dir():
        parser.error(f"argument --masks: Expected a folder. Received: {chosen.masks!r}.")
    if chosen.clip_classes is not None and not Path(chosen.clip_classes).is_file():
        parser.error(f"argument --clip-classes: Expected a file. Received: {chosen.clip_classes!r}")
    return chosen


def _parser() -> Parser:
    parser = Parser(
        prog="python -m c3dvis.audit",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "folder", metavar="FOLDER", help="folder of clips, with a subfolder for each class"
    )
    add_arguments(parser.add_argument_group("which network"))
    clips = parser.add_argument_group("which clips")
    clips.add_argument(
        "--clip-classes",
        metavar="FILE",
        help=(
            "CSV file that maps clips or folders to the network's classes, if their names differ: "
            "a path below FOLDER and its class per line"
        ),
    )
    clips.add_argument(
        "--masks",
        metavar="FOLDER",
        help=(
            "folder of images or films named after the clips, with the actor white on black "
            "(default: detect what changes between frames)"
        ),
    )
    clips.add_argument(
        "--source",
        metavar="PATTERN",
        help=(
            "regular expression for the part of a file name that clips of the same film share "
            "(default: each file is a film); intervals resample films"
        ),
    )
    add_size_arguments(clips, any_size=(16, 112))
    changes = parser.add_argument_group("how they are changed and shown")
    changes.add_argument(
        "--draws",
        type=whole(1),
        default=4,
        metavar="N",
        help="number of frozen frames and of random orders per clip (default 4)",
    )
    changes.add_argument(
        "--shown",
        type=whole(0),
        default=3,
        metavar="N",
        help=(
            "number of clips on the page for each manipulation: those that lose the most (default "
            "3)"
        ),
    )
    changes.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        metavar="N",
        help="seed of the random orders and backgrounds",
    )
    parser.add_argument(
        "--out", default="audit", metavar="FOLDER", help="output folder (default audit)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
