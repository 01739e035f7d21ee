"""Methods of attribution on real clips: what they take, and how faithful they are.

python benchmarks/attribution_real.py CLIP... [--frames 16] [--size 224] [--step 1]
    [--methods NAME ...] [--slow-clips N] [--model i3d] [--weights kinetics400]
    [--pictures FOLDER] [--answers FOLDER] [--out docs/attribution-real.md [--append]]

Each method is a process of its own. Of each clip, whose predicted class is explained: clips that
the network was shown, and steps of an optimizer where there is one; processor time, of all threads,
over that of a forward pass that follows (of the second clip, as functions are compiled on the
first; of the first where there is one only); the greatest memory of the process before, and up to
the first heatmap; insertion and deletion over a blurred clip, beside a random map. Where there is a
GPU, time is by the clock and memory the GPU's. Methods run with their defaults, but for `OPTIONS`;
those of `SLOW` explain only the first N clips. "smoothed" is the same heatmap, smoothed. With
--answers, what has been measured is kept there and not run again.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from machine import peak_memory, state

# What a default takes hours for on a processor.
OPTIONS = {
    "integrated_gradients": {"max_steps": 32},
    "rise": {"count": 128},
    "score_cam": {"channels": 64},
    "extremal_2d": {"areas": [0.1], "steps": 40},
    "extremal_3d": {"areas": [0.1], "steps": 40},
    "step": {"areas": [0.1], "steps": 40},
    "window": {"stride": 2},
}
QUICK = (
    "grad_cam",
    "layer_cam",
    "gradient",
    "gradient_x_input",
    "guided_backpropagation",
    "grad_cam_plus_plus",
)
SLOW = (
    "integrated_gradients",
    "window",
    "smooth_grad",
    "occlusion",
    "score_cam",
    "rise",
    "extremal_2d",
    "extremal_3d",
    "step",
    "freeze",
    "reverse",
)
_SMOOTHED = ("integrated_gradients", "smooth_grad")
_STEPS_ARE_CLIPS = ("integrated_gradients", "integrated_gradients, smoothed")
_STEPS = 4  # of the curves
_HEAD = """# Attribution on real clips

Written by `benchmarks/attribution_real.py`, which says what is measured. Slow methods explain only
the first clips, so compare a method with the random heatmaps beside it. What heatmaps look like is
said in [limits.md](limits.md).

