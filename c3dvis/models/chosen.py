"""The network that somebody chose on a command line: a name of the table, or a file of their own.

Nothing here imports Keras until the network is loaded.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from c3dvis import models
from c3dvis.command_line import size_argument, whole
from c3dvis.models import sizes
from c3dvis.text import unknown

if TYPE_CHECKING:
    import keras


class Choice(Protocol):
    """What `add_arguments` parses, or anything else with these attributes.

    Attributes:
        model: Name of a network in `c3dvis.models`; ignored where `keras_model` is given.
        weights: File of weights for it, or the name of published ones; None takes those that come
            with c3dvis.
        keras_model: File of a Keras model of one's own.
        input: Name of its input that takes the clips; None is the only one that does.
        output: Name of its output that is read; None is the only one.
        value_range: Lowest and highest value that it takes; None is 0 and 1.
        labels: Text file with the name of one class a line; None takes the network's own.
        frames: That a network of `c3dvis.models` is built for; None is as `sizes.built` says.
        size: `(height, width)` that it is built for; None is as `sizes.built` says.
    """

    @property
    def model(self) -> str: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def keras_model(self) -> str | None: ...
    @property
    def input(self) -> str | None: ...
    @property
    def output(self) -> str | None: ...
    @property
    def value_range(self) -> Sequence[float] | None: ...
    @property
    def labels(self) -> str | None: ...
    @property
    def frames(self) -> int | None: ...
    @property
    def size(self) -> tuple[int, int] | None: ...


def add_arguments(group: Any) -> None:
    """Adds --model, --keras-model, --weights, --labels, --input, --output and --value-range."""
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--model", metavar="NAME", help=f"name of a network of c3dvis (default {models.DEFAULT})"
    )
    one.add_argument(
        "--keras-model",
        metavar="FILE",
        help="your own Keras model: a .keras or .h5 file, or a SavedModel folder",
    )
    group.add_argument(
        "--weights",
        metavar="FILE",
        help=(
            "weight file for it, or kinetics400 for i3d, downloaded once (default: the weights "
            "that come with c3dvis)"
        ),
    )
    group.add_argument("--labels", metavar="FILE", help="text file with one class name per line")
    group.add_argument(
        "--input",
        metavar="NAME",
        help=(
            "of your own model with several inputs: the one that takes the clip (default: the "
            "only one that can; the others are held at grey or 0)"
        ),
    )
    group.add_argument(
        "--output",
        metavar="NAME",
        help="of your own model with several outputs: the one to show or explain",
    )
    group.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="value range of your own model's input (default 0 1)",
    )


def add_size_arguments(group: Any, *, any_size: tuple[int, int] | None = None) -> None:
    """Adds --frames and --size to a parser's group.

    Args:
        group: Of the parser.
        any_size: In a command that reads real clips (`for_real_clips`), frames and pixels taken
            for a model of one's own that takes any; None in one that makes clips.
    """
    frames, side = ("", "") if any_size is None else (f", or {n}" for n in any_size)
    group.add_argument(
        "--frames",
        type=whole(1),
        metavar="N",
        help="frames of a clip; a network of c3dvis is built for them (default: as published, but "
        f"16 for i3d; what your own model takes{frames})",
    )
    small = ", but 112 for i3d and tsm" if any_size is None else ""
    group.add_argument(
        "--size",
        type=size_argument,
        metavar="PIXELS",
        help="pixels, such as 64, or height x width, such as 48x64; a network of c3dvis is built "
        f"for it (default: as published{small}; what your own model takes{side})",
    )


def check_arguments(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Refuses arguments that contradict each other, by the parser's own error."""
    if chosen.keras_model is not None and chosen.weights is not None:
        parser.error("argument --weights: not allowed with argument --keras-model")
    if chosen.keras_model is None:
        for name in ("value_range", "input", "output"):
            if getattr(chosen, name) is not None:
                option = f"--{name.replace('_', '-')}"
                parser.error(
                    f"argument {option}: only for --keras-model; other networks know theirs"
                )
    if chosen.value_range is not None:
        low, high = chosen.value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            parser.error(
                f"argument --value-range: Expected LOW below HIGH. Received: {low:g} {high:g}."
            )


def for_real_clips(chosen: argparse.Namespace) -> argparse.Namespace:
    """The arguments with the model's default, and the published size where none is asked for.

    In fewer pixels a network takes a real clip for something else, however sure it is.
    """
    model = models.DEFAULT if chosen.model is None else chosen.model
    size = chosen.size
    if size is None and chosen.keras_model is None:
        size = models.entry(model).shape[1:3]
    return argparse.Namespace(**{**vars(chosen), "model": model, "size": size})


