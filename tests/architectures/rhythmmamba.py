"""The pulse from a film of a face: RhythmMamba in its widths, as open-rppg has it.

Convolutions of frames and of their differences fold frames into the batch; places are weighed
by shares; then state spaces run over pieces of the sequence that begin at each
quarter, and what feeds forward is multiplied in frequencies. Attributes and classes have the names
that they have in open-rppg's files of weights.

Zou et al. 2024, https://arxiv.org/abs/2404.06483
"""

import keras
from keras import layers, ops

from architectures.physmamba import scanned
from architectures.physnet import standardized

LAYERS = (
    "rhythm_mamba/stem/frames/conv",
    "rhythm_mamba/places/conv",
    "rhythm_mamba/wave",
)
REFUSED = {
    "maps rhythm_mamba/wave": "Expected one patch embedding",
}
SMALL = (8, 32, 32, 3)
REAL = (160, 128, 128, 3)  # what the weights were trained on
CHANNELS, STATES, KERNEL, PIECES = 96, 48, 4, 4
DROPPED = 0.1  # the share of the last block that training leaves out
FULL = {"blocks": 24}


def convolved(width, strides, name, epsilon=1e-3):
    convolution = layers.Conv2D(width, 7, strides, padding="same", name="conv")
    norm = layers.BatchNormalization(epsilon=epsilon, name="norm")
    return keras.Sequential([convolution, norm, layers.ReLU(), layers.MaxPool2D()], name=name)


@keras.saving.register_keras_serializable("architectures")
class FusionStem(layers.Layer):
    """`(N, T, H, W, 3)` to `(N * T, H / 8, W / 8, C)`, from frames and four differences of each."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        width = CHANNELS // 8
        self.stem11 = convolved(width, 2, "frames", epsilon=1e-5)
        self.stem12 = convolved(width, 2, "differences")
        self.stem21 = convolved(2 * width, 1, "both")
        self.stem22 = convolved(2 * width, 1, "differences_2")

    def call(self, clips):
        frames, height, width, colours = clips.shape[1:]
        first, last = [clips[:, :1]] * 2, [clips[:, -1:]] * 2
        padded = ops.concatenate([*first, clips, *last], axis=1)
        steps = padded[:, 1:] - padded[:, :-1]
        # Side by side in rows, not in channels, of which they are made as they lie in memory.
        steps = ops.concatenate([steps[:, i : i + frames] for i in range(4)], axis=2)
        steps = self.stem12(ops.reshape(steps, (-1, height, width, 4 * colours)))
        seen = self.stem11(ops.reshape(clips, (-1, height, width, colours)))
        return (self.stem21((seen + steps) / 2) + self.stem22(steps)) / 2


@keras.saving.register_keras_serializable("architectures")
class Mamba(layers.Layer):
    """A state space over a sequence `(N, L, C)`, whose steps depend on the place."""

    def build(self, shape):
        width, rank = 2 * shape[-1], shape[-1] // 16
        self.rank = rank
        self.in_projection = layers.Dense(2 * width, use_bias=False, name="inward")
        self.conv1d = layers.Conv1D(
            width, KERNEL, groups=width, padding="causal", activation="silu", name="conv"
        )
        self.x_projection = layers.Dense(rank + 2 * STATES, use_bias=False, name="chosen")
        self.delta_t_projection = layers.Dense(width, activation="softplus", name="steps")
        self.out_projection = layers.Dense(shape[-1], use_bias=False, name="outward")
        self.rates = self.add_weight(shape=(width, STATES), name="rates")
        self.skip = self.add_weight(shape=(width,), initializer="ones", name="skip")
        self.in_projection.build(shape)
        for layer in (self.conv1d, self.x_projection, self.out_projection):
            layer.build((*shape[:-1], width))
        self.delta_t_projection.build((*shape[:-1], rank))

    def call(self, x):
        x, gates = ops.split(self.in_projection(x), 2, axis=-1)
        x = self.conv1d(x)
        delta, inward, outward = ops.split(
            self.x_projection(x), [self.rank, self.rank + STATES], axis=-1
        )
        delta = self.delta_t_projection(delta)
        y = scanned(x, delta, -ops.exp(self.rates), inward, outward, self.skip)
        return self.out_projection(y * ops.silu(gates))


@keras.saving.register_keras_serializable("architectures")
class MambaLayer(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.mamba = layers.LayerNormalization(name="norm"), Mamba(name="state")

    def call(self, x):
        return self.mamba(self.norm(x))


@keras.saving.register_keras_serializable("architectures")
class FrequencydomainFFN(layers.Layer):
    """A sequence's frequencies times a matrix of complex numbers, between two convolutions of 1."""

    def build(self, shape):
        width = 2 * shape[-1]
        sizes = {"r": (width, width), "i": (width, width), "rb": (width,), "ib": (width,)}
        for name, size in sizes.items():
            setattr(self, name, self.add_weight(shape=size, name=name))
        for name, parts in (("fc1", [width, layers.ReLU()]), ("fc2", [shape[-1]])):
            convolution = layers.Conv1D(parts[0], 1, use_bias=False, name="conv")
            norm = layers.BatchNormalization(epsilon=1e-5, name="norm")
            setattr(self, name, keras.Sequential([convolution, norm, *parts[1:]], name=name))
        self.fc1.build(shape)
        self.fc2.build((*shape[:-1], width))

    def call(self, x):
        x = ops.transpose(self.fc1(x), (0, 2, 1))
        scale = x.shape[-1] ** 0.5
        real, imaginary = (ops.transpose(part, (0, 2, 1)) / scale for part in ops.rfft(x))
        parts = (
            ops.matmul(real, self.r) - ops.matmul(imaginary, self.i) + self.rb,
            ops.matmul(imaginary, self.r) + ops.matmul(real, self.i) + self.ib,
        )
        parts = tuple(ops.transpose(ops.relu(part), (0, 2, 1)) * scale for part in parts)
        return self.fc2(ops.transpose(ops.irfft(parts, fft_length=x.shape[-1]), (0, 2, 1)))


