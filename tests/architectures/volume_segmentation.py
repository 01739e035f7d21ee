"""A small 3-D U-Net: a class for each voxel.

Çiçek et al. 2016, https://arxiv.org/abs/1606.06650
"""

import keras
from keras import layers

from c3dvis import objectives

LAYERS = ("down", "bottom", "voxels")


def objective():
    """A class, over all voxels."""
    return objectives.logit(1)


def build() -> keras.Model:
    volume = keras.Input((8, 16, 16, 1))
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name="down")(volume)
    y = layers.Conv3D(8, 3, padding="same", activation="relu", name="bottom")(
        layers.MaxPool3D(2)(x)
    )
    y = layers.Conv3DTranspose(6, 2, strides=2, name="up")(y)
    x = layers.concatenate([x, y])
    return keras.Model(volume, layers.Conv3D(3, 1, activation="softmax", name="voxels")(x))
