"""`maximize`: clips that excite units of a network, in one call."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

from c3dvis.maximize import arguments
from c3dvis.maximize.callbacks import Snapshots
from c3dvis.maximize.defaults import STEPS
from c3dvis.maximize.maximizer import STEPS_AT_ONCE, Maximizer
from c3dvis.objectives import Objective


def maximize(
    network: keras.Model,
    objective: Objective | str | int | Sequence,
    *,
    steps: int | None = None,
    seed: int = 0,
    start: ArrayLike | None = None,
    snapshots: Sequence[int] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | keras.callbacks.Callback | None = None,
    verbose: int = 0,
    **options,
) -> np.ndarray:
    """Clips that excite units of a network.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to maximize: an objective, or anything that `objectives.of` accepts, such as
            "conv3b:0-7", the name or index of a class, or a list of these. One clip is made for
            each unit.
        steps: Steps of the optimizer; None means 128, or the last of the snapshots.
        seed: The same seed makes the same clips.
        start: Clip `(T, H, W, C)` in [0, 1] to start from (deep dream), or one for each unit, with
            the parametrizations "pixels" and "fourier"; None starts from noise.
        snapshots: Numbers of steps, such as `(1, 16, 64)`, after which the clips are returned, in
            steps of 1/255; None returns the final clips only.
        callbacks: Keras callbacks of `fit`, or one.
        verbose: As in `fit`.
        **options: Options of `Maximizer`: parametrization, transforms, regularizers, size, input,
            ...

    Returns:
        float32 `(len(objective), T, H, W, C)` in [0, 1]; with snapshots
        `(len(snapshots), len(objective), T, H, W, C)`.

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
        >>> maximize(network, "conv1:0", snapshots=(2, 4)).shape
        (2, 1, 16, 64, 64, 3)
    """
    arguments.check_options(options, Maximizer.__init__, maximize)
    callbacks = arguments.several(callbacks)
    forming = None if snapshots is None else Snapshots(at=snapshots)
    if forming is not None:
        callbacks = [*callbacks, forming]
        steps = max(forming.at[-1], 1) if steps is None else steps
        options = {"steps_per_execution": math.gcd(*forming.at, STEPS_AT_ONCE), **options}
    maximizer = Maximizer(network, objective, **options)
    steps = STEPS if steps is None else steps
    results = maximizer.make(
        steps=steps, seed=seed, start=start, callbacks=callbacks, verbose=verbose
    )
    clips = np.stack([result.clip for result in results])
    return clips if forming is None else np.stack(forming.units, axis=1).astype(np.float32) / 255
