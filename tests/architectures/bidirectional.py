"""Bidirectional ConvLSTM2D on frames of a shared convolution, in a Sequential model."""

import keras
from keras import layers

LAYERS = ("frames", "both_ways", "both_ways/forward_memory")


def build() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((5, 16, 16, 3)),
            layers.Rescaling(2.0, offset=-1.0),
            layers.TimeDistributed(
                layers.Conv2D(6, 3, padding="same", activation="relu"), name="frames"
            ),
            layers.Bidirectional(
                layers.ConvLSTM2D(4, 3, padding="same", name="memory"), name="both_ways"
            ),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax", name="classes"),
        ]
    )
