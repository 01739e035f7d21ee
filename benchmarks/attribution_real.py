"""Methods of attribution on real clips: what they take, and how faithful they are.

python benchmarks/attribution_real.py CLIP... [--frames 16] [--size 224] [--step 1]
    [--methods NAME ...] [--slow-clips N] [--model i3d] [--weights kinetics400]
    [--pictures FOLDER] [--out docs/attribution-real.md [--append]]

Each method is a process of its own. Of each clip, whose predicted class is explained: seconds over
those of a forward pass that follows (the median, so that the first clip, on which functions are
compiled, does not count); the greatest memory of the process up to the first heatmap; insertion
and deletion over a blurred clip, beside a random map. Methods run with their defaults, but for
`OPTIONS`; those of `SLOW` explain only the first N clips. "smoothed" is the same heatmap, smoothed.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import state

# What a default takes hours for on a processor.
OPTIONS = {
    "integrated_gradients": {"max_steps": 32},
    "occlusion": {"block": [4, 28, 28], "stride": [4, 14, 14]},
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
_STEPS = 4  # of the curves
_HEAD = """# Attribution on real clips

Written by `benchmarks/attribution_real.py`, which says what is measured. Slow methods explain only
the first clips, so compare a method with the random heatmaps beside it. What heatmaps look like is
said in [limits.md](limits.md).

"""


def measured(method: str, chosen: argparse.Namespace) -> dict[str, dict]:
    """One method on all clips, by name; run in a process of its own."""
    import numpy as np

    from c3dvis import autodiff, clips, models, objectives
    from c3dvis.attribution import attribute

    shape = (chosen.frames, chosen.size, chosen.size, 3)
    network = models.build(chosen.model, weights=chosen.weights, input_shape=shape)
    forward = autodiff.compiled(
        lambda clip: network(clip, training=False), variables=network.variables
    )
    variants = [method, f"{method}, smoothed"] if method in _SMOOTHED else [method]
    answers = {name: {"rows": []} for name in variants}
    paths = chosen.clips[: chosen.slow_clips] if method in SLOW else chosen.clips
    for path in paths:
        clip = clips.read(path, frames=chosen.frames, size=shape[1:3], step=chosen.step)
        probabilities = np.asarray(forward(clip[None]))[0]
        best = int(probabilities.argmax())
        logit = objectives.logit(best)
        start = time.perf_counter()
        attribution = attribute(
            network, clip, logit, method=method, batch_size=2, **OPTIONS.get(method, {})
        )
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        np.asarray(forward(clip[None]))
        alone = time.perf_counter() - start
        gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row = {
            "clip": path.name,
            "class": network.class_names[best],
            "probability": float(probabilities[best]),
            "passes": seconds / alone,
        }
        for name in variants:
            shown = attribution if name == method else attribution.smoothed()
            answers[name].setdefault("gib", gib)
            answers[name]["rows"].append(row | {"areas": areas(network, logit, clip, shown)})
            if chosen.pictures is not None:
                chosen.pictures.mkdir(parents=True, exist_ok=True)
                shown.save(chosen.pictures / f"{path.stem}-{name}.png")
    return answers


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


def table(answers: dict[str, dict]) -> list[str]:
    longest = max((answer["rows"] for answer in answers.values()), key=len)
    text = ["| clip | class | probability |", "|---|---|---|"]
    text += [f"| {r['clip']} | {r['class']} | {r['probability']:.2f} |" for r in longest]
    text += [
        "",
        "| method | clips | time of forward passes | peak GiB | insertion | random | better "
        "| deletion | random | better |",
        "|---" * 10 + "|",
    ]
    return text + [line(method, answer) for method, answer in answers.items()]


def line(method: str, answer: dict) -> str:
    """A row of the table: means over the clips, and on how many the heatmap beats a random one."""
    rows = answer["rows"]
    passes = statistics.median(row["passes"] for row in rows)
    cells = [method, str(len(rows)), f"{passes:.3g}", f"{answer['gib']:.1f}"]
    for i, sign in ((0, 1), (1, -1)):
        pairs = [row["areas"][i] for row in rows]
        cells += [f"{statistics.mean(values):.3f}" for values in zip(*pairs, strict=True)]
        cells.append(str(sum(sign * own > sign * chance for own, chance in pairs)))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    chosen = _arguments()
    if chosen.one:
        print(json.dumps(measured(chosen.one, chosen)))
        return
    machine, answers = state(), {}
    before = _HEAD
    if chosen.append and chosen.out is not None:
        before = chosen.out.read_text(encoding="utf-8") + "\n"
    for method in chosen.methods:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", method]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        made = json.loads(output.splitlines()[-1])
        answers |= made
        for name, answer in made.items():
            print(line(name, answer), flush=True)
        if chosen.out is not None:  # after each method, as a run takes long
            chosen.out.write_text(before + section(chosen, machine, answers), encoding="utf-8")
    if chosen.out is None:
        print(section(chosen, machine, answers))


def section(chosen: argparse.Namespace, machine: list[str], answers: dict[str, dict]) -> str:
    """The page's part on clips of one size."""
    title = f"## Clips of {chosen.frames} x {chosen.size} x {chosen.size}"
    options = {name: OPTIONS[name] for name in answers if name in OPTIONS}
    told = f"Options other than the defaults: `{options}`."
    return "\n".join([title, "", *machine, "", told, "", *table(answers), ""])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--step", type=int, default=1, help="frames of the file to the next")
    parser.add_argument("--methods", nargs="+", default=(*QUICK, *SLOW))
    parser.add_argument("--slow-clips", type=int, default=3, metavar="N")
    parser.add_argument("--pictures", type=Path, help="folder for strips of the heatmaps")
    parser.add_argument("--model", default="i3d")
    parser.add_argument("--weights", default="kinetics400")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="file to write; default: standard output")
    parser.add_argument("--append", action="store_true", help="to that file, rather than over it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