"""


def options_of(method: str, args: argparse.Namespace) -> dict:
    """What a method is given: occluded blocks are a quarter of the clip along each axis."""
    if method == "occlusion":
        frames, side = args.frames // 4, args.size // 4
        return {"block": [frames, side, side], "stride": [frames, side // 2, side // 2]}
    return OPTIONS.get(method, {})


def measured(method: str, args: argparse.Namespace) -> dict[str, dict]:
    """One method on all clips, by name; run in a process of its own."""
    import numpy as np

    from c3dvis import autodiff, clips, models, objectives
    from c3dvis.attribution import attribute

    shape = (args.frames, args.size, args.size, 3)
    network = models.build(args.model, weights=args.weights, input_shape=shape)
    forward = autodiff.compiled(
        lambda clip: network(clip, training=False), variables=network.variables
    )
    variants = [method, f"{method}, smoothed"] if method in _SMOOTHED else [method]
    clock = time.perf_counter if autodiff.gpu_count() else time.process_time
    answers: dict[str, dict] = {name: {"rows": []} for name in variants}
    paths = args.clips[: args.slow_clips] if method in SLOW else args.clips
    clips_shown = count_clips_shown()
    for path in paths:
        clip = clips.read(path, frames=args.frames, size=shape[1:3], step=args.step)
        probabilities = np.asarray(forward(clip[None]))[0]
        best = int(probabilities.argmax())
        logit = objectives.logit(best)
        before, passes_before, start = peak_memory() / 2**30, clips_shown(), clock()
        options = options_of(method, args)
        attribution = attribute(network, clip, logit, method=method, batch_size=2, **options)
        seconds = clock() - start
        passes, gib = clips_shown() - passes_before, peak_memory() / 2**30
        start = clock()
        np.asarray(forward(clip[None]))
        alone = clock() - start
        measures = {
            "clip": path.name,
            "class": network.class_names[best],
            "probability": float(probabilities[best]),
            "time": seconds / alone,
            "passes": passes,
            "steps": attribution.settings.get("steps"),
            "layer": attribution.settings.get("layer"),
        }
        for name in variants:
            shown = attribution if name == method else attribution.smoothed()
            answers[name].setdefault("gib", [before, gib])
            answers[name]["rows"].append(measures | {"areas": areas(network, logit, clip, shown)})
            if args.pictures is not None:
                args.pictures.mkdir(parents=True, exist_ok=True)
                shown.save(args.pictures / f"{path.stem}-{name}.png")
    return answers


def count_clips_shown() -> Callable[[], int]:
    """A function that gives how many clips scorers have shown their networks since this call.

    Those that optimizers show are not counted.
    """
    from c3dvis.attribution.scorer import Scorer

    counts, in_batches = [], Scorer.in_batches

    def counting(self, run, clips):
        counts.append(len(clips))
        return in_batches(self, run, clips)

    Scorer.in_batches = counting
    return lambda: sum(counts)


def areas(network, logit, clip, attribution) -> list[tuple[float, float]]:
    """Under the curves of insertion and deletion: of the heatmap, of a random one."""
    from c3dvis.attribution import metrics
    from c3dvis.attribution.scorer import Scorer

    scorer = Scorer(network, logit, batch_size=2)
    curves = [
        of(scorer, clip, attribution.heatmap, steps=_STEPS)
        for of in (metrics.insertion, metrics.deletion)
    ]
    return [(curve.value.area, curve.random.area) for curve in curves]


_HEADS = (
    *("method", "explained", "clips shown", "time of a forward pass", "GiB before", "peak GiB"),
    *("insertion", "random", "better", "deletion", "random", "better"),
)


def tables(answers: dict[str, dict]) -> str:
    from c3dvis.text import table

    longest = max((answer["rows"] for answer in answers.values()), key=len)
    clips = [[r["clip"], r["class"], f"{r['probability']:.2f}"] for r in longest]
    rows = [row(method, answer) for method, answer in answers.items()]
    return table(["clip", "class", "probability"], clips) + "\n\n" + table(_HEADS, rows)


def row(method: str, answer: dict) -> list[str]:
    """A row of the table: means over the clips, and on how many the heatmap beats a random one."""
    rows = answer["rows"]
    second = rows[min(1, len(rows) - 1)]
    name = f"{method} of {second['layer']}" if second["layer"] else method
    passes = f"{second['passes']}"
    if second["steps"] is not None and method not in _STEPS_ARE_CLIPS:
        passes += f", {second['steps']} steps"
    before, peak = answer["gib"]
    cells = [name, str(len(rows)), passes, f"{second['time']:.3g}", f"{before:.1f}", f"{peak:.1f}"]
    for i, sign in ((0, 1), (1, -1)):
        pairs = [row["areas"][i] for row in rows]
        cells += [f"{statistics.mean(values):.3f}" for values in zip(*pairs, strict=True)]
        cells.append(str(sum(sign * own > sign * chance for own, chance in pairs)))
    return cells


def main() -> None:
    args = _arguments()
    if args.one:
        print(json.dumps(measured(args.one, args)))
        return
    machine, answers = state(), {}
    before = _HEAD
    if args.append and args.out is not None:
        before = args.out.read_text(encoding="utf-8") + "\n"
    for method in args.methods:
        of_method = answer_of(method, args)
        answers |= of_method
        for name, answer in of_method.items():
            print(" | ".join(row(name, answer)), flush=True)
        if args.out is not None:  # after each method, as a run takes long
            args.out.write_text(before + section(args, machine, answers), encoding="utf-8")
    if args.out is None:
        print(section(args, machine, answers))


def answer_of(method: str, args: argparse.Namespace) -> dict[str, dict]:
    """What `measured` gives in a process of its own, or gave before."""
    kept = None
    if args.answers is not None:
        kept = args.answers / f"{args.frames}x{args.size}-{method}.json"
        if kept.exists():
            return json.loads(kept.read_text(encoding="utf-8"))
    command = [sys.executable, __file__, *sys.argv[1:], "--one", method]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    line_of_json = output.splitlines()[-1]
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(line_of_json, encoding="utf-8")
    return json.loads(line_of_json)


def section(args: argparse.Namespace, machine: list[str], answers: dict[str, dict]) -> str:
    """The page's part on clips of one size."""
    title = f"## Clips of {args.frames} x {args.size} x {args.size}"
    options = {name: options_of(name, args) for name in answers if options_of(name, args)}
    told = f"Options other than the defaults: `{options}`."
    return "\n".join([title, "", *machine, "", told, "", tables(answers), ""])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--step", type=int, default=1, help="frames of the file to the next")
    parser.add_argument("--methods", nargs="+", default=(*QUICK, *SLOW))
    parser.add_argument("--slow-clips", type=int, default=3, metavar="N")
    parser.add_argument("--pictures", type=Path, help="folder for strips of the heatmaps")
    parser.add_argument("--answers", type=Path, help="folder of what has been measured before")
    parser.add_argument("--model", default="i3d")
    parser.add_argument("--weights", default="kinetics400")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="file to write; default: standard output")
    parser.add_argument("--append", action="store_true", help="to that file, rather than over it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