@keras.saving.register_keras_serializable("architectures")
class BlockMamba(keras.Model):
    """`kept` is the share of what it adds that is left when nothing is dropped."""

    def __init__(self, kept, **kwargs):
        super().__init__(**kwargs)
        self.kept = kept
        self.norm1 = layers.LayerNormalization(name="norm_1")
        self.norm2 = layers.LayerNormalization(name="norm_2")
        self.attn, self.mlp = MambaLayer(name="states"), FrequencydomainFFN(name="forward")

    def call(self, x):
        step = x.shape[1] // PIECES
        later = [
            ops.concatenate([x[:, i * step :], x[:, -i * step :]], 1) for i in range(1, PIECES)
        ]
        every = self.attn(ops.concatenate([x, *later], axis=0))
        every = ops.split(every, PIECES, axis=0)
        # Each quarter is the mean of the runs that have come to it.
        quarters = [
            sum(every[j][:, (i - j) * step : (i - j + 1) * step] for j in range(i + 1)) / (i + 1)
            for i in range(PIECES)
        ]
        x = x + self.kept * self.norm1(ops.concatenate(quarters, axis=1))
        return x + self.kept * self.mlp(self.norm2(x))

    def get_config(self):
        return {**super().get_config(), "kept": self.kept}


@keras.saving.register_keras_serializable("architectures")
class RhythmMamba(keras.Model):
    """`(N, T, H, W, 3)` to `(N, T)`; T, H and W in eights."""

    def __init__(self, blocks, **kwargs):
        super().__init__(**kwargs)
        self.count = blocks
        self.Fusion_Stem = FusionStem(name="stem")
        convolution = layers.Conv3D(CHANNELS, (2, 5, 5), (2, 1, 1), padding="same", name="conv")
        norm = layers.BatchNormalization(name="norm")
        self.stem3 = keras.Sequential([convolution, norm], name="places")
        kept = [1 - DROPPED * max(i - 1, 0) / max(blocks - 1, 1) for i in range(blocks)]
        parts = [BlockMamba(share, name=f"block_{i}") for i, share in enumerate(kept, 1)]
        self.blocks = keras.Sequential(parts, name="blocks")
        self.upsample = layers.UpSampling1D(2)
        self.ConvBlockLast = layers.Conv1D(1, 1, name="wave")

    def call(self, clips):
        x = self.Fusion_Stem(standardized(clips, (1, 2, 3)))
        x = self.stem3(ops.reshape(x, (-1, clips.shape[1], *x.shape[1:])))
        shares = ops.sigmoid(x)
        # Shares of frames and rows, as open-rppg computes it, not of rows and columns.
        x = ops.mean(0.5 * x * shares / ops.mean(shares, (1, 2), keepdims=True), (2, 3))
        return standardized(self.ConvBlockLast(self.upsample(self.blocks(x)))[..., 0], 1)

    def get_config(self):
        return {**super().get_config(), "blocks": self.count}


def build(shape=SMALL, *, blocks=2) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, RhythmMamba(blocks, name="rhythm_mamba")(clip))
