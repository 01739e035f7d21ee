"""Clips that excite units of a network, in one call."""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

from c3dvis.maximize.maximizer import Maximizer
from c3dvis.objectives import Objective


def maximize(
    network: keras.Model,
    objective: Objective | str | int | Sequence,
    *,
    steps: int = 128,
    seed: int = 0,
    start: ArrayLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    **options,
) -> np.ndarray:
    """Clips that excite units of a network.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to raise, an objective or what `objectives.of` takes for one: "conv3b:0-7",
            the name of a class, its index, a list of these. One clip is made for each unit.
        steps: Steps of the optimizer.
        seed: The same seed makes the same clips.
        start: Clip `(T, H, W, C)` in [0, 1] to start from (deep dream), or one for each unit, with
            the parametrizations "pixels" and "fourier"; None starts from noise.
        callbacks: Keras callbacks of `fit`.
        verbose: As in `fit`.
        **options: Those of `Maximizer`: parametrization, transforms, regularizers, size, ...

    Returns:
        float32 `(len(objective), T, H, W, C)` in [0, 1].

    Raises:
        ValueError: An unknown layer, channel, class or option.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import maximize
        >>> network = models.build("c3d-motion")
        >>> maximize(network, objectives.channel("conv1", range(2)), steps=4).shape
        (2, 16, 64, 64, 3)
        >>> maximize(network, "conv1:0-1", steps=4).shape
        (2, 16, 64, 64, 3)
    """
    maximizer = Maximizer(network, objective, **options)
    results = maximizer.make(
        steps=steps, seed=seed, start=start, callbacks=callbacks, verbose=verbose
    )
    return np.stack([result.clip for result in results])
