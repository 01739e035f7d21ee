"""The command `python -m c3dvis.gallery`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from c3dvis.command_line import Parser, leave_pipe, startup_notes_kept_back
from c3dvis.gallery import engines, plan

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
  python -m c3dvis.gallery --keras-model mine.keras --labels names.txt --value-range -1 1 --out mine

exit codes: 0 all made; 1 some units failed, or files could not be written; 2 wrong arguments;
130 stopped with Ctrl-C
"""
# Held-out clips that a bundled motion network is compared with; the clips it was trained for.
_COMPARE_BUNDLED = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parse(given)
    resume = shlex.join(["python", "-m", "c3dvis.gallery", *given])
    try:
        with startup_notes_kept_back():
            import keras

            keras.distribution.list_devices("gpu")
        return _run(chosen)
    except KeyboardInterrupt:
        print(f"\nStopped; what is made stays. Go on with:\n  {resume}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return leave_pipe()
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; what is made stays. Go on with:\n  {resume}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    from c3dvis.gallery import make, network

    settings = network.Settings(
        model=chosen.model or "c3d-motion",
        weights=chosen.weights,
        keras_model=chosen.keras_model,
        labels=chosen.labels,
        value_range=chosen.value_range and tuple(chosen.value_range),
        steps=chosen.steps,
        parametrization=chosen.parametrization,
        size=chosen.size,
        frames=chosen.frames,
        seed=chosen.seed,
        fps=chosen.fps,
        compare=_compare(chosen),
        batch_size=chosen.batch_size,
    )
    selection = make.Selection(
        layers=chosen.layers and tuple(chosen.layers),
        filters=chosen.filters,
        classes=chosen.classes and tuple(chosen.classes),
    )
    if chosen.list_layers:
        make.list_layers(settings)
        return 0
    if chosen.dry_run:
        make.dry_run(settings, chosen.out, selection=selection)
        return 0
    outcome = make.make(
        settings,
        chosen.out,
        selection=selection,
        engine=chosen.engine,
        report=lambda line: print(line, flush=True),
        bar=sys.stdout.isatty(),
    )
    failed = len(outcome.failed)
    print(f"{chosen.out}/index.html: {len(outcome.units)} clips, {failed} failed")
    return 1 if failed else 0


def _compare(chosen: argparse.Namespace) -> int:
    if chosen.compare is not None:
        return chosen.compare
    own = chosen.keras_model is not None or chosen.weights is not None
    bundled = (chosen.model or "c3d-motion").endswith("-motion")
    return _COMPARE_BUNDLED if bundled and not own else 0


def _parse(given: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    chosen = parser.parse_args(given)
    if chosen.keras_model is not None and chosen.weights is not None:
        parser.error("argument --weights: not allowed with argument --keras-model")
    if chosen.keras_model is None and chosen.value_range is not None:
        parser.error("argument --value-range: only for --keras-model; other networks know theirs")
    if chosen.value_range is not None:
        low, high = chosen.value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            parser.error(
                f"argument --value-range: Expected LOW below HIGH. Received: {low:g} {high:g}."
            )
    out = Path(chosen.out)
    if any(os.path.isfile(path) for path in (out, *out.parents)):
        parser.error(f"argument --out: Expected a folder. Received: {out}, which is a file.")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m c3dvis.gallery",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_network(parser.add_argument_group("which network"))
    _add_selection(parser.add_argument_group("which filters and classes"))
    _add_clips(parser.add_argument_group("how the clips are made"))
    _add_running(parser.add_argument_group("where and how to run"))
    return parser


def _add_network(group: Any) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument("--model", metavar="NAME", help="a network of c3dvis (default c3d-motion)")
    one.add_argument("--keras-model", metavar="FILE", help="a Keras model of your own")
    group.add_argument(
        "--weights", metavar="FILE", help="its weights (default: those that come with c3dvis)"
    )
    group.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    group.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="values that your own model takes (default 0 1)",
    )


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
        type=_filters,
        metavar="CHOICE",
        help="such as 0-3,7 or all, of every chosen layer (default: the first four)",
    )
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="names, numbers such as 0-3,7, or all (default: all; none with --layers)",
    )


def _add_clips(group: Any) -> None:
    group.add_argument(
        "--steps", type=_whole(1), default=128, metavar="N", help="optimizer steps (default 128)"
    )
    group.add_argument(
        "--parametrization",
        default="fourier",
        metavar="NAME",
        help="what is optimised: fourier (default) or pixels",
    )
    group.add_argument(
        "--size",
        type=_size,
        metavar="PIXELS",
        help="64, or height x width as 48x64 (default: as the network takes)",
    )
    group.add_argument(
        "--frames", type=_whole(1), metavar="N", help="(default: as the network takes)"
    )
    group.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N", help="the same makes the same (default 0)"
    )
    group.add_argument(
        "--fps", type=_fps, default=8.0, metavar="N", help="frames a second (default 8)"
    )
    group.add_argument(
        "--compare",
        type=_whole(0),
        metavar="N",
        help="score N held-out clips too and show how a clip compares with the best of them "
        f"(default {_COMPARE_BUNDLED} for bundled motion networks, else 0)",
    )


def _add_running(group: Any) -> None:
    group.add_argument("--out", default="gallery", metavar="FOLDER", help="(default gallery)")
    group.add_argument(
        "--list-layers", action="store_true", help="print the network's layers and classes"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print what would be made, and make nothing"
    )
    group.add_argument(
        "--batch-size", type=_whole(1), default=4, metavar="N", help="clips at once (default 4)"
    )
    group.add_argument(
        "--engine",
        choices=list(engines.ENGINES),
        default="serial",
        help="serial (default), or ray: a Ray cluster (RAY_ADDRESS), or all cores; needs "
        "c3dvis[ray] and, on a cluster, a folder that all machines share",
    )


def _whole(lowest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(
                f"Expected a whole number from {lowest}. Received: {text!r}."
            )
        return value

    return read


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


def _size(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) > 2 or not all(s.isascii() and s.isdigit() and int(s) > 0 for s in sides):
        raise argparse.ArgumentTypeError(
            f"Expected pixels as 64, or height x width as 48x64. Received: {text!r}."
        )
    return int(sides[0]), int(sides[-1])


def _filters(text: str) -> tuple[int, ...] | str:
    try:
        chosen = plan.numbers(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return "all" if chosen is None else chosen


if __name__ == "__main__":
    sys.exit(main())
