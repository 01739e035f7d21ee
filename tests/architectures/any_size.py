"""A network for clips of any size, in mixed precision, with layers that augment in training."""

import keras
from keras import layers

LAYERS = ("conv_1", "conv_2", "conv_2")


def build() -> keras.Model:
    policy = keras.DTypePolicy("mixed_bfloat16")
    clip = keras.Input((None, None, None, 3))
    x = layers.GaussianNoise(0.1)(clip)
    x = layers.Conv3D(6, 3, padding="same", activation="relu", dtype=policy, name="conv_1")(x)
    x = layers.SpatialDropout3D(0.2)(x)
    x = layers.Conv3D(8, 3, padding="same", activation="relu", dtype=policy, name="conv_2")(x)
    x = layers.GlobalMaxPooling3D(dtype=policy)(x)
    return keras.Model(
        clip, layers.Dense(4, activation="softmax", dtype="float32", name="classes")(x)
    )