def load(choice: Choice) -> keras.Model:
    """The network, with its class names as `class_names` where they are known.

    One of `c3dvis.models` is built for clips as `built_shape` says.

    Raises:
        ValueError: If there is no such network or file, or the file is not what it should be.
    """
    from c3dvis.models.labels import read_labels

    shape = built_shape(choice)
    if choice.keras_model is not None:
        network = _part(models.channels_last(models.load_keras_model(choice.keras_model)), choice)
    elif choice.weights is not None:
        network = models.build(choice.model, weights=choice.weights, input_shape=shape)
    elif models.entry(choice.model).weights is None:
        name = models.entry(choice.model).published
        fetched = "" if name is None else f"; --weights {name} fetches the published ones, once"
        raise ValueError(
            f"Expected --weights FILE, as none come with {choice.model!r}{fetched}. Received: none."
        )
    else:
        network = models.build(choice.model, input_shape=shape)
    if choice.labels is not None:
        count = network.output_shape[-1] if segments(network) else class_count(network)
        network.class_names = read_labels(choice.labels, count)
    return network


def _part(network: keras.Model, choice: Choice) -> keras.Model:
    """The network with the input and the output that are asked for alone."""
    import keras

    from c3dvis import graph
    from c3dvis.models import holding

    names = holding.clip_inputs(network)
    _check_name("--input", choice.input, names, "takes several clips")
    held = holding.neutral(network, choice.input or names[0]) if names else {}
    if held:
        listed = ", ".join(f"{name!r} at {value:g}" for name, value in held.items())
        warnings.warn(f"held: {listed}; in Python inputs= gives other values", stacklevel=2)
    outputs = graph.output_names(network)
    _check_name("--output", choice.output, outputs, "has several outputs")
    if choice.output is not None and len(outputs) > 1:
        asked = network.outputs[outputs.index(choice.output)]
        network = keras.Model(network.inputs, asked, name=network.name)
    return holding.one_input(network, choice.input, scaled=choice.value_range is None)


def _check_name(option: str, name: str | None, names: list[str], why: str) -> None:
    if name is None and len(names) > 1:
        raise ValueError(
            f"Expected {option}, one of {', '.join(map(repr, names))}, as this network {why}. "
            "Received: none."
        )
    if name is not None and names and name not in names:
        raise unknown(f"{option}, one of the network's", name, names)


def built_shape(choice: Choice) -> tuple[int, int, int, int] | None:
    """`(T, H, W, C)` that a network of `c3dvis.models` is built for; None for one of one's own.

    Raises:
        ValueError: If there is no such network, or it can't be built for that.
    """
    if choice.keras_model is not None:
        return None
    return sizes.built(models.entry(choice.model), frames=choice.frames, size=choice.size)


def say_size(choice: Choice, say: Callable[[str], None]) -> None:
    """Says a line on the size where it isn't the one that the network was published for."""
    shape = built_shape(choice)
    line = None if shape is None else sizes.note(models.entry(choice.model), shape)
    if line is not None:
        say(line)


def toy_note(choice: Choice) -> str | None:
    """A sentence on what the chosen network doesn't know; None where that isn't known.

    The networks that come with c3dvis were trained on the clips of `c3dvis.motion`.
    """
    if choice.keras_model is not None or choice.weights is not None:
        return None
    if not models.entry(choice.model).knows_motion:
        return None
    return (
        f"{choice.model} was trained on ten motions of coloured discs, not on real films: its "
        "answer for any other clip means little. For real films use published weights, such as "
        "--model i3d --weights kinetics400."
    )


def class_count(network: keras.Model) -> int:
    """Number of classes, 0 where the output is not one score a class, for each frame perhaps.

    Of an output with places it is that too where these end in a softmax.
    """
    from c3dvis.models import layers

    shape = network.output_shape
    if not isinstance(shape, tuple) or len(shape) < 2 or shape[-1] is None:
        return 0
    is_class = len(shape) == 2 or layers.output_activation(network) == "softmax"
    is_class = is_class or len(shape) == 3 and layers.output_activation(network) == "sigmoid"
    return shape[-1] if is_class else 0


def segments(network: keras.Model) -> bool:
    """Whether a network gives a class, or several, for each place of its output."""
    from c3dvis.models import layers

    shape = network.output_shape
    if not isinstance(shape, tuple) or len(shape) != 5:
        return False
    return layers.output_activation(network) in ("softmax", "sigmoid")


def preprocess(value_range: tuple[float, float] | None) -> Callable | None:
    """From clips in [0, 1] to the values that a network takes; None where it takes [0, 1]."""
    if value_range is None:
        return None
    low, high = value_range
    return lambda values: values * (high - low) + low
