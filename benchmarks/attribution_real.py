"""Methods of attribution on real clips: what they take, and how faithful they are.

python benchmarks/attribution_real.py CLIP... [--frames 16] [--size 224] [--methods NAME ...]
    [--model i3d] [--weights kinetics400] [--out docs/attribution-real.md]

Each method is a process of its own. Of each clip, whose predicted class is explained: seconds over
those of a forward pass, taken in turns; the greatest memory of the process; insertion and deletion
over a blurred clip, beside a random map. Methods run with their defaults, but for `OPTIONS`.
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
OPTIONS = {"integrated_gradients": {"max_steps": 64}}
METHODS = (
    "gradient",
    "gradient_x_input",
    "guided_backpropagation",
    "smooth_grad",
    "integrated_gradients",
    "integrated_gradients, smoothed",
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "window",
)
_STEPS = 8  # of the curves


def measured(method: str, chosen: argparse.Namespace) -> dict:
    """One method on all clips; run in a process of its own."""
    import numpy as np

    from c3dvis import autodiff, clips, models, objectives
    from c3dvis.attribution import attribute, metrics
    from c3dvis.attribution.scorer import Scorer

    shape = (chosen.frames, chosen.size, chosen.size, 3)
    network = models.build(chosen.model, weights=chosen.weights, input_shape=shape)
    forward = autodiff.compiled(
        lambda clip: network(clip, training=False), variables=network.variables
    )
    name, _, smoothed = method.partition(", ")
    rows = []
    for path in chosen.clips:
        clip = clips.read(path, frames=chosen.frames, size=shape[1:3])
        probabilities = np.asarray(forward(clip[None]))[0]
        best = int(probabilities.argmax())
        logit = objectives.logit(best)
        attribute(network, clip, logit, method=name, **OPTIONS.get(name, {}))  # traced
        start = time.perf_counter()
        attribution = attribute(network, clip, logit, method=name, **OPTIONS.get(name, {}))
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        np.asarray(forward(clip[None]))
        alone = time.perf_counter() - start
        heatmap = (attribution.smoothed() if smoothed else attribution).heatmap
        scorer = Scorer(network, logit, batch_size=2)
        curves = [
            of(scorer, clip, heatmap, steps=_STEPS) for of in (metrics.insertion, metrics.deletion)
        ]
        rows.append(
            {
                "clip": path.name,
                "class": network.class_names[best] if hasattr(network, "class_names") else best,
                "probability": float(probabilities[best]),
                "passes": seconds / alone,
                "areas": [[c.value.area, c.random.area] for c in curves],
            }
        )
    return {"rows": rows, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def table(answers: dict[str, dict]) -> list[str]:
    first = next(iter(answers.values()))["rows"]
    text = ["| clip | class | probability |", "|---|---|---|"]
    text += [f"| {r['clip']} | {r['class']} | {r['probability']:.2f} |" for r in first]
    text += [
        "",
        "| method | time of forward passes | peak GiB | insertion | random | deletion | random |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, answer in answers.items():
        rows = answer["rows"]
        areas = [
            f"{statistics.mean(r['areas'][i][j] for r in rows):.3f}" for i in (0, 1) for j in (0, 1)
        ]
        passes = statistics.median(r["passes"] for r in rows)
        text.append(f"| {method} | {passes:.0f} | {answer['gib']:.1f} | {' | '.join(areas)} |")
    return text


def main() -> None:
    chosen = _arguments()
    if chosen.one:
        print(json.dumps(measured(chosen.one, chosen)))
        return
    machine, answers = state(), {}
    for method in chosen.methods:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", method]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        answers[method] = json.loads(output.splitlines()[-1])
        print(table({method: answers[method]})[-1], flush=True)
    text = ["# Attribution on real clips", ""]
    text += ["Written by `benchmarks/attribution_real.py`, which says what is measured.", ""]
    text += [*machine, "", f"Clips of {chosen.frames} x {chosen.size} x {chosen.size}.", ""]
    text += table(answers)
    page = "\n".join([*text, ""])
    if chosen.out is None:
        print(page)
    else:
        chosen.out.write_text(page, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--model", default="i3d")
    parser.add_argument("--weights", default="kinetics400")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="file to write; default: standard output")
    return parser.parse_args()


if __name__ == "__main__":
    main()
