"""Checks of a Maximizer's arguments, and their defaults."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule
from numpy.typing import ArrayLike

from c3dvis import clips as clip_values
from c3dvis.checks import are_numbers, whole
from c3dvis.maximize import transforms
from c3dvis.maximize.defaults import Defaults
from c3dvis.maximize.optimizers import ClipwiseAdam
from c3dvis.objectives import Objective
from c3dvis.text import unknown

LEARNING_RATE = 0.1  # of the default optimizer, where none is given


def check_preprocess(preprocess: Callable | None) -> None:
    """Raises a ValueError for anything but a function of clips."""
    if preprocess is not None and not callable(preprocess):
        raise ValueError(
            "Expected preprocess= a function of clips in [0, 1] that returns what the network "
            f"takes. Received: {preprocess!r}."
        )


def check_counts(objective: Objective, batch_size: int | None, steps_per_execution: int) -> None:
    """Raises a ValueError for impossible numbers of clips or steps."""
    whole(1 if batch_size is None else batch_size, "batch_size", 1)
    whole(steps_per_execution, "steps_per_execution", 1)
    if objective.batchwise and len(objective) < 2:
        raise ValueError(
            "Expected two units or more, as the objective compares clips; a unit can be given "
            f"several times: channel(layer, [7] * 4). Received: {len(objective)}."
        )


# Names of options in other packages, and their names here.
_OTHER_NAMES = {
    **dict.fromkeys(("iterations", "num_steps", "n_iter", "max_iter", "epochs"), "steps"),
    **dict.fromkeys(("seed_input", "init", "initial_clip", "image"), "start"),
    **dict.fromkeys(("param_f", "param"), "parametrization"),
    **dict.fromkeys(("input_modifiers", "augmentations"), "transforms"),
    **dict.fromkeys(("regularization", "penalties"), "regularizers"),
    **dict.fromkeys(("model_preprocess", "input_range", "value_range"), "preprocess"),
    "thresholds": "snapshots",
    "lr": "learning_rate",
    "target": "the objective, which is the second argument",
    "layer": "the objective, such as 'conv3b:7', which is the second argument",
}


def check_options(options: Iterable[str], *takers: Callable) -> None:
    """Raises a ValueError, with the nearest option, for one that none of the functions takes."""
    known = [
        name
        for taker in takers
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in options:
        if name not in known:
            raise unknown("an option", name, known, meant=_OTHER_NAMES.get(name))


def several(callbacks: Any) -> Sequence[keras.callbacks.Callback]:
    """Callbacks as a sequence for `fit`, from several, one or None.

    Raises:
        ValueError: An object that is not a callback.
    """
    if callbacks is None:
        return ()
    given = tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)
    for one in given:
        if not isinstance(one, keras.callbacks.Callback):
            raise ValueError(f"Expected Keras callbacks, such as Snapshots(). Received: {one!r}.")
    return given


def new_optimizer(
    optimizer: keras.optimizers.Optimizer | str | None,
    learning_rate: float | LearningRateSchedule | None,
    defaults: Defaults,
) -> keras.optimizers.Optimizer:
    """A new optimizer for a Maximizer; an optimizer can't be shared by several models."""
    if not (learning_rate is None or isinstance(learning_rate, LearningRateSchedule)):
        if not (are_numbers(learning_rate) and learning_rate > 0):
            raise ValueError(f"Expected a learning rate above 0. Received: {learning_rate!r}.")
    if optimizer is None:
        rate = LEARNING_RATE if learning_rate is None else learning_rate
        return ClipwiseAdam(rate, weight_decay=defaults.weight_decay)
    try:
        own = keras.optimizers.get(optimizer)
    except ValueError:
        raise ValueError(
            f"Expected a Keras optimizer or the name of one, such as 'adam'. "
            f"Received: {optimizer!r}."
        ) from None
    copied = type(own).from_config(own.get_config())
    if learning_rate is not None:
        copied.learning_rate = learning_rate
    return copied


def check_transforms(
    given: Sequence[keras.layers.Layer] | None,
    shape: tuple[int, ...],
    defaults: Defaults,
    outputs: Sequence[tuple[int, ...]],
) -> list[keras.layers.Layer]:
    """Transforms that keep the shape of a clip.

    Args:
        given: By the user; None means the default ones.
        shape: `(T, H, W, C)` of the clip.
        defaults: For the objective.
        outputs: Shapes of what it reads, without the batch axis.
    """
    if given is None:
        shift = (0, _within_place(shape, outputs)) if defaults.is_local else None
        given = transforms.default(*shape[:3], sizes=defaults.sizes, shift=shift)
    several = list(given) if isinstance(given, Iterable) else [None]
    if not all(hasattr(one, "uniforms") and not isinstance(one, type) for one in several):
        raise ValueError(
            "Expected a list of layers of c3dvis.maximize.transforms, such as "
            f"[transforms.Jitter(4)]; there is {', '.join(transforms.names())}. "
            f"Received: {given!r}."
        )
    count = sum(transform.uniforms for transform in several)
    transformed = transforms.apply(
        several, ops.zeros((1, *shape), "float32"), ops.zeros((1, count), "float32")
    ).shape[1:]
    if tuple(transformed) != tuple(shape):
        raise ValueError(
            f"Expected transforms that keep the clip's shape {tuple(shape)}. Received: transforms "
            f"that return {tuple(transformed)}; Pad(p) goes with Jitter(2 * p)."
        )
    return several


def _within_place(shape: tuple[int, ...], outputs: Sequence[tuple[int, ...]]) -> int:
    """A quarter of the pixels from one neuron to the next; at least 1, at most a 16th of all."""
    side = min(shape[1:3])
    places = [max(output[1:3]) for output in outputs if len(output) == 4]
    return min(max(1, side // max(places, default=1) // 4), round(side / 16))


def several_regularizers(regularizers: Sequence[Callable] | None) -> tuple[Callable, ...]:
    """Regularizers as a tuple; None means none. Raises a ValueError for one that is not a list."""
    if regularizers is None:
        return ()
    if not isinstance(regularizers, Iterable):
        raise ValueError(
            "Expected a list of regularizers, such as [TotalVariation(temporal=1)]. "
            f"Received: {regularizers!r}."
        )
    return tuple(regularizers)


def check_regularizers(regularizers: Sequence[Callable], shape: tuple[int, ...]) -> None:
    """Raises a ValueError for regularizers that are not written with `keras.ops`."""
    expected = (
        "Expected regularizers in the operations of keras.ops, such as "
        "lambda clips: ops.mean(clips, axis=(1, 2, 3, 4))"
    )
    for regularizer in regularizers:
        if not callable(regularizer):
            raise ValueError(
                "Expected functions of clips as regularizers, such as TotalVariation() or "
                f"another of c3dvis.maximize.regularizers. Received: {regularizer!r}."
            )
        try:
            penalty = regularizer(ops.zeros((1, *shape), "float32"))
        except AttributeError as error:
            raise ValueError(f"{expected}. Received: one that raises {error}.") from error
        except Exception:  # such as one for clips with a channel more: the step itself will tell
            continue
        if isinstance(penalty, (np.ndarray, np.generic)):
            raise ValueError(f"{expected}. Received: one that returns a NumPy array.")


def start_clips(start: ArrayLike, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Clips to start from, one per unit, `(count, T, H, W, C)`.

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
