"""Kills runs at random moments until the last one ends, and compares with an undisturbed one.

    python benchmarks/kills.py --engine serial --kills 50

Each run is killed by SIGKILL at a moment drawn from the time that a whole run takes: while it
starts, compiles, makes clips, or writes. With an engine of several processes it is one of its
workers in every other case. Then the same command is given again, until it has been killed as often
as asked for, and once more to the end. All files must have the same bytes as those of a run that
nobody disturbed, and no unit that was recorded may have been made again.

With `--noise` the clips are noise, which takes milliseconds: that tries all that is around their
making more often. Workers, which are other processes, always make real ones. `--engine sweep` does
the same to `python -m c3dvis.responses FOLDER --sweep`. Several engines are tried one after the
other.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

ENGINES = ("serial", "shards", "processes", "ray", "sweep")
NOISE = False
PRINTED = os.devnull
_SHAPE = (4, 12, 12, 3)
_UNITS = 32
_FILMS = 40
_MOST_SECONDS = 900  # of one run, on a busy machine
# Kills in one folder, before it is looked at.
_KILLS = 5
# Kinds of runs in one process each: how far one is, its own time tells whatever else runs here.
_ALONE = ("serial", "shards", "sweep")


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


@dataclass
class Counts:
    """What became of the runs of one engine."""

    wanted: int
    kills: int = 0
    folders: int = 0
    in_flight: int = 0
    """Units whose files were there when their run was killed, and their record was not."""


def write_inputs(base: Path) -> int:
    """Writes a network of one convolution, and films."""
    import keras

    from c3dvis import clips

    keras.utils.set_random_seed(7)
    inputs = keras.Input(_SHAPE)
    outputs = keras.layers.Conv3D(_UNITS, 3, activation="softplus", name="conv1")(inputs)
    keras.Model(inputs, outputs).save(base / "net.keras")
    (base / "films").mkdir()
    for number in range(_FILMS):
        film = np.random.default_rng(number).random(_SHAPE, np.float32)
        clips.write(base / "films" / f"{number:02}.gif", film)
    return 0


def command(base: Path, out: Path, engine: str, shard: str | None = None) -> list[str]:
    """The arguments of one run, of which the first is the command."""
    model = ["--keras-model", str(base / "net.keras"), "--out", str(out)]
    if engine == "sweep":
        return ["responses", str(base / "films"), "--sweep", "--filters", "0", *model]
    arguments = ["gallery", "--filters", "all", *model, "--steps", "2", "--batch-size", "1"]
    if engine in ("processes", "ray"):
        arguments += ["--engine", engine, "--workers", "2"]
    return arguments + ([] if shard is None else ["--shard", shard])


def run(arguments: list[str]) -> int:
    """The command, with noise in place of clips where it is asked for; returns its exit code."""
    from c3dvis.__main__ import main
    from c3dvis.gallery import render

    if NOISE:
        render.Maximizer = Noise
    return main(arguments)


def start(work: Callable[[], int]) -> int:
    """Work in a process that has everything imported already; returns its number.

    Importing TensorFlow takes seconds, of which few would be left for what is tried.
    """
    child = os.fork()
    if child:
        return child
    os.setsid()
    printed = os.open(PRINTED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    code = 1
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def descendants(process: int) -> dict[int, str]:
    """The processes that a process has started, and those that they have, with their commands."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    known, below = {process}, dict[int, str]()
    for _ in range(5):  # a worker of Ray is below the process of its node
        for number, parent, *words in rows:
            if int(parent) in known:
                known.add(int(number))
                below[int(number)] = " ".join(words)
    return below


def workers(process: int) -> list[int]:
    """Its processes that make clips."""
    return [
        number
        for number, words in descendants(process).items()
        if words.startswith("ray::Actor") or "spawn_main" in words
    ]


