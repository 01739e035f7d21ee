"""How fast clips are made, beside tf-keras-vis, the bare compiled step and the machine's peak.

python benchmarks/maximize.py [--networks c3d c3d-motion] [--layers conv1 ...] [--size H W]
    [--repeats N] [--dtype float32 bfloat16] [--sections steps neuron time units] [--filters N]
    [--steps N] [--out docs/benchmarks-maximize.md]

What is compared is run in turns, in this process, so that all have the same machine; only "time"
runs a process for each. See benchmarks/README.md for what is installed and what is measured.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import same_activation
from keras import ops
from machine import matrix_products, peak, state
from networks import build

from c3dvis import autodiff, objectives
from c3dvis.gallery.plan import CLASSES
from c3dvis.maximize import Maximizer
from c3dvis.maximize.subnetwork import Subnetwork
from c3dvis.models import layers

LAYERS = ("conv1", "conv2", "conv3b", "conv4b", "conv5b")
SECTIONS = ("steps", "neuron", "time", "units")
# Of I3D, one from each endpoint.
UNIT_LAYERS = (
    *("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"),
    *(f"Mixed_{name}" for name in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")),
    CLASSES,
)
NEURON_LAYER, NEURONS = "conv3b", 16
# Steps of tf-keras-vis in one turn, and of ours: two runs of the compiled graph.
THEIR_STEPS, OUR_STEPS = 2, 16


@dataclass(frozen=True)
class Contender:
    """What is timed in turns with others.

    Attributes:
        run: Does some steps on some clips.
        amount: Steps times clips of one run.
    """

    run: Callable[[], object]
    amount: int


def turns(
    contenders: Mapping[str, Contender],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median milliseconds a step and clip of each, timed in turns after one run to warm up."""
    for contender in contenders.values():
        contender.run()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            start = clock()
            contender.run()
            taken[name].append(1e3 * (clock() - start) / contender.amount)
    return {name: statistics.median(each) for name, each in taken.items()}


def whole_step(network: keras.Model, objective, **options) -> Contender:
    """A step as the package does it, with all that belongs to it."""
    maximizer = Maximizer(network, objective, **options)
    unit_indices = maximizer.restart(objective[: maximizer.batch_size])
    rows = maximizer.steps_of(unit_indices, OUR_STEPS)
    count = maximizer.batch_size

    def run():
        autodiff.fit(maximizer, rows, batch_size=count, verbose=0)

    return Contender(run, OUR_STEPS * count)


def bare_step(network: keras.Model, objective, count: int, dtype: str | None) -> Contender:
    """The compiled score and gradient of the subnetwork: nothing decoded, nothing updated."""
    shape = network.inputs[0].shape[1:]
    subnetwork = Subnetwork(network, objective, shape[:3], dtype=dtype)
    shapes = dict(
        zip(objective.layers, (tuple(o.shape[1:]) for o in subnetwork.tap.outputs), strict=True)
    )
    unit_indices = ops.convert_to_tensor(objective[:count].unit_indices(shapes))

    def score(clips):
        activations, indices = subnetwork(clips, unit_indices)
        return subnetwork.objective.score(activations, indices)

    step = autodiff.value_and_gradient(score, variables=subnetwork.network.variables)
    clips = ops.convert_to_tensor(np.random.default_rng(0).random((count, *shape), np.float32))
    return Contender(lambda: ops.convert_to_numpy(step(clips)[0]), count)


def uncut_step(network: keras.Model, objective, count: int) -> Contender:
    """The same with all channels of the last convolution."""
    shape = network.inputs[0].shape[1:]
    tap = layers.tap(network, objective.layers)
    unit_indices = ops.convert_to_tensor(
        objective[:count].unit_indices({objective.layers[0]: tuple(tap.outputs[0].shape[1:])})
    )

    def score(clips):
        return objective.score({objective.layers[0]: tap(clips, training=False)}, unit_indices)

    step = autodiff.value_and_gradient(score, variables=tap.variables)
    clips = ops.convert_to_tensor(np.random.default_rng(0).random((count, *shape), np.float32))
    return Contender(lambda: ops.convert_to_numpy(step(clips)[0]), count)


