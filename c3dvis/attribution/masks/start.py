"""Where a fast search for masks begins: where the score comes from, on the way from the blur."""

import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis.attribution.masks.search import MaskSearch

_POINTS = 8
_HALVINGS = 10
# Times the wanted area: a mask that shrinks keeps the class on its way, one that is too small at
# first may never find it.
_ROOM = 2.0


def start(search: MaskSearch, columns: NDArray[np.int32]) -> NDArray[np.float32]:
    """Grids of masks of twice their areas, which the search shrinks.

    The reward's rise on the way from the most perturbed clip to the clip is shared out among the
    cells of a grid, as integrated gradients do it; each mask holds the cells that got most.

    Args:
        search: With its clip loaded.
        columns: Which class, as a `Scorer` gives it.

    Returns:
        float32 `(areas, T, rows, columns)` in [0, 1].
    """
    cells = search.sensitivity(columns, _POINTS)
    groups = len(cells) if search.energy.per_frame else 1
    ranks = _ranks(cells.reshape(groups, -1)).reshape(cells.shape)
    # The share of cells that gives an area is found by halving, on a scale of factors.
    low, high = np.full(len(search.areas), 1 / cells.size), np.ones(len(search.areas))
    for _ in range(_HALVINGS):
        share = np.sqrt(low * high)
        grids = _chosen(ranks, share)
        covered = ops.convert_to_numpy(search.masks(ops.convert_to_tensor(grids)))
        large = covered.mean(axis=(1, 2, 3)) > _ROOM * np.array(search.areas)
        low, high = np.where(large, low, share), np.where(large, share, high)
    return grids


def _ranks(rows: NDArray) -> NDArray:
    """Order of the values of each row, from above 0 for the smallest to 1 for the largest."""
    return (rows.argsort(axis=1).argsort(axis=1) + 1) / rows.shape[1]


def _chosen(ranks: NDArray, shares: NDArray) -> NDArray[np.float32]:
    """Grids whose highest cells are on, a share of them; softly, so that others may follow."""
    shares = shares.reshape(-1, 1, 1, 1)
    return np.clip(0.5 + (ranks - (1 - shares)) / shares, 0, 1).astype(np.float32)
