"""How much faster `responses.convolve` is than the plain triple loop, and whether it is the same.

python benchmarks/convolve.py [--turns N] [--out docs/benchmarks-convolve.md]

The loop runs over frames, rows and columns; at each position NumPy multiplies and adds. Both take
turns in one process, on a clip 16 x 256 x 256 and a random kernel 5 x 5 x 5 x 3.
"""

import argparse
import statistics
import time

import numpy as np
from machine import add_out, state, write_page

from c3dvis.responses import convolve, random_kernel

SHAPE = (16, 256, 256, 3)


def triple_loop(clip: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The valid cross-correlation, position by position."""
    frames, height, width = kernel.shape[:3]
    extent = [n - k + 1 for n, k in zip(clip.shape[:3], kernel.shape[:3], strict=True)]
    output = np.empty(extent, np.float32)
    for t in range(extent[0]):
        for y in range(extent[1]):
            for x in range(extent[2]):
                part = clip[t : t + frames, y : y + height, x : x + width]
                output[t, y, x] = (part * kernel).sum()
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3, metavar="N")
    add_out(parser)
    options = parser.parse_args()
    clip = np.random.default_rng(0).random(SHAPE, np.float32)
    kernel = random_kernel(5)
    machine = state()
    begun = time.perf_counter()
    convolve(clip, kernel)
    first = time.perf_counter() - begun
    loops, convolved = [], []
    for _ in range(options.turns):
        begun = time.perf_counter()
        expected = triple_loop(clip, kernel)
        loops.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        output = convolve(clip, kernel)
        convolved.append(time.perf_counter() - begun)
    slow, fast = statistics.median(loops), statistics.median(convolved)
    error = np.abs(output - expected).max() / np.abs(expected).max()
    lines = [
        "# A kernel over a clip",
        "",
        "Written by `benchmarks/convolve.py`, which says how it is measured.",
        "",
        *machine,
        "",
        f"| | median of {options.turns} turns |",
        "|---|---|",
        f"| triple loop | {slow:.2f} s |",
        f"| `convolve` | {1e3 * fast:.1f} ms |",
        f"| `convolve`, first call | {1e3 * first:.1f} ms |",
        f"| times faster | {slow / fast:.0f} |",
        f"| largest difference, as a share of the largest response | {error:.1e} |",
        "",
    ]
    text = "\n".join(lines)
    write_page(text, options.out)


if __name__ == "__main__":
    main()
