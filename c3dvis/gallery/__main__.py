"""The command `python -m c3dvis.gallery`: reads its arguments, and only then loads Keras."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from c3dvis import models
from c3dvis.command_line import load_keras, run, say
from c3dvis.gallery import from_records
from c3dvis.gallery.arguments import COMPARE_BUNDLED, parse
from c3dvis.models.chosen import say_size
from c3dvis.text import counted

_MOTION = "c3dvis.motion:CLASSES"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parse(given)
    resume = shlex.join(["python", "-m", "c3dvis.gallery", *given])
    return run(lambda: _run(chosen), resume=resume)


def _run(chosen: argparse.Namespace) -> int:
    if from_records.is_asked(chosen):
        return from_records.run(chosen, say)
    if chosen.engine == "processes":
        _leave_gpu_memory()
    load_keras()
    if chosen.again is not None:
        return _again(chosen)
    from c3dvis.gallery import make

    settings = make.Settings(
        model=models.DEFAULT if chosen.model is None else chosen.model,
        weights=chosen.weights,
        keras_model=chosen.keras_model,
        labels=chosen.labels,
        input=chosen.input,
        output=chosen.output,
        value_range=chosen.value_range and tuple(chosen.value_range),
        steps=chosen.steps,
        parametrization=chosen.parametrization,
        colours=chosen.colours,
        size=chosen.size,
        frames=chosen.frames,
        seed=chosen.seed,
        fps=chosen.fps,
        compare=_compare(chosen),
        dtype=None if chosen.dtype == "float32" else chosen.dtype,
        batch_size=chosen.batch_size,
    )
    selection = make.Selection(
        layers=chosen.layers and tuple(chosen.layers),
        filters=chosen.filters,
        classes=chosen.classes and tuple(chosen.classes),
    )
    say_size(settings, say)
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
        workers=chosen.workers,
        address=chosen.address,
        shard=chosen.shard,
        retry_failed=chosen.retry_failed,
        real_clips=chosen.real,
        motion_cards=chosen.cards,
        directions=chosen.directions,
        slow_to_free=chosen.speeds,
        other_parametrizations=chosen.parametrizations or (),
        neurons=chosen.neurons,
        report=say,
        bar=sys.stdout.isatty(),
    )
    return _say_outcome(outcome, chosen.out)


def _again(chosen: argparse.Namespace) -> int:
    from c3dvis.gallery.again import again

    made = again(
        chosen.again,
        "again" if chosen.out == from_records.OUT else chosen.out,
        keras_model=chosen.keras_model,
        weights=chosen.weights,
        report=say,
    )
    return 1 if made.different else 0


def _leave_gpu_memory() -> None:
    """Keeps this process from taking a whole GPU's memory, which its workers need."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def _say_outcome(outcome: Any, out: str) -> int:
    """Says how a run ended, with every unit that failed; returns the exit code."""
    from c3dvis.gallery.progress import outcome as told

    for unit in outcome.failed:
        say(f"{unit.path('json')}: {unit.layer} {unit.channel} {told(outcome.records[unit])}")
    failed = len(outcome.failed)
    say(f"{out}/index.html: {counted(len(outcome.units), 'clip')}, {failed} failed")
    if failed:
        say("--retry-failed makes those again that failed; their records say why")
    return 1 if failed else 0


def _compare(chosen: argparse.Namespace) -> int:
    if chosen.compare is not None:
        return chosen.compare
    if chosen.keras_model is not None or chosen.weights is not None:
        return 0
    name = models.DEFAULT if chosen.model is None else chosen.model
    return COMPARE_BUNDLED if models.entry(name).knows_motion else 0


if __name__ == "__main__":
    sys.exit(main())
