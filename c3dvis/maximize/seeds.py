"""Seeds of clips: a clip's randomness depends only on the run's seed and on its unit."""

import zlib

import numpy as np

from c3dvis.objectives import Objective

START, TRANSFORMS = 1, 2


def clip_seeds(
    objective: Objective, unit_indices: np.ndarray, seed: int, *, stream: int
) -> list[list[int]]:
    """Seeds for `np.random.default_rng`, one a clip.

    Args:
        objective: Its layers are part of the seeds.
        unit_indices: `(N, terms)`, the clips' units.
        seed: Seed of the run.
        stream: What is drawn: `START` or `TRANSFORMS`.
    """
    layers = zlib.crc32("\0".join(objective.layers).encode())
    units = [[int(index) for index in row] for row in unit_indices]
    if objective.batchwise:
        # Compared clips have different starts, even of one unit, and the same transforms.
        units = [[] if stream == TRANSFORMS else [*row, i] for i, row in enumerate(units)]
    return [[seed, stream, layers, *unit] for unit in units]
