"""Smooth masks from a coarse grid of numbers, which the search optimises.

Every cell of the grid is a soft disc of its own value, and a mask is the smooth maximum of the
discs, so that no mask has details finer than a disc (Fong et al. 2019,
https://arxiv.org/abs/1910.08485).
"""

import math

import numpy as np
from keras import ops

COLDNESS = 20.0
"""Of the smooth maximum: a mean weighted by exp(COLDNESS * value)."""

STEP = 7
"""Pixels from one cell of a grid to the next, at most."""


def axis_taps(length: int, step: int, sigma: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells that each pixel of one axis of a mask reads, and how far they are.

    A mask reaches beyond its frame by about `sigma` pixels on each side, so that a disc at the edge
    has nearly the same area as one in the middle.

    Args:
        length: Pixels of the frame.
        step: Pixels from cell to cell; cell `i` stands on pixel `step * i` of the frame.
        sigma: Radius of a disc in pixels.

    Returns:
        One-hot cells `(pixels * taps, cells)`, of zeros where a tap is outside the grid, and
        distances in pixels `(pixels, taps)`. Pixels are those of the mask with its margins.
    """
    cells = math.ceil(length / step)
    reach, around = 1 + math.ceil(sigma / step), 1 + math.ceil(2 * sigma / step)
    padded = step * (cells + 2 * (around - reach) - 1) + 1
    pixels = np.arange(padded)[:, None]
    read = pixels // step + np.arange(2 * reach + 1) - around
    one_hot = (read.reshape(-1, 1) == np.arange(cells)).astype(np.float32)
    return one_hot, np.abs(pixels - sigma - step * read)


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
        step: Pixels from cell to cell; None means 7, or `sigma` where that is less, as discs
            further apart than their radius leave gaps.
        sigma: Radius of a disc in pixels; None means `default_sigma`.

    Attributes:
        sigma: Radius of a disc in pixels.
        grid: `(rows, columns)` of the grid.
        padded: `(height, width)` of a mask with its margins.
    """

    def __init__(self, size: tuple[int, int], *, step: int | None = None, sigma: int | None = None):
        self.sigma = default_sigma(*size) if sigma is None else sigma
        step = min(STEP, self.sigma) if step is None else step
        (self._rows, self._down), (self._columns, self._across) = (
            axis_taps(length, step, self.sigma) for length in size
        )
        self.size = size
        self.grid = (self._rows.shape[1], self._columns.shape[1])
        self.padded = (len(self._down), len(self._across))

    def __call__(self, grids):
        """Grids `(..., rows, columns)` in [0, 1] to masks `(..., *padded)` in [0, 1]."""
        raise NotImplementedError

    def crop(self, masks):
        """Masks without their margins, `(..., height, width)`."""
        (height, width), edge = self.size, self.sigma
        return masks[..., edge : edge + height, edge : edge + width]


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
        distance = np.hypot(self._down[:, :, None, None], self._across)
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
    of one weight per axis, which along the axes is the weight of the published generator.
    """

    def __init__(self, size: tuple[int, int], **options):
        super().__init__(size, **options)
        self._rows = self._rows * _disc(self._down.reshape(-1, 1) / self.sigma)
        self._columns = self._columns * _disc(self._across.reshape(-1, 1) / self.sigma)

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
