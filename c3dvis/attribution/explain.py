"""The way in: one call for every method, for one clip or a batch of them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips as clips_room
from c3dvis import objectives
from c3dvis.attribution import methods
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.objectives import Objective
from c3dvis.text import unknown


def attribute(
    network: keras.Model,
    clip: ArrayLike,
    objective: Objective | None = None,
    *,
    method: str = "integrated_gradients",
    preprocess: Callable | None = None,
    batch_size: int = 8,
    **options: Any,
) -> Attribution | list[Attribution]:
    """Which pixels and frames of a clip decided an objective.

    Args:
        network: Functional or Sequential Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        clip: One clip `(T, H, W, C)` of floats in [0, 1], or several `(N, T, H, W, C)`.
        objective: What to explain; None is the logit of each clip's predicted class. Of one unit
            for all clips, or of as many units as there are clips, one for each.
        method: One of `c3dvis.attribution.methods.names()`; the module of that name describes it
            and its options.
        preprocess: Function of clips in [0, 1] that gives what the network takes, such as
            `lambda clips: 2 * clips - 1`. Gradients are with respect to the clip before it. Give
            the same function every time, as what is compiled is kept with it.
        batch_size: Most clips computed at once.
        **options: Those of the method.

    Returns:
        One `Attribution`, or a list of them for several clips.

    Raises:
        ValueError: A clip that the network doesn't take; an unknown method, option, layer or
            class; a network whose scores or gradients are not finite.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> network = models.build("c3d-motion")
        >>> found = attribute(network, clip, objectives.logit("moving left"), method="grad_cam")
        >>> found.heatmap.shape
        (16, 64, 64)
    """
    check(method, options)
    explain = _module(method).attribute
    checked = _checked(network, clip)
    if objective is None:
        chosen = _predicted(network, checked, preprocess, batch_size)
    else:
        chosen = _one_a_clip(objective, len(checked))
    found = []
    for one, unit in zip(checked, chosen, strict=True):
        scorer = Scorer(network, unit, preprocess=preprocess, batch_size=batch_size)
        found.append(explain(scorer, one, **options))
        _check_finite(network, found[-1])
    return found if np.ndim(clip) == 5 else found[0]


def check(method: str, options: Iterable[str]) -> None:
    """Refuses a method that isn't there, or names that aren't options of it."""
    _check_options(method, _method(method), options)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{methods.__name__}.{name}")


def _method(name: str) -> Callable[..., Attribution]:
    if name in methods.names():
        return _module(name).attribute
    raise unknown("the name of a method", name, methods.names())


def _check_options(method: str, explain: Callable, options: Iterable[str]) -> None:
    known = [
        name
        for name, parameter in inspect.signature(explain).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in options:
        if name not in known:
            raise unknown(f"an option of {method!r}", name, known)


def _checked(network: keras.Model, clip: ArrayLike) -> list[NDArray[np.float32]]:
    """The clips one by one, or what is wrong with them."""
    inputs = getattr(network, "inputs", None)
    # What isn't a network of clips is told by `Scorer`, in its own words.
    shape = tuple(inputs[0].shape[1:]) if inputs and len(inputs[0].shape) == 5 else None
    if np.ndim(clip) != 5:
        return [clips_room.check(clip, shape)]
    several = np.asarray(clip)
    if not len(several):
        raise ValueError(f"Expected at least one clip. Received: shape {several.shape}.")
    return [clips_room.check(one, shape) for one in several]


def _predicted(network, checked, preprocess, batch_size) -> list[Objective]:
    """The logit of each clip's highest class."""
    scorer = Scorer(network, objectives.logit(0), preprocess=preprocess, batch_size=batch_size)
    highest = scorer.class_scores(np.stack(checked)).argmax(axis=-1)
    names = getattr(network, "class_names", None)
    return [objectives.logit(int(i) if names is None else names[i]) for i in highest]


def _one_a_clip(objective: Objective, count: int) -> list[Objective]:
    if not isinstance(objective, Objective):
        raise ValueError(
            "Expected an objective, such as objectives.logit(3), or None for the predicted class. "
            f"Received: {objective!r}."
        )
    if len(objective) not in (1, count):
        raise ValueError(
            f"Expected an objective of one unit, or of {count}, one a clip. "
            f"Received: {len(objective)} units."
        )
    return [objective[i % len(objective)] for i in range(count)]


def _check_finite(network: keras.Model, found: Attribution) -> None:
    if np.isfinite(found.score) and np.isfinite(found.heatmap).all():
        return
    broken = [
        variable.path
        for variable in network.variables
        if not np.isfinite(keras.ops.convert_to_numpy(variable).astype(np.float64)).all()
    ]
    hint = f"; the network has NaN or Inf in {broken[0]!r}" if broken else ""
    raise ValueError(
        f"Expected finite scores and gradients. Received: score {found.score:g} and "
        f"{int((~np.isfinite(found.heatmap)).sum())} values of the heatmap that are not{hint}."
    )
