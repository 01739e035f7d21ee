"""What the builders of networks share: checks of their arguments, preprocessing, the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path

import keras
from keras import layers

from c3dvis.models.loading import load_weights

InputShape = tuple[int | None, ...]


class Preprocessing(layers.Layer):
    """From what a network is given, such as RGB in [0, 1], to what it was trained on."""

    # What it computes at a position depends on that position alone: see receptive_field.
    positionwise = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape):
        return input_shape


def precise() -> str:
    """The precision of both ends: that of the stored weights, whatever it is in between.

    bfloat16 cannot tell 200 from 201, and a softmax in it loses the small probabilities.
    """
    return keras.config.dtype_policy().variable_dtype


def finished(inputs, outputs, name: str, weights: Path | None) -> keras.Model:
    """The network between two tensors, with its weights if a file of them is given."""
    network = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        load_weights(network, weights)
    return network


def scaled(channels: int, width: float, *, minimum: int = 1) -> int:
    """A number of channels times the width, at least `minimum`."""
    return max(minimum, round(channels * width))


def check_numbers(classes: int, width: float, dropout: float = 0.0) -> None:
    """Refuses a number of classes, a width or a dropout rate that no network has."""
    if not isinstance(width, Real) or not 0 < width < math.inf:
        raise ValueError(f"Expected a width above 0. Received: width={width!r}.")
    if not isinstance(classes, Integral) or classes < 1:
        raise ValueError(
            f"Expected a whole number, at least 1 class. Received: classes={classes!r}."
        )
    if not isinstance(dropout, Real) or not 0 <= dropout < 1:
        raise ValueError(f"Expected a dropout rate in [0, 1). Received: dropout={dropout!r}.")


def checked_shape(
    given: Sequence[int | None] | None,
    published: tuple[int, ...],
    *,
    smallest: int = 1,
    reason: str = "",
) -> InputShape:
    """The shape `(T, H, W, C)` that a network is built for; T, H and W may be None.

    Args:
        given: `input_shape` of the builder.
        published: The shape where none is given.
        smallest: Least frames, rows and columns.
        reason: Why, to follow "at least ... pixels", such as ", as C3D halves them four times".

    Raises:
        ValueError: If it is not such a shape, or an axis is too short.
    """
    if given is None:
        return published
    shape = tuple(given) if isinstance(given, Iterable) else ()
    is_shape = len(shape) == 4 and all(n is None or isinstance(n, Integral) for n in shape)
    if not is_shape or shape[3] is None:
        raise ValueError(
            "Expected input_shape as (frames, height, width, channels). "
            f"Received: input_shape={given!r}."
        )
    short = any(length is not None and length < smallest for length in shape[:3])
    if short or shape[3] < 1:
        frames = "1 frame" if smallest == 1 else f"{smallest} frames"
        raise ValueError(
            f"Expected clips of at least {frames} of {smallest} x {smallest} pixels{reason}. "
            f"Received: input_shape={shape}."
        )
    return shape


def check_fixed(input_shape: InputShape, axes: slice, reason: str) -> None:
    """Refuses None among the axes that a network's top needs.

    Args:
        input_shape: `(T, H, W, C)`.
        axes: Those of T, H and W that must be given.
        reason: Why, to follow "as", such as "fc6 needs them".
    """
    if None in input_shape[axes]:
        *others, last = ["frames", "height", "width"][axes]
        raise ValueError(
            f"Expected fixed {', '.join(others)} and {last}, as {reason} (or include_top=False). "
            f"Received: input_shape={input_shape}."
        )


def check_channels(input_shape: InputShape, channels: int, what: str) -> None:
    """Refuses a number of channels that a network's preprocessing does not take.

    Args:
        input_shape: `(T, H, W, C)`.
        channels: How many it takes.
        what: Which, to follow "channels", such as ", red, green and blue".
    """
    if input_shape[3] != channels:
        raise ValueError(
            f"Expected {channels} channels{what} (include_preprocessing=False takes any number). "
            f"Received: input_shape={input_shape}."
        )
