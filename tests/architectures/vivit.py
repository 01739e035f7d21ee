"""A video transformer with joint attention over tubelets, as on keras.io.

Arnab et al. 2021, https://arxiv.org/abs/2103.15691
"""

import keras
from keras import layers

LAYERS = ("tubelets/projection", "block_0_mlp/down", "block_1_mlp/down")
GRID = (3, 4, 4)
WIDTH = 16


@keras.saving.register_keras_serializable("architectures")
class Tubelets(layers.Layer):
    """Tubelets of a clip as tokens."""

    def __init__(self, width, patch, **kwargs):
        super().__init__(**kwargs)
        self.width, self.patch = width, patch
        self.projection = layers.Conv3D(width, patch, strides=patch, name="projection")
        self.flatten = layers.Reshape((-1, width))

    def call(self, clips):
        return self.flatten(self.projection(clips))

    def get_config(self):
        return {**super().get_config(), "width": self.width, "patch": self.patch}


@keras.saving.register_keras_serializable("architectures")
class Positions(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, shape):
        self.embedding = self.add_weight(
            shape=shape[1:], initializer="random_normal", name="embedding"
        )

    def call(self, tokens):
        return tokens + self.embedding


def block(x, name, heads=2):
    """Pre-norm attention and perceptron, each on a shortcut."""
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.MultiHeadAttention(heads, WIDTH // heads, name=f"{name}_attention")(y, y)
    x = layers.add([x, y])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = keras.Sequential(
        [layers.Dense(2 * WIDTH, activation="gelu", name="up"), layers.Dense(WIDTH, name="down")],
        name=f"{name}_mlp",
    )(y)
    return layers.add([x, y])


def build() -> keras.Model:
    clip = keras.Input((6, 24, 24, 3))
    x = Positions()(Tubelets(WIDTH, (2, 6, 6), name="tubelets")(clip))
    for i in range(2):
        x = block(x, f"block_{i}")
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
