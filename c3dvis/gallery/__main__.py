"""The command `python -m c3dvis.gallery`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from c3dvis import models
from c3dvis.command_line import run, say
from c3dvis.gallery import from_records
from c3dvis.gallery.arguments import COMPARE_BUNDLED, parse
from c3dvis.keras_start import load_keras
from c3dvis.models.chosen import say_size
from c3dvis.text import counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    args = parse(argv)
    resume = shlex.join(["python", "-m", "c3dvis.gallery", *argv])
    return run(lambda: _run(args), resume=resume)


def _run(args: argparse.Namespace) -> int:
    if from_records.run(args):
        return 0
    if args.engine == "processes":  # their workers need the GPU's memory: take only what is used
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    load_keras()
    if args.again is not None:
        return _again(args)
    from c3dvis.gallery import make

    settings = make.Settings(
        model=models.DEFAULT if args.model is None else args.model,
        weights=args.weights,
        keras_model=args.keras_model,
        labels=args.labels,
        input=args.input,
        output=args.output,
        value_range=args.value_range and tuple(args.value_range),
        steps=args.steps,
        parametrization=args.parametrization,
        colours=args.colours,
        size=args.size,
        frames=args.frames,
        seed=args.seed,
        fps=args.fps,
        compare=_compare(args),
        dtype=None if args.dtype == "float32" else args.dtype,
        batch_size=args.batch_size,
    )
    selection = make.Selection(
        layers=args.layers and tuple(args.layers),
        filters=args.filters,
        classes=args.classes and tuple(args.classes),
    )
    say_size(settings, say)
    if args.list_layers:
        make.list_layers(settings)
        return 0
    if args.dry_run:
        make.dry_run(settings, args.out, selection=selection)
        return 0
    outcome = make.make(
        settings,
        args.out,
        selection=selection,
        engine=args.engine,
        workers=args.workers,
        address=args.address,
        shard=args.shard,
        retry_failed=args.retry_failed,
        real_clips=args.real,
        motion_cards=args.cards,
        directions=args.directions,
        slow_to_free=args.speeds,
        other_parametrizations=args.parametrizations or (),
        neurons=args.neurons,
        report=say,
        bar=sys.stdout.isatty(),
    )
    return _say_outcome(outcome, args.out)


def _again(args: argparse.Namespace) -> int:
    from c3dvis.gallery.again import again

    reproduction = again(
        args.again,
        args.out,
        keras_model=args.keras_model,
        weights=args.weights,
        report=say,
    )
    return 1 if reproduction.different else 0


def _say_outcome(outcome: Any, out: str) -> int:
    """Prints how a run ended and each failed unit; returns the exit code."""
    from c3dvis.gallery.progress import failure

    for unit in outcome.failed:
        say(f"{unit.path('json')}: {unit.title} {failure(outcome.records[unit])}")
    failed = len(outcome.failed)
    say(f"{out}/index.html: {counted(len(outcome.units), 'clip')}, {failed} failed")
    if failed:
        say("--retry-failed retries them; the records say why they failed")
    return 1 if failed else 0


def _compare(args: argparse.Namespace) -> int:
    if args.compare is not None:
        return args.compare
    if args.keras_model is not None or args.weights is not None:
        return 0
    name = models.DEFAULT if args.model is None else args.model
    return COMPARE_BUNDLED if models.entry(name).knows_motion else 0


if __name__ == "__main__":
    sys.exit(main())
