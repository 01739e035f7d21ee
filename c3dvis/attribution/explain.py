"""`attribute`: one call for every method, for one clip or several."""

from __future__ import annotations

import importlib
import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips, graph, objectives
from c3dvis.attribution import methods
from c3dvis.attribution.frame_scores import frame_scores
from c3dvis.attribution.method_names import method_name
from c3dvis.attribution.result import Attribution, Attributions, ByMethod
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import layers
from c3dvis.models.holding import one_input, sized
from c3dvis.objectives import Objective
from c3dvis.objectives.terms import layer_name
from c3dvis.text import unknown


def attribute(
    network: keras.Model,
    clip: ArrayLike,
    objective: Objective | str | int | Sequence | None = None,
    *,
    method: str | Sequence[str] = "integrated_gradients",
    preprocess: Callable | None = None,
    batch_size: int = 8,
    input: str | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    **options: Any,
) -> Attribution | Attributions | ByMethod:
    """The pixels and frames of a clip that decided an objective.

    Args:
        network: Functional or Sequential Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        clip: One clip `(T, H, W, C)` of floats in [0, 1], or several `(N, T, H, W, C)`.
        objective: What to explain, an objective or what `objectives.of` takes for one: the name of
            a class, its index, "conv3b:7", ...; None is the logit of each clip's predicted class.
            It has one unit for all clips, or one for each clip.
        method: One of `c3dvis.attribution.methods.names()`, in any spelling ("GradCAM", "ig"); the
            module of that name describes it and its options. Or several, of which each gets those
            of the options that it has.
        preprocess: Function that turns clips in [0, 1] into the network's input, such as
            `lambda clips: 2 * clips - 1`. Gradients are with respect to the clip before it. Pass
            the same function every time: compiled graphs are cached by it.
        batch_size: Most clips computed at once.
        input: Name of the input that takes the clips, where the network has several; None is the
            only one that does.
        inputs: Values of its other inputs by name, as `models.one_input` has it; None is neutral.
        **options: Those of the method.

    Returns:
        One `Attribution`, or a list of one for each of several clips. For a list of methods, a dict
        of these by the method's name.

    Raises:
        ValueError: A clip that the network doesn't take; an unknown method, option, layer or
            class; a network whose scores or gradients are not finite.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> network = models.build("c3d-motion")
        >>> objective = objectives.logit("moving left")
        >>> attribute(network, clip, objective, method="grad_cam").heatmap.shape
        (16, 64, 64)
    """
    options = {name: _named(name, value) for name, value in options.items()}
    several_methods = isinstance(method, (list, tuple))
    given: list[Any] = list(method) if several_methods else [method]
    chosen = [method_name(one) for one in given]
    own = check_several(chosen, options)
    network = one_input(network, input, inputs, scaled=preprocess is None)
    several = _clips(network, clip)
    if len({one.shape for one in several}) == 1:
        network = sized(network, several[0].shape)
    if objective is None:
        units = _predicted(network, several, preprocess, batch_size)
    else:
        units = _units(objectives.of(objective, network), len(several))
    scorers = [
        Scorer(network, unit, preprocess=preprocess, batch_size=batch_size) for unit in units
    ]
    by_frame = [frame_scores(s, one) for s, one in zip(scorers, several, strict=True)]
    by_method: dict[str, Any] = {}
    for name in chosen:
        explain = check(name, own[name])
        each = [explain(s, one, **own[name]) for s, one in zip(scorers, several, strict=True)]
        for attribution in each:
            _check_finite(network, attribution)
        each = [replace(a, frame_scores=frames) for a, frames in zip(each, by_frame, strict=True)]
        by_method[name] = Attributions(each) if np.ndim(clip) == 5 else each[0]
    return ByMethod(by_method) if several_methods else by_method[chosen[0]]


