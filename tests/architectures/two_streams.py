"""Two streams, colour and optical flow, whose class scores are averaged.

Simonyan and Zisserman 2014, https://arxiv.org/abs/1406.2199
"""

import keras
from keras import layers

INPUT = "rgb"
LAYERS = ("rgb_conv_1", "rgb_pool", "rgb_conv_2")


def stream(name, channels):
    clip = keras.Input((6, 24, 24, channels), name=name)
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name=f"{name}_conv_1")(clip)
    x = layers.MaxPool3D(2, name=f"{name}_pool")(x)
    x = layers.Conv3D(8, 3, padding="same", activation="relu", name=f"{name}_conv_2")(x)
    x = layers.GlobalAveragePooling3D()(x)
    return clip, layers.Dense(4, name=f"{name}_classes")(x)


def build() -> keras.Model:
    (rgb, one), (flow, other) = stream("rgb", 3), stream("flow", 2)
    x = layers.Average(name="average")([one, other])
    return keras.Model({"rgb": rgb, "flow": flow}, layers.Softmax(name="classes")(x))
