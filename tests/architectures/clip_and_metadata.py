"""A clip, a mask of its frames and a vector of metadata as a dictionary; two outputs as another."""

import keras
from keras import layers

LAYERS = ("conv_1", "conv_2", "frames")
OUTPUT = "action"
REFUSED = {
    "maps frames": "Expected one patch embedding",
}


def objective():
    """A class of one of the two outputs."""
    from c3dvis import objectives

    return objectives.logit(1, output="action")


def build() -> keras.Model:
    inputs = {
        "clip": keras.Input((6, 24, 24, 3), name="clip"),
        "frame_mask": keras.Input((6,), name="frame_mask"),
        "metadata": keras.Input((5,), name="metadata"),
    }
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name="conv_1")(inputs["clip"])
    x = layers.MaxPool3D((1, 2, 2))(x)
    x = layers.Conv3D(8, 3, padding="same", activation="relu", name="conv_2")(x)
    frames = layers.TimeDistributed(layers.GlobalAveragePooling2D(), name="frames")(x)
    shown = layers.Multiply()([frames, layers.Reshape((6, 1))(inputs["frame_mask"])])
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(shown), inputs["metadata"]])
    outputs = {
        "action": layers.Dense(4, activation="softmax", name="action")(x),
        "speed": layers.Dense(1, name="speed_in_pixels")(x),
    }
    return keras.Model(inputs, outputs)