def their_step(network: keras.Model, layer: str, position=None) -> Contender:
    """A step of tf-keras-vis with its defaults, but for the total variation that fails on clips."""
    run = same_activation.theirs(network, layer)
    score = same_activation.their_score(0, position)
    return Contender(lambda: run(score, THEIR_STEPS), THEIR_STEPS)


def operations(network: keras.Model, layer: str, last: str | None) -> float:
    """Multiplications and additions that a step needs: only one channel of the last convolution.

    Of each convolution the values, and the gradient for its input; weights have none.
    """
    total = 0.0
    tap = layers.tap(network, [layer])
    for operation in tap.operations:
        if not isinstance(operation, keras.layers.Conv3D):
            continue
        channels = 1 if operation.name == last else operation.filters
        places = np.prod(operation.output.shape[1:4])
        inputs = operation.input.shape[-1]
        total += 2 * 2 * places * np.prod(operation.kernel_size) * inputs * channels
    return total


def steps_table(network, name: str, options, peaks: Mapping[str, float]) -> list[str]:
    """Milliseconds a step and filter of every layer, and their ratios."""
    rows = [
        "| layer | dtype | tf-keras-vis | c3dvis, pixels | times faster | bare step | all channels "
        "| pixels / bare | c3dvis, Fourier | Fourier / bare | share of peak |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    plain = {"transforms": [], "regularizers": []}
    for layer in options.layers:
        objective = objectives.channel(layer, range(4))
        contenders = {
            "theirs": their_step(network, layer),
            "all": uncut_step(network, objective, 4),
        }
        for dtype in options.dtype:
            kind = None if dtype == "float32" else dtype
            settings = {**plain, "dtype": kind}
            contenders |= {
                f"pixels {dtype}": whole_step(
                    network, objective, parametrization="pixels", **settings
                ),
                f"fourier {dtype}": whole_step(network, objective, **settings),
                f"bare {dtype}": bare_step(network, objective, 4, kind),
            }
        seconds = turns(contenders, options.repeats)
        work = operations(network, layer, layer)
        for dtype in options.dtype:
            pixels, fourier, bare = (seconds[f"{k} {dtype}"] for k in ("pixels", "fourier", "bare"))
            share = work / (pixels * 1e-3) / peaks[dtype]
            rows.append(
                f"| {name} {layer} | {dtype} | {seconds['theirs']:.1f} | {pixels:.1f} "
                f"| {seconds['theirs'] / pixels:.1f} | {bare:.1f} | {seconds['all']:.1f} "
                f"| {pixels / bare:.2f} | {fourier:.1f} | {fourier / bare:.2f} | {share:.0%} |"
            )
            print(rows[-1], flush=True)
    return rows


def neuron_table(network, name: str, options) -> list[str]:
    """The centre neuron of one layer, many channels at once."""
    rows = [
        "| neuron | dtype | tf-keras-vis | c3dvis, pixels | times faster |",
        "|---|---|---|---|---|",
    ]
    extent = layers.tap(network, [NEURON_LAYER]).outputs[0].shape[1:4]
    centre = tuple(n // 2 for n in extent)
    objective = objectives.neuron(NEURON_LAYER, range(NEURONS))
    contenders = {"theirs": their_step(network, NEURON_LAYER, centre)}
    for dtype in options.dtype:
        contenders[dtype] = whole_step(
            network,
            objective,
            parametrization="pixels",
            transforms=[],
            batch_size=NEURONS,
            dtype=None if dtype == "float32" else dtype,
        )
    seconds = turns(contenders, options.repeats)
    for dtype in options.dtype:
        ours, other = seconds[dtype], seconds["theirs"]
        rows.append(
            f"| {name} {NEURON_LAYER} {centre}, {NEURONS} at once | {dtype} | {other:.1f} "
            f"| {ours:.2f} | {other / ours:.0f} |"
        )
        print(rows[-1], flush=True)
    return rows


def units_table(network, name: str, options) -> list[str]:
    """One unit of each layer, and classes: processor time of a step. Float32 alone."""
    rows = [
        "| layer | clips at once | operations of a clip's step, 1e9 | bare step, ms "
        "| whole step, ms | whole / bare | share of peak | bare step's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    multiply, products = matrix_products("float32", 2)
    for layer in options.unit_layers:
        objective = objectives.logit(range(2)) if layer == CLASSES else f"{layer}:0"
        objective = objectives.of(objective, network)
        contenders = {
            "peak": Contender(multiply, 1),
            "bare": bare_step(network, objective, len(objective), None),
            "whole": whole_step(network, objective, batch_size=len(objective)),
        }
        seconds = turns(contenders, options.repeats, time.process_time)
        work, most = unit_operations(network, objective), products / seconds["peak"]
        rows.append(
            f"| {layer} | {len(objective)} | {work / 1e9:.2f} "
            f"| {seconds['bare']:.0f} | {seconds['whole']:.0f} "
            f"| {seconds['whole'] / seconds['bare']:.2f} "
            f"| {work / seconds['whole'] / most:.0%} | {work / seconds['bare'] / most:.0%} |"
        )
        print(rows[-1], flush=True)
    return rows


def unit_operations(network: keras.Model, objective) -> float:
    """As `operations`; where a layer joins several convolutions, all their channels are needed."""
    tap = layers.tap(network, objective.layers)
    last = [o for o in tap.operations if isinstance(o, keras.layers.Conv3D)][-1]
    alone = tap.outputs[0].shape[-1] == last.filters
    return operations(network, objective.layers[0], last.name if alone else None)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _arguments(arguments)
    text = ["# How fast clips are made", "", *state(), ""]
    # Of the units, the peak is measured in turns with them.
    several = {"steps", "neuron", "time"} & {*options.sections}
    peaks = {dtype: peak(dtype) for dtype in options.dtype if several}
    if peaks:
        rates = [f"{value / 1e9:.0f} GFLOP/s in {dtype}" for dtype, value in peaks.items()]
        text += [f"Peak of matrix products, measured in this run: {', '.join(rates)}.", ""]
    sections: dict[str, tuple[str, Callable]] = {
        "steps": (
            "Milliseconds a step and filter, median of turns. tf-keras-vis runs with its defaults, "
            "but for total variation, which fails on clips; c3dvis without transforms and "
            "regularizers, four filters at once. The bare step is the compiled score and gradient "
            "of the subnetwork.",
            lambda network, name: steps_table(network, name, options, peaks),
        ),
        "neuron": (
            "Milliseconds a step and neuron.",
            lambda network, name: neuron_table(network, name, options),
        ),
        "time": (
            same_activation.EXPLANATION,
            lambda network, name: same_activation.table(name, options),
        ),
        "units": (
            "Milliseconds of processor time a step and clip, of all threads, median of turns; so "
            "is the peak of matrix products, measured in turns with each layer. The whole step is "
            "that of the defaults, with all that belongs to it: Fourier, transforms, optimizer. "
            "The bare step is the compiled score and gradient of the subnetwork. What a step "
            "costs does not depend on the unit, which is read from the data that it is fed. "
            "Operations are those of convolutions alone.",
            lambda network, name: units_table(network, name, options),
        ),
    }
    for section in options.sections:
        explanation, table = sections[section]
        text += [explanation, ""]
        for name in options.networks:
            keras.backend.clear_session()
            text += [*table(build(name, options.size), name), ""]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(text), encoding="utf-8")
    print(f"\nWritten to {options.out}.")


def _arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=["c3d", "c3d-motion"], metavar="NAME")
    add("--layers", nargs="+", default=list(LAYERS), metavar="LAYER")
    add("--size", nargs=2, type=int, metavar=("H", "W"), help="of the full-size C3D's clips")
    add("--repeats", type=int, default=5, metavar="N", help="turns of each")
    add("--dtype", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    add("--sections", nargs="+", default=["steps", "neuron"], choices=SECTIONS)
    add("--unit-layers", nargs="+", default=list(UNIT_LAYERS), metavar="LAYER", help="for units")
    add("--time-layers", nargs="+", default=["conv2", "conv3b", "conv5b", "fc8"], metavar="LAYER")
    add("--filters", type=int, default=16, metavar="N", help="a layer, for the time")
    add("--their-steps", type=int, default=200, metavar="N", help="of tf-keras-vis, for the time")
    add("--their-scale", type=float, default=1.0, help="its score is multiplied by this")
    add("--steps", type=int, default=512, metavar="N", help="most of ours, for the time")
    out = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-maximize.md"
    add("--out", type=Path, default=out)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
