"""What a maximizer is given, checked, and what it takes where nothing is given."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from c3dvis import clips as clip_values
from c3dvis.maximize import transforms
from c3dvis.maximize.defaults import Defaults
from c3dvis.maximize.optimizers import ClipwiseAdam
from c3dvis.objectives import Objective


def probe(shape: tuple[int, ...], preprocess: Callable | None):
    """What a network takes of a black clip, `(1, ...)`."""
    black = ops.zeros((1, *shape), "float32")
    return black if preprocess is None else preprocess(black)


def check_counts(objective: Objective, batch_size: int | None, steps_per_execution: int) -> None:
    """Refuses numbers of clips and steps that no run can have."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size}.")
    if steps_per_execution < 1:
        raise ValueError(
            f"Expected 1 step or more in an execution. Received: {steps_per_execution}."
        )
    if objective.batchwise and len(objective) < 2:
        raise ValueError(
            "Expected two units or more, as the objective compares clips; a unit can be given "
            f"several times: channel(layer, [7] * 4). Received: {len(objective)}."
        )


def new_optimizer(
    optimizer: keras.optimizers.Optimizer | str | None, learning_rate: float, defaults: Defaults
) -> keras.optimizers.Optimizer:
    """The optimizer of one Maximizer: one keeps the variables of its first model."""
    if optimizer is None:
        return ClipwiseAdam(learning_rate, weight_decay=defaults.weight_decay)
    own = keras.optimizers.get(optimizer)
    return type(own).from_config(own.get_config())


def check_transforms(
    given: Sequence[keras.layers.Layer] | None, shape: tuple[int, ...], defaults: Defaults
) -> list[keras.layers.Layer]:
    """Transforms that keep the shape `(T, H, W, C)` of a clip; None is the default ones."""
    if given is None:
        given = transforms.default(*shape[:3], sizes=defaults.sizes)
    given = list(given)
    count = sum(transform.uniforms for transform in given)
    transformed = transforms.apply(
        given, ops.zeros((1, *shape), "float32"), ops.zeros((1, count), "float32")
    ).shape[1:]
    if tuple(transformed) != tuple(shape):
        raise ValueError(
            f"Expected transforms that keep the clip's shape {tuple(shape)}. Received: transforms "
            f"that return {tuple(transformed)}; Pad(p) goes with Jitter(2 * p)."
        )
    return given


def check_regularizers(regularizers: Sequence[Callable], shape: tuple[int, ...]) -> None:
    """Refuses functions of arrays, before Keras would say so in its own words."""
    for regularizer in regularizers:
        try:
            regularizer(ops.zeros((1, *shape), "float32"))
        except AttributeError as error:
            raise ValueError(
                "Expected regularizers in the operations of keras.ops, such as "
                f"ops.mean(clips, axis=(1, 2, 3, 4)). Received: one that raises {error}."
            ) from error
        except Exception:  # such as one for clips with a channel more: the step itself will tell
            continue


def start_clips(start: ArrayLike, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Clips to start from, one a unit, `(count, T, H, W, C)`.

    Args:
        start: One clip `(T, H, W, C)` for all units, or `count` of them.
        shape: `(T, H, W, C)` of the clips.
        count: Number of units.
    """
    if np.ndim(start) != 5:
        return np.repeat(clip_values.check(start, shape)[None], count, axis=0)
    given = np.asarray(start)
    if len(given) != count:
        raise ValueError(
            f"Expected one clip to start from, or {count}, one for each unit. "
            f"Received: {len(given)}."
        )
    return np.stack([clip_values.check(clip, shape) for clip in given])
