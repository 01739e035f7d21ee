"""The pulse from a film of a face: PhysMamba in its widths, as open-rppg has it.

A slow and a fast stream of convolutions that look at differences in time; in each block a state
space, selected by what is seen, runs over all places of all frames in both directions, and channels
are gated. Attributes have the names that they have in open-rppg's files of weights.

Luo et al. 2024, https://arxiv.org/abs/2409.12031
"""

import keras
from keras import layers, ops

from architectures.physnet import standardized

LAYERS = ("phys_mamba/conv_1/conv", "phys_mamba/slow_2/mamba/norm_1", "phys_mamba/up_2/conv")
SMALL = (8, 32, 32, 3)
REAL = (128, 128, 128, 3)  # what the weights were trained on
THETA = 0.5
STATES, KERNEL = 16, 4


@keras.saving.register_keras_serializable("architectures")
class CDC(layers.Layer):
    """A convolution that is lessened by what the first and last frame of its kernel add up to."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, 3, shape[-1], shape[-1]), name="kernel")

    def call(self, x):
        outer = ops.sum(self.kernel[::2], axis=(0, 1, 2), keepdims=True)
        return ops.conv(x, self.kernel, padding="same") - THETA * ops.conv(x, outer)


@keras.saving.register_keras_serializable("architectures")
class ChannelAttention3D(layers.Layer):
    """Channels times a gate that their mean and their maximum over the clip open."""

    def build(self, shape):
        width = shape[-1]
        squeezed = layers.Conv3D(width // 2, 1, activation="relu", use_bias=False)
        self.fc = keras.Sequential([squeezed, layers.Conv3D(width, 1, use_bias=False)])
        self.fc.build((None, 1, 1, 1, width))

    def call(self, x):
        over = {"axis": (1, 2, 3), "keepdims": True}
        return x * ops.sigmoid(self.fc(ops.mean(x, **over)) + self.fc(ops.max(x, **over)))


def scanned(u, delta, decay, inward, outward, skip):
    """A state space whose steps, and what enters and leaves it, depend on the place.

    Its states are sums, as those of open-rppg are, of what each place adds times how much of that
    the last place keeps, divided by how much of it the place itself keeps.
    """
    steps = ops.einsum("nld,ds->nlds", delta, decay)
    later = ops.concatenate([steps[:, 1:], ops.zeros_like(steps[:, :1])], axis=1)
    kept = ops.exp(ops.flip(ops.cumsum(ops.flip(later, 1), axis=1), 1))
    states = ops.cumsum(ops.einsum("nld,nls->nlds", delta * u, inward) * kept, axis=1)
    return ops.einsum("nlds,nls->nld", states / (kept + 1e-12), outward) + u * skip


@keras.saving.register_keras_serializable("architectures")
class BothWays(layers.Layer):
    """State spaces that run over a sequence `(N, L, C)` and back."""

    def build(self, shape):
        width = 2 * shape[-1]
        self.in_projection = layers.Dense(2 * width, use_bias=False)
        self.conv1d = layers.Conv1D(width, KERNEL, groups=width, padding="same", activation="silu")
        self.x_projection = layers.Dense(shape[-1] // 16 + 4 * STATES, use_bias=False)
        self.delta_t_projection = layers.Dense(width, activation="softplus")
        self.out_projection = layers.Dense(shape[-1], use_bias=False)
        self.rates = self.add_weight(shape=(width, STATES), name="rates")
        self.skip = self.add_weight(shape=(width,), initializer="ones", name="skip")
        self.rank = shape[-1] // 16
        self.in_projection.build(shape)
        self.conv1d.build((*shape[:-1], width))
        self.x_projection.build((*shape[:-1], width))
        self.delta_t_projection.build((*shape[:-1], self.rank))
        self.out_projection.build((*shape[:-1], 2 * width))

    def call(self, x):
        x, gates = ops.split(self.in_projection(x), 2, axis=-1)
        x = self.conv1d(x)
        chosen = self.x_projection(x)
        delta = self.delta_t_projection(chosen[..., : self.rank])
        inward, inward_back, outward, outward_back = ops.split(chosen[..., self.rank :], 4, axis=-1)
        decay = -ops.exp(self.rates)
        there = scanned(x, delta, decay, inward, outward, self.skip)
        # What enters and leaves on the way back is not turned round; so are open-rppg's weights.
        back = scanned(
            ops.flip(x, 1), ops.flip(delta, 1), decay, inward_back, outward_back, self.skip
        )
        both = ops.concatenate([there, ops.flip(back, 1)], axis=-1)
        return self.out_projection(both * ops.silu(ops.concatenate([gates, gates], axis=-1)))


@keras.saving.register_keras_serializable("architectures")
class MambaLayer(layers.Layer):
    def build(self, shape):
        self.norm1 = layers.LayerNormalization(epsilon=1e-5, name="norm_1")
        self.norm2 = layers.LayerNormalization(epsilon=1e-5, name="norm_2")
        self.mamba = BothWays(name="both_ways")
        self.channel_att = ChannelAttention3D(name="gates")
        flat = (None, None, shape[-1])
        for layer in (self.norm1, self.norm2, self.mamba):
            layer.build(flat)
        self.channel_att.build(shape)

    def call(self, x):
        tokens = ops.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3], x.shape[4]))
        tokens = self.norm2(tokens + self.mamba(self.norm1(tokens)))
        return self.channel_att(ops.reshape(tokens, (-1, *x.shape[1:])))


def convolved(width, size, name, activation="relu", before=(), **options):
    convolution = layers.Conv3D(width, size, name="conv", **{"padding": "same", **options})
    norm = layers.BatchNormalization(name="norm")
    return keras.Sequential([*before, convolution, norm, layers.Activation(activation)], name=name)


def block(name):
    norm = layers.BatchNormalization(name="norm")
    parts = [CDC(name="conv"), norm, layers.ReLU(), MambaLayer(name="mamba")]
    return keras.Sequential([*parts, ChannelAttention3D(name="gates")], name=name)


@keras.saving.register_keras_serializable("architectures")
class Lateral(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = convolved(64, (3, 1, 1), "conv", strides=(2, 1, 1))

    def call(self, slow, fast):
        return slow + self.conv(fast)


@keras.saving.register_keras_serializable("architectures")
class PhysMamba(keras.Model):
    """Standardized differences of frames `(N, T, H, W, 3)` to `(N, T)`; T in fours, H, W in 16s."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv_block1 = convolved(16, (1, 5, 5), "conv_1")
        self.conv_block2 = convolved(32, 3, "conv_2")
        self.conv_block3 = convolved(64, 3, "conv_3")
        self.conv_block4 = convolved(64, (4, 1, 1), "to_slow", strides=(4, 1, 1), padding="valid")
        self.conv_block5 = convolved(32, (2, 1, 1), "to_fast", strides=(2, 1, 1), padding="valid")
        self.conv_block6 = convolved(32, (3, 1, 1), "last_fast", activation="elu")
        self.block1, self.block2, self.block3 = block("slow_1"), block("slow_2"), block("slow_3")
        self.block4, self.block5, self.block6 = block("fast_1"), block("fast_2"), block("fast_3")
        self.fuse_1, self.fuse_2 = Lateral(name="fuse_1"), Lateral(name="fuse_2")
        self.ups = [
            convolved(width, (3, 1, 1), f"up_{i}", "elu", [layers.UpSampling3D((2, 1, 1))])
            for i, width in enumerate([64, 48], 1)
        ]
        self.pool = layers.MaxPool3D((1, 2, 2))
        self.conv_last = layers.Conv3D(1, 1, name="wave")

    def call(self, clips):
        x = self.conv_block2(self.pool(self.conv_block1(clips)))
        x = self.pool(self.conv_block3(x))
        slow, fast = self.conv_block4(x), self.conv_block5(x)
        fast = self.pool(self.block4(fast))
        slow = self.fuse_1(self.pool(self.block1(slow)), fast)
        fast = self.pool(self.block5(fast))
        slow = self.fuse_2(self.pool(self.block2(slow)), fast)
        slow = self.ups[0](self.block3(slow))
        fast = self.conv_block6(self.block6(fast))
        x = self.ups[1](ops.concatenate([fast, slow], axis=-1))
        x = self.conv_last(ops.mean(x, (2, 3), keepdims=True))
        return standardized(x[:, :, 0, 0, 0], 1)


def build(shape=SMALL) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, PhysMamba(name="phys_mamba")(clip))
