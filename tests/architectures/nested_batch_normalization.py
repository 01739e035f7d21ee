"""A Sequential model with batch normalization inside a functional one."""

import keras
from keras import layers

LAYERS = ("block_1/conv", "block_2/conv", "block_2/norm")


def conv_block(filters, name):
    return keras.Sequential(
        [
            layers.Conv3D(filters, 3, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
        ],
        name=name,
    )


def build() -> keras.Model:
    clip = keras.Input((6, 24, 24, 3))
    x = layers.MaxPool3D(2)(conv_block(6, "block_1")(clip))
    x = conv_block(8, "block_2")(x)
    x = layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
