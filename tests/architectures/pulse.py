"""The pulse from a film of a face: one number a frame, from 3-D convolutions and attention masks.

In the manner of PhysNet, Yu et al. 2019, https://arxiv.org/abs/1905.02419
"""

import keras
from keras import layers

LAYERS = ("conv_1", "conv_2", "conv_3")


def build() -> keras.Model:
    clip = keras.Input((8, 16, 16, 3))
    x = layers.Conv3D(6, (1, 3, 3), padding="same", activation="relu", name="conv_1")(clip)
    x = layers.MaxPool3D((1, 2, 2))(layers.BatchNormalization()(x))
    x = layers.Conv3D(8, 3, padding="same", activation="elu", name="conv_2")(x)
    x = layers.Conv3D(8, 3, padding="same", activation="relu", name="conv_3")(x)
    x = layers.AveragePooling3D((1, 8, 8))(x)
    x = layers.Conv3D(1, 1, name="wave")(x)
    return keras.Model(clip, layers.Reshape((8,), name="pulse")(x))
