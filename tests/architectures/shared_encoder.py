"""One encoder for the clip and for its every other frame, as in Siamese and two-speed networks.

Bromley et al. 1993, "Signature Verification using a Siamese Time Delay Neural Network"
"""

import keras
from keras import layers

LAYERS = ("encoder@1/conv_1", "encoder@2/conv_1", "encoder@2/conv_2")


def build() -> keras.Model:
    some = keras.Input((None, 24, 24, 3))
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name="conv_1")(some)
    x = layers.MaxPool3D((1, 2, 2), name="pool")(x)
    x = layers.Conv3D(8, 3, padding="same", activation="relu", name="conv_2")(x)
    encoder = keras.Model(some, layers.GlobalAveragePooling3D(name="mean")(x), name="encoder")
    clip = keras.Input((6, 24, 24, 3))
    x = layers.Concatenate(name="both")([encoder(clip), encoder(clip[:, ::2])])
    return keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
