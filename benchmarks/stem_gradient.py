"""How much faster c3dvis computes the gradient of strided convolutions than the backend.

python benchmarks/stem_gradient.py [--turns N] [--quick] [--out FILE]

The first convolution of I3D, R3D and R(2+1)D on a clip 16 x 112 x 112 x 3: the gradient for the
clip, with some of its channels. Then the values and the gradient of a class of the full I3D with
random weights, as a maximizer computes them. Both sides take turns in one process.
"""

import argparse
import contextlib
from collections.abc import Callable, Sequence

import numpy as np
from keras import ops
from machine import add_out, state, write_page
from maximize import Contender, turns

from c3dvis import autodiff, convolution, models, objectives, rewire
from c3dvis.maximize.subnetwork import Subnetwork

SHAPE = (16, 112, 112, 3)
CHANNELS = (1, 3, 8, 64)
# Kernel, strides and padding.
STEMS = {
    "I3D": ((7, 7, 7), (2, 2, 2), "same"),
    "R3D, MC3": ((3, 7, 7), (1, 2, 2), "same"),
    "R(2+1)D, TSM": ((1, 7, 7), (1, 2, 2), "same"),
}


def stem(convolve: Callable, channels: int, kernel_size, strides, padding: str) -> Callable:
    """The gradient of the sum of squares of a first convolution's output."""
    size = (*kernel_size, SHAPE[-1], channels)
    kernel = np.random.default_rng(0).normal(size=size).astype(np.float32)

    def score(x):
        return ops.sum(ops.square(convolve(x, kernel, strides, padding)))

    return autodiff.value_and_gradient(score)


def of_backend(x, kernel, strides, padding: str):
    return ops.conv(x, kernel, strides, padding, "channels_last")


def of_package(x, kernel, strides, padding: str):
    return convolution.conv(x, kernel, strides, padding, (1, 1, 1))


def class_score(network) -> Callable:
    """The logit of a class and its gradient; compiled when it is first called."""
    part = Subnetwork(network, objectives.logit(0), SHAPE[:3])
    unit_indices = np.zeros((1, 1), np.int32)

    def score(x):
        activations, own = part(x, unit_indices)
        return part.objective.score(activations, own)

    return autodiff.value_and_gradient(score, variables=network.variables)


@contextlib.contextmanager
def without_quick_convolutions():
    """Inside the block, networks are compiled with the backend's own convolutions."""
    own = rewire.is_quick_convolution
    rewire.is_quick_convolution = lambda layer: False
    try:
        yield
    finally:
        rewire.is_quick_convolution = own


def compared(sides: Sequence[Callable], repeats: int) -> tuple[list[float], float]:
    """Seconds of both sides, and how far their gradients are apart, relative to the largest."""
    clip = np.random.default_rng(1).random((1, *SHAPE), np.float32)
    runs = {str(i): (lambda run=run: gradient(run, clip)) for i, run in enumerate(sides)}
    first, other = (run() for run in runs.values())
    milliseconds = turns({name: Contender(run, 1) for name, run in runs.items()}, repeats)
    difference = np.abs(other - first).max() / np.abs(first).max()
    return [each / 1e3 for each in milliseconds.values()], difference


def gradient(run: Callable, clip: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(run(clip)[1])


def whole(repeats: int) -> tuple[list[float], float]:
    """The full I3D."""
    network = models.I3D(input_shape=SHAPE)
    runs = [class_score(network) for _ in range(2)]
    with without_quick_convolutions():
        runs[0](np.zeros((1, *SHAPE), np.float32))
    return compared(runs, repeats)


def row(name: str, channels: str, taken: Sequence[float], difference: float) -> str:
    before, after = taken
    ratio = before / after
    return f"| {name} | {channels} | {before:.3f} | {after:.3f} | {ratio:.1f} | {difference:.0e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, metavar="N")
    parser.add_argument("--quick", action="store_true", help="without the full I3D")
    add_out(parser)
    options = parser.parse_args()
    lines = [
        "# The gradient of a first convolution with strides",
        "",
        "Written by `benchmarks/stem_gradient.py`, which says how it is measured.",
        "",
        *state(),
        "",
        "| network | channels | backend, s | c3dvis, s | times as fast | difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, (kernel_size, strides, padding) in STEMS.items():
        for channels in CHANNELS:
            sides = [
                stem(convolve, channels, kernel_size, strides, padding)
                for convolve in (of_backend, of_package)
            ]
            lines.append(row(name, str(channels), *compared(sides, options.turns)))
    if not options.quick:
        lines.append(row("I3D, a class", "all", *whole(options.turns)))
    page = "\n".join(lines) + "\n"
    write_page(page, options.out)


if __name__ == "__main__":
    main()
