"""Initial masks of the fast search: the cells with the largest integrated gradients."""

import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis.attribution.masks.search import MaskSearch

_POINTS = 8
_HALVINGS = 10
# A mask that shrinks keeps the class on its way; one that is too small at first may never find it.
_INITIAL_AREA_FACTOR = 2.0


def initial_grids(search: MaskSearch, unit_indices: NDArray[np.int32]) -> NDArray[np.float32]:
    """Grids of masks with twice their areas, which the search shrinks.

    Integrated gradients attribute the rise of the reward from the most perturbed clip to the clip
    itself to the cells of a grid; each mask holds the cells of the largest attributions.

    Args:
        search: With its clip loaded.
        unit_indices: The class, as `Scorer.unit_indices`.

    Returns:
        float32 `(areas, T, rows, columns)` in [0, 1].
    """
    cells = search.sensitivity(unit_indices, _POINTS)
    groups = len(cells) if search.energy.per_frame else 1
    ranks = _ranks(cells.reshape(groups, -1)).reshape(cells.shape)
    # Bisection, on a logarithmic scale, for the share of cells whose mask has the area.
    low, high = np.full(len(search.areas), 1 / cells.size), np.ones(len(search.areas))
    for _ in range(_HALVINGS):
        share = np.sqrt(low * high)
        grids = _top_cells(ranks, share)
        covered = ops.convert_to_numpy(search.masks(ops.convert_to_tensor(grids)))
        large = covered.mean(axis=(1, 2, 3)) > _INITIAL_AREA_FACTOR * np.array(search.areas)
        low, high = np.where(large, low, share), np.where(large, share, high)
    return grids


def _ranks(rows: NDArray) -> NDArray:
    """Ranks of the values of each row, as shares: above 0 for the smallest, 1 for the largest."""
    return (rows.argsort(axis=1).argsort(axis=1) + 1) / rows.shape[1]


def _top_cells(ranks: NDArray, shares: NDArray) -> NDArray[np.float32]:
    """Grids with a share of the highest cells on; a soft threshold keeps the gradient of others."""
    shares = shares.reshape(-1, 1, 1, 1)
    return np.clip(0.5 + (ranks - (1 - shares)) / shares, 0, 1).astype(np.float32)
