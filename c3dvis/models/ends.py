"""What the builders share of a network's two ends: its preprocessing, and the finished model."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from c3dvis.models.loading import load_weights


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
