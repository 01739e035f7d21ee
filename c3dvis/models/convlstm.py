"""The convolutional LSTM that was compared with I3D in how they model temporal order."""

from __future__ import annotations

import os
from collections.abc import Sequence

import keras
from keras import layers

from c3dvis.models.builder_parts import (
    check_fixed,
    check_numbers,
    checked_shape,
    finished,
    precise,
    scaled,
)
from c3dvis.models.loading import locate

_KERNEL_DECAY = 0.01


def ConvLSTM(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int = 174,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    name: str = "convlstm",
    *,
    width: float = 1.0,
    filters: Sequence[int] = (32, 32, 32),
    kernel_size: tuple[int, int] = (5, 5),
    padding: str = "valid",
    shared_normalization: bool = False,
    whole_sequence: bool = True,
    dropout: float = 0.0,
) -> keras.Model:
    """Blocks of ConvLSTM2D, max pool and batch normalization, then one dense layer.

    The defaults are the network for Something-Something. For KTH: `input_shape=(32, 120, 160, 3)`,
    `classes=6`, `filters=(32, 32)`, `kernel_size=(3, 5)`, `whole_sequence=False`, `dropout=0.5`.
    With `padding="same"` and `shared_normalization=True` it has the 1,324,014 trainable parameters
    that the paper states. Layers are convlstm1, pool1, bn1, convlstm2, ..., flatten, predictions.

    Args:
        include_top: Whether to end in a dense layer; without it the output is the last block's
            sequence `(N, T, h, w, channels)`.
        weights: None for random initial weights, the name of weights that come with the package,
            or a path to a weight file of any format that `c3dvis.models.load_weights` reads.
        input_shape: `(T, H, W, C)`; `(16, 224, 224, 3)` if None. Each block leaves a quarter of
            the rows and columns, so there is a smallest size: 127 x 127 by default.
        classes: Number of classes; Something-Something version 2 has 174.
        classifier_activation: Activation of the last layer; None for logits.
        include_preprocessing: No effect: the network takes values in [0, 1] directly.
        name: Name of the model.
        width: Factor of all filters.
        filters: Channels of each block; as many blocks as there are numbers.
        kernel_size: Rows and columns of all kernels.
        padding: "valid" or "same", of the input's convolutions.
        shared_normalization: Whether all blocks share one batch normalization; their channels
            must then be equal.
        whole_sequence: Whether the dense layer sees all time steps, or only the last.
        dropout: Rate before the dense layer.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)` to class scores `(N, classes)`.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit.

    Example:
        >>> from c3dvis import models
        >>> small = models.ConvLSTM(input_shape=(4, 24, 24, 3), filters=(4,), classes=3)
        >>> small.output_shape
        (None, 3)

    Mänttäri, Broomé et al. 2020, "Interpreting video features: a comparison of 3D convolutional
    networks and convolutional LSTM networks", https://arxiv.org/abs/2002.00367
    """
    check_numbers(classes, width, dropout)
    input_shape = checked_shape(input_shape, (16, 224, 224, 3))
    for option, numbers in (("filters", filters), ("kernel_size", kernel_size)):
        if not isinstance(numbers, Sequence):
            raise ValueError(
                f"Expected {option} as a tuple of numbers. Received: {option}={numbers!r}."
            )
    channels = [scaled(number, width) for number in filters]
    _check(input_shape, include_top, channels, shared_normalization)
    _check_size(input_shape, len(channels), kernel_size, padding)
    path = locate(weights)  # a wrong name is refused before building
    inputs = layers.Input(input_shape, name="clip")
    normalization = layers.BatchNormalization(name="bn") if shared_normalization else None
    x = inputs
    for number, count in enumerate(channels, start=1):
        x = layers.ConvLSTM2D(
            count,
            kernel_size,
            strides=2,
            padding=padding,
            return_sequences=True,
            kernel_regularizer=keras.regularizers.L2(_KERNEL_DECAY),
            data_format="channels_last",
            name=f"convlstm{number}",
        )(x)
        # The same as a 2x2 pool of every frame.
        x = layers.MaxPooling3D((1, 2, 2), data_format="channels_last", name=f"pool{number}")(x)
        x = (normalization or layers.BatchNormalization(name=f"bn{number}"))(x)
    if include_top:
        x = x if whole_sequence else x[:, -1]
        x = layers.Dropout(dropout, name="dropout")(layers.Flatten(name="flatten")(x))
        options = {"name": "predictions", "dtype": precise()}
        x = layers.Dense(int(classes), classifier_activation, **options)(x)
    return finished(inputs, x, name, path)


def _check_size(input_shape, blocks: int, kernel_size: tuple[int, int], padding: str) -> None:
    """Refuses clips of which a block would leave nothing."""
    smallest = [1, 1]
    for _ in range(blocks):
        # Before the pool of two, and before the convolution of stride two.
        pooled = [2 * length for length in smallest]
        own = (1, 1) if padding == "same" else kernel_size
        smallest = [2 * (length - 1) + k for length, k in zip(pooled, own, strict=True)]
    sides = input_shape[1:3]
    if any(n is not None and n < minimum for n, minimum in zip(sides, smallest, strict=True)):
        raise ValueError(
            f"Expected frames of at least {smallest[0]} x {smallest[1]} pixels, of which {blocks} "
            f"blocks leave a quarter each. Received: input_shape={input_shape}."
        )


def _check(input_shape, include_top, channels, shared) -> None:
    if include_top:
        check_fixed(input_shape, slice(0, 3), "the dense layer needs them")
    if not channels:
        raise ValueError("Expected the filters of at least one block. Received: filters=().")
    if shared and len(set(channels)) > 1:
        raise ValueError(
            f"Expected equal filters where one normalization is shared. Received: {channels}."
        )
