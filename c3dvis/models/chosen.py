"""The network chosen on a command line: a name of the table, or your own model file.

Keras is imported when the network is loaded.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from c3dvis import models
from c3dvis.command_line import size_argument, whole
from c3dvis.text import unknown

if TYPE_CHECKING:
    import keras


class Choice(Protocol):
    """The arguments of `add_arguments`, or any object with these attributes.

    Attributes:
        model: Name of a network in `c3dvis.models`; ignored where `keras_model` is given.
        weights: File of weights for it, or the name of published ones; None takes those that come
            with c3dvis.
        keras_model: File of your own Keras model.
        input: Name of its input that takes the clips; None means the only one that does.
        output: Name of the output to read; None means the only one.
        value_range: Lowest and highest value of its input; None means 0 and 1.
        labels: Text file with one class name per line; None takes the network's own.
        frames: Number of frames that a network of `c3dvis.models` is built for; None as in
            `command_shape`.
        size: `(height, width)` that it is built for; None likewise.
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
        "--model", metavar="NAME", help=f"name of a c3dvis network (default {models.DEFAULT})"
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
            "weight file, or kinetics400 for i3d, downloaded once (default: the weights that come "
            "with c3dvis)"
        ),
    )
    group.add_argument("--labels", metavar="FILE", help="text file with one class name per line")
    group.add_argument(
        "--input",
        metavar="NAME",
        help=(
            "input that takes the clip, if your own model has several (default: the only one that "
            "can; the others are held at grey or 0)"
        ),
    )
    group.add_argument(
        "--output",
        metavar="NAME",
        help="output to show or explain, if your own model has several",
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
        group: Group of the parser.
        any_size: Default frames and pixels of commands that read real clips (`for_real_clips`), for
            your own model that takes any; None in commands that synthesize clips.
    """
    frames, side = ("", "") if any_size is None else (f", or {n}" for n in any_size)
    group.add_argument(
        "--frames",
        type=whole(1),
        metavar="N",
        help=(
            "frames per clip; a c3dvis network is built for this number (default: as published, "
            f"but 16 for i3d; what your own model takes{frames})"
        ),
    )
    small = ", but 112 for i3d and tsm" if any_size is None else ""
    group.add_argument(
        "--size",
        type=size_argument,
        metavar="PIXELS",
        help=(
            "pixels, such as 64, or height x width, such as 48x64; a c3dvis network is built for "
            f"this size (default: as published{small}; what your own model takes{side})"
        ),
    )


def check_arguments(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Refuses arguments that contradict each other, by `parser.error`."""
    if chosen.keras_model is not None and chosen.weights is not None:
        parser.error("argument --weights: not allowed with argument --keras-model")
    if chosen.keras_model is None:
        for name in ("value_range", "input", "output"):
            if getattr(chosen, name) is not None:
                option = f"--{name.replace('_', '-')}"
                parser.error(
                    f"argument {option}: only for --keras-model; c3dvis networks do not need it"
                )
    if chosen.value_range is not None:
        low, high = chosen.value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            parser.error(
                f"argument --value-range: Expected LOW below HIGH. Received: {low:g} {high:g}."
            )


def check_network(choice: Choice) -> None:
    """Refuses a network that can't be built, before Keras is loaded.

    Raises:
        ValueError: An unknown network, a size that it can't be built for, or no weights.
    """
    if choice.keras_model is not None:
        return
    entry = models.entry(models.DEFAULT if choice.model is None else choice.model)
    command_shape(entry, frames=choice.frames, size=choice.size)
    if choice.weights is None and entry.weights is None:
        name = entry.published
        fetched = "" if name is None else f"; --weights {name} fetches the published ones, once"
        raise ValueError(
            f"Expected --weights FILE, as no weights come with {entry.name!r}{fetched}. "
            "Received: none."
        )


def for_real_clips(chosen: argparse.Namespace) -> argparse.Namespace:
    """The arguments with the default model, and with the published size where none is given.

    At a smaller size, networks misclassify real clips, however confident they are.
    """
    model = models.DEFAULT if chosen.model is None else chosen.model
    size = chosen.size
    if size is None and chosen.keras_model is None:
        size = models.entry(model).shape[1:3]
    return argparse.Namespace(**{**vars(chosen), "model": model, "size": size})


def load(choice: Choice) -> keras.Model:
    """The network, with its class names as `class_names` where they are known.

    A network of `c3dvis.models` is built for clips of `built_shape`.

    Raises:
        ValueError: An unknown network, a missing or invalid file, or no weights.
    """
    check_network(choice)
    shape = built_shape(choice)
    if choice.keras_model is not None:
        network = _part(models.channels_last(models.load_keras_model(choice.keras_model)), choice)
    elif choice.weights is not None:
        network = models.build(choice.model, weights=choice.weights, input_shape=shape)
    else:
        network = models.build(choice.model, input_shape=shape)
    if choice.labels is not None:
        from c3dvis.models.labels import read_labels

        count = network.output_shape[-1] if segments(network) else class_count(network)
        network.class_names = read_labels(choice.labels, count)
    return network


def _part(network: keras.Model, choice: Choice) -> keras.Model:
    """The network with one input and one output, those of --input and --output."""
    import keras

    from c3dvis import graph
    from c3dvis.models import held_inputs
    from c3dvis.models.input_range import takes_bytes

    names = held_inputs.clip_inputs(network)
    _check_name("--input", choice.input, names, "takes several clips")
    held = held_inputs.neutral_values(network, choice.input or names[0]) if names else {}
    if held:
        listed = ", ".join(f"{name!r} at {value:g}" for name, value in held.items())
        warnings.warn(f"held constant: {listed}; in Python, inputs= sets others", stacklevel=2)
    outputs = graph.output_names(network)
    _check_name("--output", choice.output, outputs, "has several outputs")
    if choice.output is not None and len(outputs) > 1:
        output = network.outputs[outputs.index(choice.output)]
        network = keras.Model(network.inputs, output, name=network.name)
    if choice.value_range is None and names:
        inputs = dict(zip(graph.input_names(network), network.inputs, strict=True))
        clip = inputs[choice.input or names[0]]
        # An input of whole numbers leaves no choice.
        if keras.backend.is_float_dtype(clip.dtype) and takes_bytes(network, clip):
            warnings.warn(
                "the network takes values from 0 to 255, so clips in [0, 1] are multiplied by 255 "
                "(--value-range 0 1 prevents this)",
                stacklevel=2,
            )
    return held_inputs.one_input(network, choice.input, scaled=choice.value_range is None)


def _check_name(option: str, name: str | None, names: list[str], why: str) -> None:
    if name is None and len(names) > 1:
        raise ValueError(
            f"Expected {option}, one of {', '.join(map(repr, names))}, as this network {why}. "
            "Received: none."
        )
    if name is not None and names and name not in names:
        raise unknown(f"{option}, one of the network's", name, names)


def built_shape(choice: Choice) -> tuple[int, int, int, int] | None:
    """`(T, H, W, C)` that a network of `c3dvis.models` is built for; None for your own model.

    Raises:
        ValueError: An unknown network, or a size that it can't be built for.
    """
    if choice.keras_model is not None:
        return None
    return command_shape(models.entry(choice.model), frames=choice.frames, size=choice.size)


def say_size(choice: Choice, say: Callable[[str], None]) -> None:
    """Tells how to get the published size if the network is built for another.

    Such as "i3d at 16 x 112 x 112; published at 64 x 224 x 224: --frames 64 --size 224".
    """
    shape = built_shape(choice)
    if shape is None:
        return
    entry = models.entry(choice.model)
    frames, height, width = published = entry.shape[:3]
    if shape[:3] != published:
        verb = "published" if entry.weights is None else "trained"
        size = f"{height}" if height == width else f"{height}x{width}"
        say(
            f"{entry.name} at {_lengths(shape[:3])}; {verb} at {_lengths(published)}: "
            f"--frames {frames} --size {size}"
        )


def command_shape(
    entry: models.Entry, *, frames: int | None = None, size: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """Shape `(T, H, W, C)` that a command builds a network for.

    Args:
        entry: The network's entry in the table.
        frames: Frames; None means those of `entry.command_shape`, or else the published ones.
        size: `(height, width)`; None likewise.

    Raises:
        ValueError: Another size than the published one for weights that fit it only.

    Example:
        >>> from c3dvis import models
        >>> command_shape(models.entry("i3d"))
        (16, 112, 112, 3)
        >>> command_shape(models.entry("i3d"), frames=64, size=(224, 224))
        (64, 224, 224, 3)
    """
    published = entry.shape[:3]
    default = entry.command_shape or published
    shape = (
        default[0] if frames is None else frames,
        *(default[1:] if size is None else size),
    )
    if entry.fixed_by and shape != published:
        raise ValueError(
            f"Expected {_size_text(published)}, as the {entry.fixed_by} of {entry.name!r} fix it "
            f"there; {_of_any_size(entry)} take other sizes. Received: {_size_text(shape)}."
        )
    return (*shape, entry.shape[3])


def _of_any_size(entry: models.Entry) -> str:
    """Names of networks of any size whose weights come from the same place."""
    names = [
        other.name
        for other in models.NETWORKS
        if not other.fixed_by
        and (bool(other.weights), bool(other.source)) == (bool(entry.weights), bool(entry.source))
    ]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _size_text(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} frames of {shape[1]} x {shape[2]}"


def _lengths(lengths: tuple[int, ...]) -> str:
    return " x ".join(map(str, lengths))


def training_data_note(choice: Choice) -> str | None:
    """A warning for networks that come with c3dvis, which were trained on synthetic clips only.

    None for other networks.
    """
    if choice.keras_model is not None or choice.weights is not None:
        return None
    if not models.entry(choice.model).knows_motion:
        return None
    return (
        f"{choice.model} was trained on ten motions of coloured discs, not on real films: its "
        "predictions for other clips mean little. For real films use published weights, such as "
        "--model i3d --weights kinetics400."
    )


def class_count(network: keras.Model) -> int:
    """Number of classes; 0 if the output is not a score for each class, or for each frame and
    class.

    An output with positions counts too if it ends in a softmax.
    """
    from c3dvis.models import layers

    shape = network.output_shape
    if not isinstance(shape, tuple) or len(shape) < 2 or shape[-1] is None:
        return 0
    is_class = len(shape) == 2 or layers.output_activation(network) == "softmax"
    is_class = is_class or len(shape) == 3 and layers.output_activation(network) == "sigmoid"
    return shape[-1] if is_class else 0


def segments(network: keras.Model) -> bool:
    """Whether a network classifies each position of its output."""
    from c3dvis.models import layers

    shape = network.output_shape
    if not isinstance(shape, tuple) or len(shape) != 5:
        return False
    return layers.output_activation(network) in ("softmax", "sigmoid")


def preprocess(value_range: tuple[float, float] | None) -> Callable | None:
    """A function from clips in [0, 1] to a network's value range; None if that is [0, 1]."""
    if value_range is None:
        return None
    low, high = value_range
    return lambda values: values * (high - low) + low
