"""What `python -m c3dvis.gallery` costs, stage by stage, and beside another version of the package.

The other version is a checkout of it: `git worktree add ../before COMMIT`, then
`--before ../before`. Both run the same command in turns, each as a whole process, imports and
tracing included. Times are the processor's, of all threads, so that what else the machine does
counts less; they are still longer on a busy machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import machine

_HERE = Path(__file__).resolve().parent.parent
# Steps that are timed, and clips at once.
_STEPS, _CLIPS = 8, 4


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        seconds: The processor's, of the whole process.
        clock: Seconds by the clock.
        first: Seconds by the clock until the first clip is in the folder.
        scores: What each clip reaches, by layer and channel.
        ratios: The same over the best held-out clip.
    """

    seconds: float
    clock: float
    first: float
    scores: dict[tuple[str, int], float]
    ratios: dict[tuple[str, int], float]


def command(checkout: Path, arguments: Sequence[str]) -> Run:
    """Runs the command of a checkout, and reads what it made."""
    from c3dvis.files import read_json

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "gallery"
        call = [sys.executable, "-m", "c3dvis.gallery", *arguments, "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        began = time.time()
        process = subprocess.Popen(call, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
        _, code, used = os.wait4(process.pid, 0)
        ended = time.time()
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            raise RuntimeError(f"{checkout}: the command ended with {process.returncode}")
        paths = list(out.glob("*/*.json"))
        records = [read_json(path) for path in paths]
        first = min(path.stat().st_mtime for path in paths) - began
    scores = {(r["layer"], r["channel"]): r["score"] for r in records}
    best = {(r["layer"], r["channel"]): r["best_held_out"] for r in records}
    ratios = {unit: scores[unit] / best[unit] for unit in scores if best[unit]}
    return Run(used.ru_utime + used.ru_stime, ended - began, first, scores, ratios)


def compared(before: Path, rounds: int, arguments: Sequence[str]) -> list[str]:
    """Lines of Markdown on two versions that ran in turns."""
    runs: dict[str, list[Run]] = {"before": [], "now": []}
    for _ in range(rounds):
        for name, checkout in (("before", before), ("now", _HERE)):
            runs[name].append(command(checkout, arguments))
            print(name, f"{runs[name][-1].seconds:.0f} s of the processor", flush=True)
    old, new = runs["before"], runs["now"]
    shares = [n.seconds / o.seconds for o, n in zip(old, new, strict=True)]
    relative = [new[-1].scores[unit] / old[-1].scores[unit] for unit in old[-1].scores]
    lines = [
        f"`python -m c3dvis.gallery {' '.join(arguments)}`".replace(" `", "`"),
        "",
        "| | processor time, s | by the clock, s | first clip after, s |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {', '.join(f'{run.seconds:.0f}' for run in of)} "
            f"| {', '.join(f'{run.clock:.0f}' for run in of)} "
            f"| {', '.join(f'{run.first:.0f}' for run in of)} |"
            for name, of in runs.items()
        ),
        "",
        f"Now over before: {', '.join(f'{share:.2f}' for share in shares)}.",
        "",
        f"Scores of the same clips, now over before: median {statistics.median(relative):.2f}, "
        f"least {min(relative):.2f}, {sum(one < 0.99 for one in relative)} of {len(relative)} "
        "below 0.99.",
        "",
        "| layer | unit | times the best held-out clip, before | now |",
        "|---|---:|---:|---:|",
    ]
    for unit in sorted(old[-1].ratios):
        lines.append(
            f"| {unit[0]} | {unit[1]} | {old[-1].ratios[unit]:.2f} | {new[-1].ratios[unit]:.2f} |"
        )
    return lines


def stages(layers: Sequence[str]) -> list[str]:
    """Lines of Markdown on where the processor's time goes, in this process."""
    clock = _Clock()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: F401

    clock.lap("starting Python, importing Keras and TensorFlow")
    from c3dvis import clips, models
    from c3dvis.gallery import render  # noqa: F401

    clock.lap("importing c3dvis")
    network = models.build("c3d-motion")
    clock.lap("building the network, reading its weights")
    rows = [_of_layer(network, layer) for layer in layers]
    with tempfile.TemporaryDirectory() as folder:
        clip = rows[0][1]
        clock.lap(None)
        clips.write(Path(folder) / "0.gif", clip)
        clips.write(Path(folder) / "0.jpg", clip)
        clock.lap("a clip's GIF and strip")
    return [
        "| stage | s |",
        "|---|---:|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in clock.laps),
        "",
        f"Of a layer, {_CLIPS} clips at once: its step is traced and first run once; of a step, ms "
        "a clip. The bare step is the compiled score and gradient of the cut network.",
        "",
        "| layer | tracing and first run, s | a step | without transforms | pixels | bare |",
        "|---|---:|---:|---:|---:|---:|",
        *(row for row, _ in rows),
    ]


class _Clock:
    """Names laps of processor time."""

    def __init__(self):
        self.laps: list[tuple[str, float]] = []
        self.since = 0.0  # where the process began

    def lap(self, name: str | None) -> None:
        now = time.process_time()
        if name is not None:
            self.laps.append((name, now - self.since))
        self.since = now


def _of_layer(network, layer: str):
    """A row of the table, and one of the clips."""
    import numpy as np
    from keras import ops

    from c3dvis import autodiff
    from c3dvis.gallery.render import objective_of
    from c3dvis.maximize import Maximizer

    objective = objective_of(network, layer, range(_CLIPS))
    costs, first, clip = [], 0.0, None
    for options in ({}, {"transforms": []}, {"transforms": [], "parametrization": "pixels"}):
        maximizer = Maximizer(network, objective, batch_size=_CLIPS, **options)
        spent = []
        for steps in (_STEPS, _STEPS):
            began = time.process_time()
            clips = maximizer.optimize(maximizer.restart(maximizer.objective), steps)
            spent.append(time.process_time() - began)
        costs.append(spent[1] / _STEPS / _CLIPS)
        if not options:
            first, clip = spent[0] - spent[1], clips[0].clip
    indices = ops.convert_to_tensor(maximizer.restart(maximizer.objective))
    bare = autodiff.value_and_gradient(lambda x: sum(maximizer._term_scores(x, x, indices)))
    x = np.random.default_rng(0).random((_CLIPS, *maximizer.clip_shape), np.float32)
    bare(x)
    began = time.process_time()
    for _ in range(_STEPS):
        bare(x)
    costs.append((time.process_time() - began) / _STEPS / _CLIPS)
    each = " | ".join(f"{1000 * cost:.0f}" for cost in costs)
    return f"| {layer.rstrip('/')} | {first:.1f} | {each} |", clip


def main() -> None:
    """Prints the page, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="checkout of the version to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="of both versions, in turns")
    parser.add_argument("--arguments", default="", help='of the command, such as "--layers conv1"')
    parser.add_argument("--stages", nargs="*", default=["conv1", "conv3b", "classes/"])
    machine.add_out(parser)
    args = parser.parse_args()
    profile = stages(args.stages) if args.stages else []  # first, as imports are a stage
    lines = ["# What a gallery costs", "", "Written by `benchmarks/gallery.py`.", ""]
    lines += [*machine.state(), ""]
    if profile:
        lines += ["## Where the time goes", "", *profile, ""]
    if args.before is not None:
        lines += ["## Beside the version before", ""]
        lines += [*compared(args.before.resolve(), args.rounds, args.arguments.split()), ""]
    machine.write_page("\n".join(lines), args.out)


if __name__ == "__main__":
    main()
