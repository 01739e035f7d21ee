"""The network that somebody chose on a command line: a name of the table, or a file of their own.

Nothing here imports Keras until the network is loaded.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from c3dvis import models

if TYPE_CHECKING:
    import keras


class Choice(Protocol):
    """What `add_arguments` parses, or anything else with these attributes.

    Attributes:
        model: Name of a network in `c3dvis.models`; ignored where `keras_model` is given.
        weights: File of weights for it, or the name of published ones; None takes those that come
            with c3dvis.
        keras_model: File of a Keras model of one's own.
        labels: Text file with the name of one class a line; None takes the network's own.
    """

    @property
    def model(self) -> str: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def keras_model(self) -> str | None: ...
    @property
    def labels(self) -> str | None: ...


def add_arguments(group: Any) -> None:
    """Adds --model, --keras-model, --weights, --labels and --value-range to a parser's group."""
    one = group.add_mutually_exclusive_group()
    one.add_argument("--model", metavar="NAME", help="a network of c3dvis (default c3d-motion)")
    one.add_argument("--keras-model", metavar="FILE", help="a Keras model of your own")
    group.add_argument(
        "--weights",
        metavar="FILE",
        help="its weights: a file, or kinetics400 for i3d, fetched once (default: those that come "
        "with c3dvis)",
    )
    group.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    group.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="values that your own model takes (default 0 1)",
    )


def check_arguments(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Refuses arguments that contradict each other, by the parser's own error."""
    if chosen.keras_model is not None and chosen.weights is not None:
        parser.error("argument --weights: not allowed with argument --keras-model")
    if chosen.keras_model is None and chosen.value_range is not None:
        parser.error("argument --value-range: only for --keras-model; other networks know theirs")
    if chosen.value_range is not None:
        low, high = chosen.value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            parser.error(
                f"argument --value-range: Expected LOW below HIGH. Received: {low:g} {high:g}."
            )


def load(choice: Choice) -> keras.Model:
    """The network, with its class names as `class_names` where they are known.

    Raises:
        ValueError: If there is no such network or file, or the file is not what it should be.
    """
    from c3dvis.models.labels import read_labels

    if choice.keras_model is not None:
        network = models.load_keras_model(choice.keras_model)
    elif choice.weights is not None:
        network = models.build(choice.model, weights=choice.weights)
    elif models.entry(choice.model).weights is None:
        name = models.entry(choice.model).published
        fetched = "" if name is None else f"; --weights {name} fetches the published ones, once"
        raise ValueError(
            f"Expected --weights FILE, as none come with {choice.model!r}{fetched}. Received: none."
        )
    else:
        network = models.build(choice.model)
    if choice.labels is not None:
        network.class_names = read_labels(choice.labels, class_count(network))
    return network


def class_count(network: keras.Model) -> int:
    """Number of classes, 0 where the output is not one score a class."""
    shape = network.output_shape
    return shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else 0


def preprocess(value_range: tuple[float, float] | None) -> Callable | None:
    """From clips in [0, 1] to the values that a network takes; None where it takes [0, 1]."""
    if value_range is None:
        return None
    low, high = value_range
    return lambda values: values * (high - low) + low
