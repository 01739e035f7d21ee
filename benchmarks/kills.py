"""Kills galleries at random moments until the last run ends, and compares with an undisturbed one.

    python benchmarks/kills.py --engine serial --kills 50

Each run is killed by SIGKILL at a moment drawn from the time that a whole run takes; with an engine
of processes, in every other case one of its workers instead. Then the same command is given again,
until it has been killed as often as asked for, and once more to the end. All files must have the
same bytes as those of a run that nobody disturbed.

What is tried is all that is around the making of clips. So in one process and in shards the clips
are noise, which takes milliseconds; workers, which are other processes, make real ones.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_STEPS = "2"
_SHAPE = (4, 12, 12, 3)


class Noise:
    """Stands for a `Maximizer`: each unit's clip is noise of its own seed."""

    batch_size = 1

    def __init__(self, *_, **__):
        pass

    def make(self, objective, *, seed, **_):
        """Yields a clip for every unit."""
        from c3dvis.maximize import MaximizedClip

        _, term = objective.terms[0]
        for channel in term.units:
            clip = np.random.default_rng([seed, channel]).random(_SHAPE, np.float32)
            yield MaximizedClip(clip, 1.0 + channel, "ok")


def network(path: Path) -> None:
    """Writes a network of one convolution."""
    import keras

    keras.utils.set_random_seed(7)
    inputs = keras.Input(_SHAPE)
    outputs = keras.layers.Conv3D(48, 3, activation="softplus", name="conv1")(inputs)
    keras.Model(inputs, outputs).save(path)


def command(model: Path, out: Path, engine: str, shard: str | None) -> list[str]:
    """The command of one run."""
    arguments = ["--keras-model", str(model), "--filters", "all", "--steps", _STEPS]
    arguments += ["--batch-size", "1", "--out", str(out), "--engine", engine]
    if engine != "serial":
        arguments += ["--workers", "2"]
    return arguments + ([] if shard is None else ["--shard", shard])


def start(arguments: list[str], *, noise: bool) -> int:
    """A run in a process that has everything imported already; returns its number.

    Importing TensorFlow takes seconds, of which few would be left for what is tried.
    """
    child = os.fork()
    if child:
        return child
    os.setsid()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    from c3dvis.gallery import render
    from c3dvis.gallery.__main__ import main

    if noise:
        render.Maximizer = Noise
    code = 1
    try:
        code = main(arguments)
    finally:
        os._exit(code)


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True)
    return [int(number) for number in done.stdout.split()]


def ended(process: int, seconds: float) -> int | None:
    """The exit code of a process that ends in time, negative for a signal; else None."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        number, status = os.waitpid(process, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def content(out: Path) -> dict[str, bytes]:
    """All files but locks and markers."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def trial(
    runs: list[list[str]], kills: int, seconds: float, draw: random.Random, *, noise: bool
) -> int:
    """Runs all at once, kills each, and starts again; returns the number of kills."""
    killed = 0
    while killed < kills:
        for process in [start(arguments, noise=noise) for arguments in runs]:
            code = ended(process, draw.uniform(0, seconds))
            if code is not None:  # it was done before
                continue
            workers = children(process) if draw.random() < 0.5 else []
            os.kill(draw.choice(workers) if workers else process, signal.SIGKILL)
            killed += 1
            ended(process, 600)
    for process in [start(arguments, noise=noise) for arguments in runs]:
        code = ended(process, 600)
        if code != 0:
            raise SystemExit(f"Expected the last run to end with 0. Received: {code}.")
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["serial", "processes", "shards"], required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    engine = "serial" if given.engine == "shards" else given.engine
    shares = ["1/2", "2/2"] if given.engine == "shards" else [None]
    noise = engine == "serial"
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        subprocess.run([sys.executable, __file__, "--write", str(base / "net.keras")], check=True)
        import c3dvis.gallery.make  # noqa: F401  (before the forks)

        begun = time.monotonic()
        whole_run = start(command(base / "net.keras", base / "whole", "serial", None), noise=noise)
        if ended(whole_run, 600) != 0:
            raise SystemExit("Expected the undisturbed run to end with 0.")
        seconds = time.monotonic() - begun
        whole, killed, trials = content(base / "whole"), 0, 0
        draw = random.Random(given.seed)
        while killed < given.kills:
            trials += 1
            out = base / str(trials)
            runs = [command(base / "net.keras", out, engine, share) for share in shares]
            killed += trial(runs, min(4, given.kills - killed), seconds, draw, noise=noise)
            if len(runs) > 1:  # the next run of all removes what killed shares left half written
                ended(start(command(base / "net.keras", out, engine, None), noise=noise), 600)
            if content(out) != whole:
                names = {n for n in whole if content(out).get(n) != whole[n]}
                raise SystemExit(f"Expected the same bytes. Received: others in {sorted(names)}.")
            if list(out.rglob("*.tmp")):
                raise SystemExit("Expected no file that is half written.")
            shutil.rmtree(out)
            print(f"{killed} kills in {trials} galleries: the same bytes", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        network(Path(sys.argv[2]))
    else:
        main()
