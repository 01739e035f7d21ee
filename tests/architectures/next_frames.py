"""ConvLSTM2D layers that predict the frames to come: the output is a clip.

Shi et al. 2015, https://arxiv.org/abs/1506.04214
"""

import keras
from keras import layers

from c3dvis import objectives

LAYERS = ("first", "second", "frames")


def objective():
    """A channel of the clip that is predicted; there are no classes."""
    return objectives.channel("frames", 0)


def build() -> keras.Model:
    clip = keras.Input((None, 16, 16, 1))
    x = layers.ConvLSTM2D(6, 5, padding="same", return_sequences=True, name="first")(clip)
    x = layers.BatchNormalization()(x)
    x = layers.ConvLSTM2D(6, 3, padding="same", return_sequences=True, name="second")(x)
    x = layers.Conv3D(1, 3, padding="same", activation="sigmoid", name="frames")(x)
    return keras.Model(clip, x)
