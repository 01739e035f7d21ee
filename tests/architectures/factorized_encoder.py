"""A transformer over the patches of each frame, then one over frames, as VideoPrism has it.

Frames are folded into the batch for the first. Zhao et al. 2024, https://arxiv.org/abs/2402.13217
"""

import keras
from keras import layers, ops

from architectures.vivit import Positions, block

LAYERS = ("patches", "space_mlp/down", "time_mlp/down")
FRAMES, SIDE, WIDTH = 4, 4, 16


def build() -> keras.Model:
    clip = keras.Input((FRAMES, 24, 24, 3))
    x = ops.reshape(clip, (-1, 24, 24, 3))
    x = layers.Conv2D(WIDTH, 6, strides=6, name="patches")(x)
    x = Positions()(layers.Reshape((SIDE * SIDE, WIDTH))(x))
    x = block(x, "space")
    x = ops.reshape(x, (-1, FRAMES, SIDE * SIDE, WIDTH))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, FRAMES, WIDTH))
    x = block(Positions()(x), "time")
    x = ops.reshape(x, (-1, SIDE * SIDE, FRAMES, WIDTH))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, FRAMES * SIDE * SIDE, WIDTH))
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(clip, layers.Dense(4, name="classes")(x))
