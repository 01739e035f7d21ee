"""A class for each frame, several at once (sigmoid): (N, T, classes), and a second output."""

import keras
from keras import layers

from c3dvis import objectives

OUTPUT = "events"
REFUSED = {
    "maps gru": "Expected one patch embedding",
}
LAYERS = ("conv_1", "conv_2", "gru")


def objective():
    """A class of the third frame."""
    return objectives.logit(0, output="events", where=2)


def build() -> keras.Model:
    clip = keras.Input((6, 16, 16, 3))
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name="conv_1")(clip)
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name="conv_2")(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D(), name="pool")(x)
    x = layers.GRU(8, return_sequences=True, name="gru")(x)
    events = layers.Dense(3, activation="sigmoid", name="events")(x)
    whole = layers.Dense(2, activation="softmax", name="whole")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(clip, {"events": events, "whole": whole})
