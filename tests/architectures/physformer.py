"""The pulse from a film of a face: PhysFormer in its widths, as open-rppg has it.

Convolutions make patches of 4 x 32 x 32 pixels tokens; queries and keys are convolved over the grid
of tokens, by what the outer frames of a kernel say less than by its middle one, and so is what
feeds forward. Classes and lists are called so that Keras finds open-rppg's weights by their names.

Yu et al. 2022, https://arxiv.org/abs/2111.12082
"""

import keras
from keras import layers, ops

from architectures.physnet import standardized

LAYERS = (
    "phys_former/stem_1/conv",
    "phys_former/third_2/block_1/attention/queries/conv",
    "phys_former/up_2/conv",
)
SMALL = (8, 64, 64, 3)
REAL = (160, 128, 128, 3)  # what the weights were trained on
CHANNELS, INNER, HEADS = 96, 144, 12
SHARPNESS = 0.5  # what products of queries and keys are multiplied by
THETA = 0.7
PATCH = 32  # rows and columns of a clip that make one token
FULL = {"blocks": 4}  # in each third of the network


@keras.saving.register_keras_serializable("architectures")
class CDC(layers.Layer):
    """A convolution that is lessened by what the first and last frame of its kernel add up to."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, 3, shape[-1], CHANNELS), name="kernel")

    def call(self, x):
        outer = ops.sum(self.kernel[::2], axis=(0, 1, 2), keepdims=True)
        return ops.conv(x, self.kernel, padding="same") - THETA * ops.conv(x, outer)


def convolved(convolution, activation=None, before=(), after=()):
    parts = [*before, convolution, layers.BatchNormalization(name="norm")]
    parts += [] if activation is None else [layers.Activation(activation)]
    return [*parts, *after]


@keras.saving.register_keras_serializable("architectures")
class Attention(layers.Layer):
    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = grid
        self.proj_q = keras.Sequential(convolved(CDC(name="conv")), name="queries")
        self.proj_k = keras.Sequential(convolved(CDC(name="conv")), name="keys")
        values = layers.Conv3D(CHANNELS, 1, use_bias=False, name="conv")
        self.proj_v = keras.Sequential([values], name="values")

    def call(self, tokens):
        x = ops.reshape(tokens, (-1, *self.grid, CHANNELS))
        queries, keys, values = (self._heads(f(x)) for f in (self.proj_q, self.proj_k, self.proj_v))
        products = ops.einsum("nqhc,nkhc->nhqk", queries, keys)
        weights = ops.softmax(SHARPNESS * products)
        return ops.reshape(ops.einsum("nhqk,nkhc->nqhc", weights, values), (-1, *tokens.shape[1:]))

    def _heads(self, x):
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3], HEADS, CHANNELS // HEADS))


@keras.saving.register_keras_serializable("architectures")
class Feedforward(layers.Layer):
    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = grid
        wide = layers.Conv3D(INNER, 1, use_bias=False, name="conv")
        near = layers.Conv3D(INNER, 3, padding="same", groups=INNER, use_bias=False, name="conv")
        narrow = layers.Conv3D(CHANNELS, 1, use_bias=False, name="conv")
        self.fc1 = keras.Sequential(convolved(wide, "elu"), name="wide")
        self.STConv = keras.Sequential(convolved(near, "elu"), name="near")
        self.fc2 = keras.Sequential(convolved(narrow), name="narrow")

    def call(self, tokens):
        x = ops.reshape(tokens, (-1, *self.grid, CHANNELS))
        return ops.reshape(self.fc2(self.STConv(self.fc1(x))), (-1, *tokens.shape[1:]))


@keras.saving.register_keras_serializable("architectures")
class BlockStTdcGraSharp(layers.Layer):
    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.norm1, self.norm2 = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))
        self.attn = Attention(grid, name="attention")
        self.proj = layers.Dense(CHANNELS, name="projection")
        self.pwff = Feedforward(grid, name="feedforward")

    def call(self, x):
        x = x + self.proj(self.attn(self.norm1(x)))
        return x + self.pwff(self.norm2(x))


@keras.saving.register_keras_serializable("architectures")
class TransformerStTdcGraSharp(layers.Layer):
    def __init__(self, grid, blocks, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [BlockStTdcGraSharp(grid, name=f"block_{i + 1}") for i in range(blocks)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@keras.saving.register_keras_serializable("architectures")
class PhysFormer(keras.Model):
    """`(N, T, H, W, 3)` to `(N, T)`; T in fours, H and W in 32s.

    Args:
        grid: Tokens along frames, rows and columns.
        blocks: Of each third.
    """

    def __init__(self, grid, blocks, **kwargs):
        super().__init__(**kwargs)
        self.grid, self.count = tuple(grid), blocks
        self.patches = layers.Conv3D(CHANNELS, 4, 4, name="patches")
        self.thirds = [
            TransformerStTdcGraSharp(grid, blocks, name=f"third_{i + 1}") for i in range(3)
        ]
        self.stems = []
        for i, size in enumerate([(1, 5, 5), 3, 3], 1):
            convolution = layers.Conv3D(12 * 2**i, size, padding="same", name="conv")
            parts = convolved(convolution, "relu", after=[layers.MaxPool3D((1, 2, 2))])
            self.stems.append(keras.Sequential(parts, name=f"stem_{i}"))
        self.ups = []
        for i, width in enumerate([CHANNELS, CHANNELS // 2], 1):
            convolution = layers.Conv3D(width, (3, 1, 1), padding="same", name="conv")
            parts = convolved(convolution, "elu", before=[layers.UpSampling3D((2, 1, 1))])
            self.ups.append(keras.Sequential(parts, name=f"up_{i}"))
        self.ConvBlockLast = layers.Conv1D(1, 1, name="wave")

    def call(self, clips):
        x = standardized(clips, (1, 2, 3))
        for stem in self.stems:
            x = stem(x)
        frames, rows, columns = self.grid
        x = ops.reshape(self.patches(x), (-1, frames * rows * columns, CHANNELS))
        for third in self.thirds:
            x = third(x)
        x = ops.reshape(x, (-1, frames, rows, columns, CHANNELS))
        for up in self.ups:
            x = up(x)
        return standardized(self.ConvBlockLast(ops.mean(x, (2, 3)))[..., 0], 1)

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "blocks": self.count}


def build(shape=SMALL, *, blocks=1) -> keras.Model:
    clip = keras.Input(shape)
    grid = (shape[0] // 4, shape[1] // PATCH, shape[2] // PATCH)
    return keras.Model(clip, PhysFormer(grid, blocks, name="phys_former")(clip))
