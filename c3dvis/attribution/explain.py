"""`attribute`: one call for every method, for one clip or several."""

from __future__ import annotations

import importlib
import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, get_args, get_type_hints

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips, graph, objectives
from c3dvis.attribution import methods
from c3dvis.attribution.method_names import method_name
from c3dvis.attribution.result import Attribution, Attributions, ByMethod
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import layers
from c3dvis.models.held_inputs import one_input, with_clip_shape
from c3dvis.objectives import Objective
from c3dvis.objectives.terms import layer_name, names_of_classes
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
    """Attributes an objective's score to the pixels and frames of a clip.

    Args:
        network: Functional or Sequential Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        clip: One clip `(T, H, W, C)` of floats in [0, 1], or several `(N, T, H, W, C)`.
        objective: What to explain: an objective, or anything that `objectives.of` accepts, such as
            the name or index of a class or "conv3b:7". None means the logit of each clip's
            predicted class. One unit for all clips, or one per clip.
        method: One of `c3dvis.attribution.methods.names()`, in any spelling ("GradCAM", "ig"); its
            module describes it and its options. Or a list of methods, each of which gets the
            options that it accepts.
        preprocess: Function that turns clips in [0, 1] into the network's input, such as
            `lambda clips: 2 * clips - 1`. Gradients are with respect to the clip before
            `preprocess`. Pass the same function object every time, as compiled graphs are cached by
            it.
        batch_size: Maximum number of clips per batch.
        input: Name of the input for the clips, if several could take them; None finds the only one.
        inputs: Values of its other inputs by name, as in `models.one_input`; None means neutral.
        **options: Options of the method.

    Returns:
        An `Attribution`, or a list of them for several clips. For a list of methods, a dict of
        these by method name.

    Raises:
        ValueError: A clip whose shape or values the network doesn't accept; an unknown method,
            option, layer or class; scores or gradients that are not finite.

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
    several_methods = isinstance(method, (list, tuple))
    names: list[Any] = list(method) if several_methods else [method]
    chosen = methods_with_options(names, options)
    network = one_input(network, input, inputs, scaled=preprocess is None)
    batch = _clips(network, clip)
    network = with_clip_shape(network, batch[0].shape)
    if objective is None:
        units = _predicted(network, batch, preprocess, batch_size)
    else:
        units = _units(objectives.of(objective, network), len(batch))
    scorers = [
        Scorer(network, unit, preprocess=preprocess, batch_size=batch_size) for unit in units
    ]
    by_frame = [s.frame_scores(one) for s, one in zip(scorers, batch, strict=True)]
    by_method: dict[str, Any] = {}
    for name, (explain, own) in chosen.items():
        each = [explain(s, one, **own) for s, one in zip(scorers, batch, strict=True)]
        for attribution in each:
            _check_finite(network, attribution)
        each = [replace(a, frame_scores=frames) for a, frames in zip(each, by_frame, strict=True)]
        by_method[name] = Attributions(each) if np.ndim(clip) == 5 else each[0]
    return ByMethod(by_method) if several_methods else next(iter(by_method.values()))


def methods_with_options(
    names: Sequence[str], options: Mapping[str, Any]
) -> dict[str, tuple[Callable[..., Attribution], dict[str, Any]]]:
    """The function of each method, and the options that it accepts.

    Args:
        names: Names of the methods, in any spelling.
        options: By name. A Keras layer as `layer` becomes its name.

    Returns:
        Function and options by the method's own name.

    Raises:
        ValueError: No method, an unknown one, an option that none of them accepts, or a value of
            the wrong type.
    """
    if not names:
        raise ValueError("Expected at least one method. Received: none.")
    functions = {
        name: importlib.import_module(f"{methods.__name__}.{name}").attribute
        for name in map(method_name, names)
    }
    types = {name: _option_types(function) for name, function in functions.items()}
    known = list(dict.fromkeys(option for own in types.values() for option in own))
    chosen: dict[str, tuple[Callable, dict]] = {name: (f, {}) for name, f in functions.items()}
    for option, value in options.items():
        if option not in known:
            raise _unknown_option(list(functions), option, known)
        value = layer_name(value) if option == "layer" and value is not None else value
        for name, (_, own) in chosen.items():
            if option in types[name]:
                _check_type(name, option, value, types[name][option])
                own[option] = value
    return chosen


# Names of options in other packages, and their names here.
_THE_OBJECTIVE = "the objective, which is the third argument"
_OPTIONS_ELSEWHERE = {
    **dict.fromkeys(("target", "class_index", "class_idx", "category"), _THE_OBJECTIVE),
    **dict.fromkeys(("window", "patch_size", "sliding_window_shapes"), "block"),
    **dict.fromkeys(("n_samples", "nt_samples", "num_samples", "smooth_samples"), "samples"),
    **dict.fromkeys(("stdevs", "stdev", "noise_level", "smooth_noise"), "noise"),
    **dict.fromkeys(("conv_layer", "penultimate_layer", "layer_name"), "layer"),
}


def _unknown_option(names: Sequence[str], option: str, known: Sequence[str]) -> ValueError:
    meant = _OPTIONS_ELSEWHERE.get(option)
    meant = meant if meant in known or meant == _THE_OBJECTIVE else None
    meant = "batch_size, an argument of attribute" if option == "internal_batch_size" else meant
    return unknown(f"an option of {' or '.join(map(repr, names))}", option, known, meant=meant)


# Types of options in the signatures of methods, and in messages. Methods check all others.
_TYPES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "None",
    tuple[int, int, int]: "three whole numbers",
    Sequence[float]: "several numbers",
}


def _check_type(method: str, option: str, value: Any, types: Sequence[Any]) -> None:
    if all(kind in _TYPES for kind in types) and not any(_is(value, kind) for kind in types):
        raise ValueError(
            f"Expected {option} of {method!r} as {' or '.join(_TYPES[kind] for kind in types)}. "
            f"Received: {value!r}."
        )


def _is(value: Any, kind: Any) -> bool:
    if kind == tuple[int, int, int]:
        return _is(value, Sequence[float]) and len(value) == 3 and all(_is(n, int) for n in value)
    if kind == Sequence[float]:
        return isinstance(value, (list, tuple, np.ndarray)) and all(_is(n, float) for n in value)
    if isinstance(value, (bool, np.bool_)):
        return kind is bool
    return isinstance(value, {int: numbers.Integral, float: numbers.Real}.get(kind, kind))


def _option_types(function: Callable) -> dict[str, tuple[Any, ...]]:
    """The types of each option, from a method's signature."""
    types = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            hint = _hint(function, parameter)
            types[name] = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return types