def check_several(chosen: Sequence[str], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each of some methods; ValueError for one that none of them has."""
    if not chosen:
        raise ValueError("Expected at least one method. Received: none.")
    known = {name: list(_options(check(name, {}))) for name in chosen}
    every = list(dict.fromkeys(option for listed in known.values() for option in listed))
    for name in options:
        if name not in every:
            raise _unknown_option(chosen, name, every)
    return {
        name: {option: value for option, value in options.items() if option in listed}
        for name, listed in known.items()
    }


def _named(option: str, value: Any) -> Any:
    """An option as methods take it: a Keras layer by its name."""
    return layer_name(value) if option == "layer" and value is not None else value


def check(method: str, options: Mapping[str, Any]) -> Callable[..., Attribution]:
    """The function of a method; ValueError for an unknown method or option, or one of a kind."""
    method = method_name(method)
    explain = importlib.import_module(f"{methods.__name__}.{method}").attribute
    known = _options(explain)
    for name, value in options.items():
        if name not in known:
            raise _unknown_option([method], name, list(known))
        kinds = known[name]
        if all(kind in _KINDS for kind in kinds) and not any(_is(value, kind) for kind in kinds):
            raise ValueError(
                f"Expected {name} of {method!r} as {' or '.join(_KINDS[kind] for kind in kinds)}. "
                f"Received: {value!r}."
            )
    return explain


# What other packages call an option, and what it is here.
_THE_OBJECTIVE = "the objective, which is the third argument"
_OPTIONS_ELSEWHERE = {
    **dict.fromkeys(("target", "class_index", "class_idx", "category"), _THE_OBJECTIVE),
    **dict.fromkeys(("window", "patch_size", "sliding_window_shapes"), "block"),
    **dict.fromkeys(("n_samples", "nt_samples", "num_samples", "smooth_samples"), "samples"),
    **dict.fromkeys(("stdevs", "stdev", "noise_level", "smooth_noise"), "noise"),
    **dict.fromkeys(("conv_layer", "penultimate_layer", "layer_name"), "layer"),
}


def _unknown_option(chosen: Sequence[str], name: str, known: Sequence[str]) -> ValueError:
    meant = _OPTIONS_ELSEWHERE.get(name)
    meant = meant if meant in known or meant == _THE_OBJECTIVE else None
    meant = "batch_size, an argument of its own" if name == "internal_batch_size" else meant
    return unknown(f"an option of {' or '.join(map(repr, chosen))}", name, known, meant=meant)


# Of an option, as the method's signature says it; what others hold, the methods check.
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "None": "None",
}


def _is(value: Any, kind: str) -> bool:
    if kind == "None":
        return value is None
    if isinstance(value, (bool, np.bool_)):
        return kind == "bool"
    types = {"int": numbers.Integral, "float": numbers.Real, "str": str, "bool": bool}
    return isinstance(value, types[kind])


def _options(explain: Callable) -> dict[str, list[str]]:
    """The kinds of each option of a method."""
    return {
        name: inspect.formatannotation(parameter.annotation).strip("'").split(" | ")
        for name, parameter in inspect.signature(explain).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _clips(network: keras.Model, clip: ArrayLike) -> list[NDArray[np.float32]]:
    """The clips one by one; ValueError for values or a shape that the network does not take."""
    shape = tuple(graph.clip_input(network).shape[1:])
    if np.ndim(clip) != 5:
        return [clips.check(clip, shape)]
    several = np.asarray(clip)
    if not len(several):
        raise ValueError(f"Expected at least one clip. Received: shape {several.shape}.")
    return [clips.check(one, shape) for one in several]


def _predicted(network, several, preprocess, batch_size) -> list[Objective]:
    """The logit of each clip's predicted class."""
    _check_classes(network)
    scorer = Scorer(network, objectives.logit(0), preprocess=preprocess, batch_size=batch_size)
    predicted = scorer.class_scores(np.stack(several)).argmax(axis=-1)
    names = getattr(network, "class_names", None)
    return [objectives.logit(int(i) if names is None else names[i]) for i in predicted]


def _check_classes(network: keras.Model) -> None:
    """Refuses a network whose output is neither one score a class nor ends in classes."""
    layers.check(network)
    shape = tuple(network.outputs[0].shape[1:])
    if len(network.outputs) > 1 or len(shape) < 3:
        return  # one of several outputs is asked for by name, as `objectives.logit` says
    if layers.output_activation(network) not in ("softmax", "sigmoid"):
        raise ValueError(
            "Expected an objective, such as objectives.logit(0), or an output of one score a "
            f"class. Received: none, and an output of shape {shape}."
        )


def _units(objective: Objective, count: int) -> list[Objective]:
    if len(objective) not in (1, count):
        raise ValueError(
            f"Expected an objective of one unit, or of {count}, one for each clip. "
            f"Received: {len(objective)} units."
        )
    return [objective[i % len(objective)] for i in range(count)]


def _check_finite(network: keras.Model, attribution: Attribution) -> None:
    heatmap = attribution.heatmap
    if np.isfinite(attribution.score) and np.isfinite(heatmap).all():
        return
    broken = [
        variable.path
        for variable in network.variables
        if not np.isfinite(keras.ops.convert_to_numpy(variable).astype(np.float64)).all()
    ]
    hint = f"; the network has NaN or Inf in {broken[0]!r}" if broken else ""
    raise ValueError(
        f"Expected finite scores and gradients. Received: score {attribution.score:g} and "
        f"{int((~np.isfinite(heatmap)).sum())} values of the heatmap that are not finite{hint}."
    )
