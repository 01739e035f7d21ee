"""Smooth masks from a coarse grid of numbers, which the search optimises.

Every cell of the grid is a soft disc of its own value, and a mask is the smooth maximum of the
discs, so that no mask has details finer than a disc (Fong et al. 2019,
https://arxiv.org/abs/1910.08485).
"""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops

COLDNESS = 20.0
"""Of the smooth maximum: a mean weighted by exp(COLDNESS * value)."""

STEP = 7
"""Pixels from one cell of a grid to the next, at most."""


@dataclass(frozen=True)
class Axis:
    """The cells of a grid that the pixels of one axis read.

    A mask reaches beyond its frame by `sigma` pixels on each side, so that a disc at the edge has
    nearly the same area as one in the middle.

    Attributes:
        length: Pixels of the frame.
        step: Pixels from cell to cell; cell `i` stands on pixel `step * i`.
        sigma: Pixels; a disc falls to 0.6 of its height there.
    """

    length: int
    step: int
    sigma: int

    @property
    def cells(self) -> int:
        """Cells of the grid."""
        return math.ceil(self.length / self.step)

    @property
    def padded(self) -> int:
        """Pixels of the mask with its margins."""
        reach = 1 + math.ceil(self.sigma / self.step)
        around = 1 + math.ceil(2 * self.sigma / self.step)
        return self.step * (self.cells + 2 * (around - reach) - 1) + 1

    def taps(self) -> tuple[np.ndarray, np.ndarray]:
        """The cells that each pixel reads and its distance to them, `(padded, taps)` each.

        Cells below 0 or from `cells` on lie outside the grid and hold nothing.
        """
        reach = 1 + math.ceil(self.sigma / self.step)
        around = 1 + math.ceil(2 * self.sigma / self.step)
        pixels = np.arange(self.padded)[:, None]
        cells = pixels // self.step + np.arange(2 * reach + 1) - around
        return cells, np.abs(pixels - self.sigma - self.step * cells)

    def selection(self) -> np.ndarray:
        """One-hot cells, `(padded * taps, cells)`: a row for each pixel and tap."""
        cells, _ = self.taps()
        return (cells.reshape(-1, 1) == np.arange(self.cells)).astype(np.float32)


def default_sigma(height: int, width: int) -> int:
    """Radius of the discs in pixels: 11 for frames of 112 pixels, 23 for 224, as published.

    Frames of other sizes get discs of the same share of their shorter side.
    """
    side = min(height, width)
    sigma = np.interp(side, (0, 112, 224), (0, 11, 23)) if side <= 224 else side * 23 / 224
    return max(1, round(float(sigma)))


class MaskGenerator:
    """Turns grids into masks with margins.

    Args:
        size: `(height, width)` of the frames in pixels.
        step: Pixels from cell to cell; None is 7, or `sigma` where that is less, as discs further
            apart than their radius leave gaps.
        sigma: Radius of a disc in pixels; None is `default_sigma`.

    Attributes:
        sigma: Radius of a disc in pixels.
        grid: `(rows, columns)` of the grid.
        padded: `(height, width)` of a mask with its margins.
    """

    def __init__(self, size: tuple[int, int], *, step: int | None = None, sigma: int | None = None):
        self.sigma = default_sigma(*size) if sigma is None else sigma
        step = min(STEP, self.sigma) if step is None else step
        if min(step, self.sigma) < 1:
            raise ValueError(f"Expected step and sigma from 1. Received: {step} and {sigma}.")
        self.axes = down, across = [Axis(length, step, self.sigma) for length in size]
        self.grid = (down.cells, across.cells)
        self.padded = (down.padded, across.padded)

    def __call__(self, grids):
        """Grids `(..., rows, columns)` in [0, 1] to masks `(..., *padded)` in [0, 1]."""
        raise NotImplementedError

    def crop(self, masks):
        """Masks without their margins, `(..., height, width)`."""
        (top, height), (left, width) = ((axis.sigma, axis.length) for axis in self.axes)
        return masks[..., top : top + height, left : left + width]


class RadialMasks(MaskGenerator):
    """The published generator: every pixel reads all cells of a square around it.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.masks.generators import RadialMasks
        >>> masks = RadialMasks((112, 112))
        >>> masks.grid, masks.padded, tuple(masks(np.ones((1, 16, 16), "float32")).shape)
        ((16, 16), (134, 134), (1, 134, 134))
    """

    def __init__(self, size: tuple[int, int], **options):
        super().__init__(size, **options)
        self._rows, self._columns = (axis.selection() for axis in self.axes)
        down, across = (axis.taps()[1] for axis in self.axes)
        distance = np.hypot(down[:, :, None, None], across)
        # By pixel and tap of the rows, then of the columns.
        self._weights = _disc(distance / self.sigma)

    def __call__(self, grids):
        """Grids `(..., rows, columns)` in [0, 1] to masks `(..., *padded)` in [0, 1]."""
        read = ops.matmul(ops.matmul(self._rows, grids), self._columns.T)
        read = ops.reshape(read, (*grids.shape[:-2], *self._weights.shape))
        return smooth_max(read * self._weights, axis=(-3, -1))


class SeparableMasks(MaskGenerator):
    """Discs with corners: the smooth maximum first along rows, then along columns.

    A pixel reads two rows of cells instead of a square of them. The weight of a cell is the product
    of one weight an axis, which along the axes is the weight of the published generator.
    """

    def __init__(self, size: tuple[int, int], **options):
        super().__init__(size, **options)
        self._rows, self._columns = (
            axis.selection() * _disc(axis.taps()[1].reshape(-1, 1) / self.sigma)
            for axis in self.axes
        )

    def __call__(self, grids):
        """Grids `(..., rows, columns)` in [0, 1] to masks `(..., *padded)` in [0, 1]."""
        height, width = self.padded
        *lead, rows, _ = grids.shape
        taps = len(self._rows) // height
        read = ops.reshape(ops.matmul(grids, self._columns.T), (*lead, rows, width, taps))
        read = ops.matmul(self._rows, smooth_max(read, axis=-1))
        return smooth_max(ops.reshape(read, (*lead, height, taps, width)), axis=-2)


def smooth_max(values, axis):
    """Mean of values in [0, 1], weighted by exp(COLDNESS * value)."""
    weights = ops.exp(COLDNESS * values)
    return ops.sum(values * weights, axis=axis) / ops.sum(weights, axis=axis)


def _disc(distance: np.ndarray) -> np.ndarray:
    """Height of a disc, by the distance from its centre in units of sigma."""
    return np.exp(-2 * np.maximum(distance - 0.5, 0) ** 2).astype(np.float32)
