"""Cascading weight randomization: whether a heatmap depends on the network's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution.metrics import ties
from c3dvis.models import layers


@dataclass(frozen=True)
class Stage:
    """Heatmaps after one more layer was randomized.

    Attributes:
        layer: Its name; it and all later layers are randomized.
        similarities: float64 `(N,)`, rank correlation of each clip's heatmap with its original.
    """

    layer: str
    similarities: NDArray[np.float64]


def cascading_randomization(
    network: keras.Model,
    explain: Callable[[NDArray[np.float32]], ArrayLike],
    clips: Sequence[NDArray[np.float32]],
    *,
    seed: int = 0,
) -> list[Stage]:
    """Compares heatmaps as the network's layers are randomized one by one, the last first.

    A heatmap that stays the same shows the clip, not what the network has learned. The values of
    each weight are shuffled rather than drawn from its initializer: so they keep their scale, batch
    normalization stays valid, and weights loaded from a file can be randomized too. Afterwards, and
    after an error, the network has its own weights again.

    Args:
        network: The network that `explain` explains.
        explain: Function from a clip to its heatmap, such as
            `lambda clip: attribute(network, clip, objective).heatmap`. Name the objective: the
            predicted class changes with the weights.
        clips: One clip or more, `(T, H, W, C)` each.
        seed: Seed of the shuffling.

    Returns:
        One `Stage` for each layer with weights, from the output to the input.

    Raises:
        ValueError: No clip.

    Example:
        >>> from c3dvis import objectives
        >>> from c3dvis.attribution import attribute
        >>> clip = keras.Input((2, 4, 4, 1))
        >>> x = keras.layers.Conv3D(2, 2, name="conv")(clip)
        >>> x = keras.layers.GlobalAveragePooling3D()(x)
        >>> network = keras.Model(clip, keras.layers.Dense(2, name="scores")(x))
        >>> def explain(clip):
        ...     return attribute(network, clip, objectives.logit(0), method="gradient").heatmap
        >>> stages = cascading_randomization(network, explain, np.zeros((1, 2, 4, 4, 1)))
        >>> [stage.layer for stage in stages]
        ['scores', 'conv']

    Adebayo et al. 2018, "Sanity Checks for Saliency Maps", https://arxiv.org/abs/1810.03292
    """
    if not len(clips):
        raise ValueError("Expected one clip or more. Received: none.")
    infos = [info for info in layers.describe(network) if info.weights and not info.is_open]
    rng = np.random.default_rng(seed)
    originals = [np.asarray(explain(clip)) for clip in clips]
    stages = []
    with _restored(network):
        for info in reversed(infos):
            _shuffle(info.layer, rng)
            randomized = [explain(clip) for clip in clips]
            pairs = zip(originals, randomized, strict=True)
            stages.append(Stage(info.name, np.array([rank_correlation(a, b) for a, b in pairs])))
    return stages


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation of two heatmaps `(T, H, W)`.

    Args:
        first: `(T, H, W)`, signed.
        second: Heatmap of the same shape.

    Returns:
        From -1 to 1; 1 for equal heatmaps, even constant ones; 0 if only one is constant.

    Raises:
        ValueError: Shapes that differ.

    Example:
        >>> rank_correlation([[[1, 2, 3]]], [[[2, 4, 9]]])
        1.0
    """
    a, b = (ties.finite(heatmap, 3, "heatmap") for heatmap in (first, second))
    if a.shape != b.shape:
        raise ValueError(f"Expected heatmaps of the same shape. Received: {a.shape} and {b.shape}.")
    if np.array_equal(a, b):
        return 1.0
    if not np.ptp(a) or not np.ptp(b):
        return 0.0
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of all values; ties get their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which.ravel()]


def _shuffle(layer: keras.layers.Layer, rng: np.random.Generator) -> None:
    for weight in layer.weights:
        values = ops.convert_to_numpy(weight.value)
        # Integer weights are the random state of layers such as dropout.
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(rng.permutation(values.ravel()).reshape(values.shape))


@contextmanager
def _restored(network: keras.Model) -> Iterator[None]:
    """Restores the weights of a network on exit."""
    before = [np.array(ops.convert_to_numpy(weight.value)) for weight in network.weights]
    try:
        yield
    finally:
        for weight, values in zip(network.weights, before, strict=True):
            weight.assign(values)