def ended(process: int, seconds: float, *, own: bool = False) -> tuple[int, float] | None:
    """The exit code of a process that ends in time, negative for a signal, and its own time.

    Args:
        process: A child.
        seconds: That it has; None is returned after them.
        own: Whether these are of its own computing.
    """
    begun = time.monotonic()
    while (_spent(process) if own else time.monotonic() - begun) < seconds:
        number, status, used = os.wait4(process, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        time.sleep(0.005)
    return None


def _spent(process: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def content(out: Path) -> dict[str, bytes]:
    """All files but locks and markers."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def recorded(out: Path) -> dict[Path, int]:
    """What is done, by its last file: a unit's record, a part of a sweep. It is written once."""
    return {path: path.stat().st_ino for path in (*out.glob("*/*.json"), *out.glob("*/*/*.npz"))}


def unrecorded(out: Path) -> int:
    """Units of a gallery of which some file is there, and no record."""
    if not (out / "gallery.json").exists():
        return 0
    stems = {path.with_suffix("") for path in (*out.glob("*/*.gif"), *out.glob("*/*.jpg"))}
    return sum(not stem.with_suffix(".json").exists() for stem in stems)


def kill_all(
    runs: list[list[str]], seconds: float, draw: random.Random, *, alone: bool
) -> tuple[int, set[int]]:
    """Starts runs at once and kills each; returns how many, and what they left running."""
    killed, left = 0, set[int]()
    for process in [start(partial(run, arguments)) for arguments in runs]:
        if ended(process, draw.uniform(0, seconds), own=alone) is not None:  # it was done before
            continue
        own = [] if alone else workers(process)
        one = draw.choice(own) if own and draw.random() < 0.5 else process
        left |= set() if alone else descendants(process).keys()
        with contextlib.suppress(ProcessLookupError):  # the worker was done just before
            os.kill(one, signal.SIGKILL)
            killed += 1
        ended(process, _MOST_SECONDS)
    return killed, left


def end(processes: set[int]) -> None:
    """Ends what killed runs left running, which Ray's own processes do within a minute."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def finish(work: Callable[[], int]) -> float:
    """Work that nobody disturbs; returns the seconds that its process computed."""
    done = ended(start(work), _MOST_SECONDS)
    if done is None or done[0] != 0:
        printed = Path(PRINTED).read_text(errors="replace")[-2000:]
        raise SystemExit(f"Expected a run that ends with 0. Received: {done}:\n{printed}")
    return done[1]


def tried(
    base: Path, out: Path, engine: str, seconds: float, draw: random.Random, counts: Counts
) -> None:
    """Kills runs in one folder, `counts.wanted` in all at most, and lets the last one end."""
    shares = ["1/2", "2/2"] if engine == "shards" else [None]
    runs = [command(base, out, engine, share) for share in shares]
    done, left, at_once = dict[Path, int](), set[int](), 0
    for _ in range(_KILLS // len(runs)):
        if counts.kills >= counts.wanted:
            break
        killed, running = kill_all(runs, seconds, draw, alone=engine in _ALONE)
        if not killed:  # all is made
            break
        counts.kills += killed
        left |= running
        counts.in_flight += unrecorded(out)
        done |= recorded(out)
        at_once = max(at_once, unrecorded(out))
    finish(partial(run, command(base, out, engine)))
    end(left)
    again = [path.name for path, inode in done.items() if path.stat().st_ino != inode]
    if again:
        raise SystemExit(f"Expected nothing made again that is recorded. Received: {again}.")
    if at_once > max(2, len(runs)):
        raise SystemExit(f"Expected 2 units in flight at most. Received: {at_once}.")


@cache
def undisturbed(base: Path, kind: str) -> tuple[dict[str, bytes], float]:
    """The files of a whole run of one process, and the seconds that it computed."""
    seconds = finish(partial(run, command(base, base / f"whole-{kind}", kind)))
    return content(base / f"whole-{kind}"), seconds


def all_tried(base: Path, engine: str, kills: int, seed: int) -> Iterator[Counts]:
    """Kills runs, folder after folder; yields how things stand after each."""
    folder = base / engine
    folder.mkdir()
    whole, seconds = undisturbed(base, "sweep" if engine == "sweep" else "serial")
    if engine == "shards":  # each makes one half
        seconds *= 0.6
    elif engine not in _ALONE:
        begun = time.monotonic()
        finish(partial(run, command(base, folder / "timed", engine)))
        seconds = time.monotonic() - begun
    counts, draw = Counts(kills), random.Random(seed)
    while counts.kills < kills:
        out = folder / f"out-{counts.folders}"
        tried(base, out, engine, seconds, draw, counts)
        counts.folders += 1
        if (files := content(out)) != whole:
            names = sorted(n for n in {*whole, *files} if files.get(n) != whole.get(n))
            raise SystemExit(f"Expected the same bytes. Received: others in {names}.")
        if list(out.rglob("*.tmp")):
            raise SystemExit("Expected no file that is half written.")
        shutil.rmtree(out)
        yield counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, nargs="+", required=True)
    parser.add_argument("--kills", type=int, default=50, help="of each engine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", action="store_true", help="make noise in place of clips")
    given = parser.parse_args()
    others = [engine for engine in given.engine if engine not in ("serial", "shards")]
    if given.noise and others:
        parser.error(f"Expected --noise with one process or shards. Received: {others[0]}.")
    global NOISE, PRINTED
    NOISE = given.noise
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        PRINTED = str(base / "printed.txt")
        import c3dvis.gallery.make
        import c3dvis.responses.sweep_report  # noqa: F401  (before the forks)

        finish(partial(write_inputs, base))
        for engine in given.engine:
            for counts in all_tried(base, engine, given.kills, given.seed):
                print(
                    f"{engine}: {counts.kills} kills in {counts.folders} folders: the same bytes, "
                    f"{counts.in_flight} units in flight made again, none that was recorded",
                    flush=True,
                )


if __name__ == "__main__":
    main()
