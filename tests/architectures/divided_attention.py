"""A video transformer with a class token and attention divided into time and space.

Bertasius et al. 2021, https://arxiv.org/abs/2102.05095. Each patch attends in time to its place,
then in space to its frame and the class token. This attends to each frame, and is averaged.
"""

import keras
from keras import layers, ops

from architectures.vivit import Positions

LAYERS = ("patches", "mlp_0", "mlp_1")
FRAMES, SIDE, WIDTH = 4, 4, 16
GRID = (FRAMES, SIDE, SIDE)


@keras.saving.register_keras_serializable("architectures")
class ClassToken(layers.Layer):
    """A learned token before the others."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, tokens):
        token = ops.repeat(self.token, ops.shape(tokens)[0], axis=0)
        return ops.concatenate([token, tokens], axis=1)


def fold(tokens, over_time):
    """The patches, without the class token, as one sequence a place or a frame."""
    x = layers.Reshape((FRAMES, SIDE * SIDE, WIDTH))(tokens[:, 1:])
    x = layers.Permute((2, 1, 3))(x) if over_time else x
    return ops.reshape(x, (-1, *x.shape[2:]))


def unfold(x, over_time):
    """Back to `(N, T * H * W, C)`."""
    first, second = (SIDE * SIDE, FRAMES) if over_time else (FRAMES, SIDE * SIDE)
    x = ops.reshape(x, (-1, first, second, WIDTH))
    x = layers.Permute((2, 1, 3))(x) if over_time else x
    return ops.reshape(x, (-1, FRAMES * SIDE * SIDE, WIDTH))


def block(x, index):
    """Attention in time, attention in space, perceptron."""
    y = fold(layers.LayerNormalization(epsilon=1e-6)(x), over_time=True)
    y = unfold(layers.MultiHeadAttention(2, WIDTH // 2, name=f"time_{index}")(y, y), over_time=True)
    x = ops.concatenate([x[:, :1], x[:, 1:] + y], axis=1)
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = ops.concatenate([ops.repeat(y[:, :1], FRAMES, axis=0), fold(y, over_time=False)], axis=1)
    y = layers.MultiHeadAttention(2, WIDTH // 2, name=f"space_{index}")(y, y)
    token = ops.mean(ops.reshape(y[:, :1], (-1, FRAMES, 1, WIDTH)), axis=1)
    x = layers.add([x, ops.concatenate([token, unfold(y[:, 1:], over_time=False)], axis=1)])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.Dense(WIDTH, activation="gelu", name=f"mlp_{index}")(y)
    return layers.add([x, y])


def build() -> keras.Model:
    clip = keras.Input((FRAMES, 24, 24, 3))
    x = layers.Conv3D(WIDTH, (1, 6, 6), strides=(1, 6, 6), name="patches")(clip)
    x = layers.Reshape((-1, WIDTH), name="tokens")(x)
    x = Positions()(ClassToken(name="class_token")(x))
    for i in range(2):
        x = block(x, i)
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return keras.Model(clip, layers.Dense(4, name="classes")(x[:, 0]))
