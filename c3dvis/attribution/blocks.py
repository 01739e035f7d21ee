"""The blocks that occlusion hides, and the search from coarse to fine for those that matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.convergence import relative_error

# Size of the largest windows of a search from coarse to fine, in blocks along each axis.
_COARSE = 4
_SPLIT_AT_ONCE = 2  # windows, so that about 16 clips are computed before the next choice

# Indices of the first block and of the one after the last, along each axis.
Window = tuple[tuple[int, int], ...]
# The drops of the score without each of some windows.
Measure = Callable[[list[Window]], Sequence[float]]


class Blocks:
    """All blocks of a clip, numbered along each axis."""

    def __init__(self, shape: tuple[int, ...], block: tuple[int, ...], stride: tuple[int, ...]):
        self.block, self.firsts = block, []
        for length, size, step in zip(shape, block, stride, strict=True):
            count = math.ceil((length - size) / step) + 1
            # Blocks at the end of an axis are shifted inside, so that all have the same size.
            self.firsts.append([min(i * step, length - size) for i in range(count)])
        self.counts = tuple(map(len, self.firsts))
        self._hides = [
            np.array(
                [[first <= i < first + size for i in range(length)] for first in firsts], float
            )
            for length, size, firsts in zip(shape, block, self.firsts, strict=True)
        ]
        self._overlap = self._sum(np.ones(self.counts))

    def windows(self, most: int) -> list[Window]:
        """Windows of up to `most` blocks along each axis, which together cover each block once."""
        whole: Window = tuple((0, count) for count in self.counts)
        parts = [-(-count // most) for count in self.counts]
        return _split(whole, parts)

    def pixels(self, window: Window) -> tuple[slice, ...]:
        """What is hidden with all blocks of a window."""
        axes = zip(window, self.firsts, self.block, strict=True)
        return tuple(slice(f[first], f[end - 1] + size) for (first, end), f, size in axes)

    def share(self, window: Window) -> float:
        """The volume of one block relative to that of a window."""
        volume = math.prod(part.stop - part.start for part in self.pixels(window))
        return math.prod(self.block) / volume

    def mean(self, blocks: NDArray[np.float64]) -> NDArray[np.float64]:
        """At each pixel the mean of a value over all blocks that hide it, `(T, H, W)`."""
        return self._sum(blocks) / self._overlap

    def _sum(self, blocks: NDArray[np.float64]) -> NDArray[np.float64]:
        frames, rows, columns = self._hides
        return np.einsum("abc,at,bh,cw->thw", blocks, frames, rows, columns, optimize=True)


def _split(window: Window, parts: list[int]) -> list[Window]:
    """A window in equal parts along each axis, each of a block or more."""
    cut: list[Window] = [()]
    for (first, end), count in zip(window, parts, strict=True):
        ends = [first + (end - first) * i // count for i in range(count + 1)]
        cut = [(*head, (a, b)) for head in cut for a, b in zip(ends, ends[1:], strict=False)]
    return cut


@dataclass
class Drops:
    """The drops of windows that together cover each block once.

    Attributes:
        grid: Grid of the blocks.
        drops: Drop of the score without each window.
        samples: Number of scored clips, including those of windows that were split later.
    """

    grid: Blocks
    drops: dict[Window, float]
    samples: int = field(init=False)

    def __post_init__(self):
        self.samples = len(self.drops)

    def heatmap(self) -> NDArray[np.float64]:
        """Blocks of a window that was not split share its drop by volume."""
        return self.grid.mean(self._blocks(self.grid.share))

    def error_bound(self) -> float:
        """Relative error of the heatmap if no block changes the score more than its window."""
        bound = np.abs(self._blocks(lambda window: float(_size(window) > 1)))
        return relative_error(self.grid.mean(bound), self.heatmap())

    def split(self, drops: Measure) -> None:
        """Splits the windows of several blocks that may contribute most to the error."""
        several = [window for window in self.drops if _size(window) > 1]
        several.sort(key=lambda window: -(self.drops[window] ** 2) * _size(window))
        parts: list[Window] = []
        for window in several[:_SPLIT_AT_ONCE]:
            del self.drops[window]
            parts += _split(window, [min(2, end - first) for first, end in window])
        self.drops |= dict(zip(parts, drops(parts), strict=True))
        self.samples += len(parts)

    def largest(self) -> Window:
        """The single block with the largest drop, or the window if none was hidden alone."""
        single = {window: drop for window, drop in self.drops.items() if _size(window) == 1}
        candidates = single or self.drops
        return max(candidates, key=lambda window: candidates[window])

    def _blocks(self, weight) -> NDArray[np.float64]:
        blocks = np.zeros(self.grid.counts)
        for window, drop in self.drops.items():
            blocks[tuple(slice(*ends) for ends in window)] = drop * weight(window)
        return blocks


def _size(window: Window) -> int:
    return math.prod(end - first for first, end in window)


def measure_drops(grid: Blocks, drops: Measure, tolerance: float | None) -> Drops:
    """The drops of all blocks or, with a tolerance, of windows that are split as far as needed.

    Args:
        grid: Grid of the blocks.
        drops: Function of windows that returns the drop of the score without each.
        tolerance: Maximum `Drops.error_bound`; None measures every block.
    """
    windows = grid.windows(1 if tolerance is None else _COARSE)
    measured = Drops(grid, dict(zip(windows, drops(windows), strict=True)))
    while tolerance is not None and measured.error_bound() > tolerance:
        measured.split(drops)
    return measured