def _hint(function: Callable, parameter: inspect.Parameter) -> Any:
    """A parameter's annotation; as it is written if it names what is imported for checkers only."""
    alone = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return get_type_hints(alone, vars(inspect.getmodule(function)))[parameter.name]
    except (NameError, AttributeError, TypeError):
        return parameter.annotation


def _clips(network: keras.Model, clip: ArrayLike) -> list[NDArray[np.float32]]:
    """The clips one by one; ValueError for values or a shape that the network does not take."""
    shape = tuple(graph.clip_input(network).shape[1:])
    if axes_of(clip) != 5:
        return [clips.check(clip, shape)]
    batch = np.asarray(clip)
    if not len(batch):
        raise ValueError(f"Expected at least one clip. Received: shape {batch.shape}.")
    return [clips.check(one, shape) for one in batch]


def axes_of(clip: ArrayLike) -> int:
    """The number of axes of a clip, or of several; ValueError for several of different shapes."""
    try:
        return np.ndim(clip)
    except ValueError:
        raise ValueError(
            "Expected a clip, or several of one shape (N, T, H, W, C). "
            "Received: several of different shapes."
        ) from None


def _predicted(network, batch, preprocess, batch_size) -> list[Objective]:
    """The logit of each clip's predicted class."""
    _check_classes(network)
    scorer = Scorer(network, objectives.logit(0), preprocess=preprocess, batch_size=batch_size)
    predicted = scorer.class_scores(np.stack(batch)).argmax(axis=-1)
    names = names_of_classes(network)
    return [objectives.logit(int(i) if names is None else names[i]) for i in predicted]


def _check_classes(network: keras.Model) -> None:
    """Refuses a network whose output is neither one score per class nor ends in classes."""
    layers.check(network)
    shape = tuple(network.outputs[0].shape[1:])
    if len(network.outputs) > 1 or len(shape) < 3:
        return  # `objectives.logit` raises the error for several outputs without a name
    if layers.output_activation(network) not in ("softmax", "sigmoid"):
        raise ValueError(
            "Expected an objective, such as objectives.logit(0), or an output of one score per "
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
