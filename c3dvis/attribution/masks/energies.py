"""The energy of masks: a reward, and losses for their area and for what is outside solid cores."""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops

VARIANTS = ("preserve", "delete", "dual")

CORE = (7, 11, 11)
"""Frames, rows and columns of the ellipsoid that is a core."""

_BINS = 2048
# Share of its box that an ellipsoid fills: pi / 6, rounded as published.
_ELLIPSOID = 0.5236


@dataclass(frozen=True)
class Energy:
    """The energy that a mask minimises.

    `area * growth ** iteration * area_loss + core * core_loss - reward * R`, where R is log p of
    the class where only the mask's pixels are kept (preserve), log(1 - p) where they are removed
    (delete), or the sum of both (dual).

    Attributes:
        reward: Weight of R.
        area: Weight of the area loss.
        growth: Factor by which that weight grows each iteration.
        core: Weight of the core loss.
        core_from: Iteration after which the core loss counts.
        per_frame: Whether the area is that of each frame rather than of the volume.
    """

    reward: float
    area: float = 300.0
    growth: float = 1.0
    core: float = 0.0
    core_from: int = 0
    per_frame: bool = False


def reward(kept, removed, variant: str):
    """R of an `Energy`, of log p where pixels are kept and log(1 - p) where they are removed."""
    if variant == "dual":
        return kept + removed
    return kept if variant == "preserve" else removed


def area_loss(masks, areas, *, exact: bool = False):
    """Mean squared distance of a mask's sorted values to the 0/1 template of its area.

    With `n` values, the smallest `int(n * (1 - area))` should be 0 and the others 1. The loss needs
    no sorting, only the value that divides the two groups, which a histogram of 2048 bins finds.
    Loss and gradient are the same, but for values in the dividing bin, which share its ones evenly:
    what ties get on average where they are sorted at random, as in the published code.

    Args:
        masks: Tensor `(N, values)` in [0, 1].
        areas: Shares of ones, `(N,)`.
        exact: Whether to sort instead.

    Returns:
        Tensor `(N,)`.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.masks.energies import area_loss
        >>> np.array(area_loss(np.array([[0.0, 1.0, 0.0, 0.5]], "float32"), [0.5]))
        array([0.0625], dtype=float32)
    """
    count = masks.shape[-1]
    ones = np.array([count - int(count * (1 - area)) for area in areas])
    if exact:
        template = (np.arange(count) >= count - ones[:, None]).astype(np.float32)
        return ops.mean(ops.subtract(ops.sort(masks, axis=-1), template) ** 2, axis=-1)
    template = ops.stop_gradient(_template(ops.stop_gradient(masks), ones))
    # A template between 0 and 1 is a share of ones: the expected squared distance to 0 and 1.
    return ops.mean(masks * masks + (1 - 2 * masks) * template, axis=-1)


def _template(masks, ones: np.ndarray):
    """For each value its share of the ones, by a histogram of each row."""
    rows, width = len(ones), _BINS + 1
    starts = width * np.arange(rows, dtype=np.int32)[:, None]
    bins = ops.add(ops.cast(masks * _BINS, "int32"), starts)
    flat = ops.reshape(bins, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat, "float32"), flat, num_segments=rows * width)
    counts = ops.reshape(counts, (rows, width))
    upto = ops.cumsum(counts, axis=-1)
    above = upto[:, -1:] - upto
    share = ops.subtract(ones[:, None].astype(np.float32), above) / ops.maximum(counts, 1)
    return ops.reshape(ops.take(ops.reshape(ops.clip(share, 0, 1), (-1,)), flat), masks.shape)


def core_loss(masks, areas, *, core: tuple[int, int, int] = CORE):
    """Distance of a mask from a few solid ellipsoids: the core loss of STEP.

    The mask's mean in an ellipsoid is taken at every frame and every `core[1]` rows and
    `core[2]` columns. As many of these means as ellipsoids fit into the area should be 1, the
    others 0: the mean squared distance of the first and that of the others are added.

    Args:
        masks: Tensor `(N, T, H, W)` in [0, 1].
        areas: Shares of ones, `(N,)`.
        core: Frames, rows and columns of the ellipsoid; no more than the mask has.

    Returns:
        Tensor `(N,)`.
    """
    shape = masks.shape[1:]
    means = _means(masks, ellipsoid(core))
    inside = max(1, int(math.prod(core) * _ELLIPSOID))
    means = -ops.sort(-ops.reshape(means, (masks.shape[0], -1)), axis=-1)
    count = means.shape[-1]
    tops = np.array([min(math.ceil(a * math.prod(shape) / inside), count) for a in areas])
    top = (np.arange(count) < tops[:, None]).astype(np.float32)
    shares = top / tops[:, None], (1 - top) / np.maximum(count - tops, 1)[:, None]
    first, rest = (ops.convert_to_tensor(share.astype(np.float32)) for share in shares)
    return ops.sum((means - 1) ** 2 * first, axis=-1) + ops.sum(means**2 * rest, axis=-1)


def ellipsoid(shape: tuple[int, int, int]) -> np.ndarray:
    """The largest ellipsoid in a box: float32 0 and 1."""
    frames, rows, columns = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape)
    # Whether a point of the surface is inside depends on rounding, as in the published code.
    distance = np.sqrt(frames[:, None, None] ** 2 + rows[:, None] ** 2 + columns**2)
    return (distance <= 1).astype(np.float32)


def _means(masks, kernel: np.ndarray):
    """Means under a kernel of 0 and 1, at every frame and on adjacent tiles of rows and columns."""
    (long, high, wide), (count, frames, height, width) = kernel.shape, masks.shape
    down, across = height // high, width // wide
    tiles = ops.reshape(
        masks[:, :, : down * high, : across * wide], (count, frames, down, high, across, wide)
    )
    tiles = ops.reshape(ops.transpose(tiles, (0, 1, 2, 4, 3, 5)), (-1, high * wide))
    # Each frame under each frame of the kernel; then a kernel's frames are added.
    sums = ops.matmul(tiles, kernel.reshape(long, -1).T / kernel.sum())
    sums = ops.reshape(sums, (count, frames, down, across, long))
    last = frames - long + 1
    return sum(sums[:, k : k + last, :, :, k] for k in range(long))
