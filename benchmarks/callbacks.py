"""What the callbacks of `model.fit` cost in the epochs at which they make nothing.

python benchmarks/callbacks.py [--rounds N] [--epochs N] [--out docs/benchmarks-callbacks.md]

Two like networks are trained in turns in one process, one of them with a `GalleryCallback` and an
`AttributionCallback` that act after the last epoch of each turn. What is timed is each epoch from
the first callback's begin to the first callback's end, so that it holds all that the callbacks do
in it, but for what they make after it. The first epoch of each network, which compiles, is left
out.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import machine
import numpy as np

from c3dvis import models
from c3dvis.callbacks import AttributionCallback, GalleryCallback
from c3dvis.motion import CLASSES, HELD_OUT_SEED, MovingEvidence
from c3dvis.text import table

SIZE = (16, 32, 32)
_WIDTH = 0.125
_STEPS = 16


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch; first in the list of callbacks, so that it times the others too."""

    def __init__(self):
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


class Side:
    """One of the two trainings.

    Args:
        folder: Where its callbacks write; None is the side without.
    """

    def __init__(self, folder: Path | None):
        self.folder, self.trained = folder, 0
        self.epochs: list[float] = []
        self.whole: list[float] = []
        shape = (*SIZE, 3)
        keras.utils.set_random_seed(0)
        self.network = models.C3D(width=_WIDTH, input_shape=shape, classes=len(CLASSES))
        self.network.compile("adam", "sparse_categorical_crossentropy")

    def turn(self, clips: np.ndarray, labels: np.ndarray, epochs: int) -> None:
        """Trains for some epochs more, and notes their times."""
        times = EpochTimes()
        start = time.perf_counter()
        self.network.fit(
            clips,
            labels,
            batch_size=8,
            initial_epoch=self.trained,
            epochs=self.trained + epochs,
            callbacks=[times, *self._callbacks(self.trained + epochs)],
            verbose=0,
        )
        self.whole.append(time.perf_counter() - start)
        self.epochs += times.seconds if self.trained else times.seconds[1:]
        self.trained += epochs

    def _callbacks(self, last: int) -> list[keras.callbacks.Callback]:
        if self.folder is None:
            return []
        held_out = MovingEvidence(seed=HELD_OUT_SEED, frames=SIZE[0], size=SIZE[1:]).batch(0, 2)
        labels = [int(label) for label in held_out.labels]
        return [
            GalleryCallback({"conv2": [0, 1]}, self.folder / "gallery", every=last, steps=_STEPS),
            AttributionCallback(held_out.clips, labels, self.folder / "attribution", every=last),
        ]


def compared(without: Side, beside: Side) -> list[str]:
    """Lines of Markdown."""
    rows = []
    for name, side in (("without", without), ("with both", beside)):
        low, middle, high = statistics.quantiles(side.epochs, n=4)
        quartiles = f"{low:.3f} to {high:.3f}"
        rows.append([name, str(len(side.epochs)), f"{middle:.3f}", quartiles])
    heads = ["callbacks", "epochs timed", "median epoch (s)", "quartiles (s)"]
    medians = [statistics.median(side.epochs) for side in (beside, without)]
    making = statistics.median(beside.whole[1:]) - statistics.median(without.whole[1:])
    return [
        table(heads, rows),
        "",
        f"With over without: {medians[0] / medians[1]:.3f}. Where they do act, the callbacks take "
        f"{making:.1f} s a turn: two filters of {_STEPS} steps and two clips, set-up included.",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints, and writes where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6, help="turns of each of the two, from 2")
    parser.add_argument("--epochs", type=int, default=5, help="epochs a turn, from 2")
    parser.add_argument("--clips", type=int, default=64, help="clips an epoch")
    machine.add_out(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 2 or options.epochs < 2:
        parser.error("--rounds and --epochs are 2 or more")
    state = machine.state()
    world = MovingEvidence(frames=SIZE[0], size=SIZE[1:]).batch(0, options.clips)
    with tempfile.TemporaryDirectory() as folder:
        sides = [Side(None), Side(Path(folder))]
        for number in range(options.rounds):
            for side in sides if number % 2 == 0 else sides[::-1]:
                side.turn(world.clips, world.labels, options.epochs)
        lines = [
            "# The callbacks of `model.fit`, between the epochs at which they act",
            "",
            "Written by `benchmarks/callbacks.py`, which says how it is measured: two like "
            f"networks (C3D of width {_WIDTH}, {options.clips} clips of "
            f"{' x '.join(map(str, SIZE))}), trained in turns.",
            "",
            *state,
            "",
            *compared(*sides),
        ]
    machine.write_page("\n".join(lines) + "\n", options.out)


if __name__ == "__main__":
    main()
