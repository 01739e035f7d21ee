"""The pulse from a film of a face: the state spaces of open-rppg's ME, in their widths.

Convolutions of single frames, trends of each place taken out, and between them state spaces (Mamba
2) over what is on average in each frame, written as attention that decays. Attributes and classes
have the names that they have in open-rppg's files of weights.

Wang et al. 2025, https://arxiv.org/abs/2504.01774; Dao and Gu 2024, https://arxiv.org/abs/2405.21060
"""

import keras
from keras import layers, ops

LAYERS = (
    "me/network/block_1/convs/conv_1/first/conv",
    "me/network/block_2/halved",
    "me/head/state_2",
)
REFUSED = {
    "maps me/head/state_2": "Expected one patch embedding",
}
SMALL = (8, 36, 36, 3)
REAL = (160, 36, 36, 3)  # what the weights were trained on
FULL = {"blocks": 4}
WIDTH, STATES, EXPANSION = 32, 128, 2


def without_trend(x):
    """Each place without what rises evenly over the frames, and with variance 1."""
    frames = x.shape[1]
    t = ops.reshape(ops.linspace(-0.5, 0.5, frames), (1, frames, 1, 1, 1))
    x = x - ops.mean(x, 1, keepdims=True)
    x = x - t * ops.sum(t * x, 1, keepdims=True) / ops.sum(t * t)
    return x * ops.rsqrt(ops.mean(x * x, 1, keepdims=True) + 2e-6)


@keras.saving.register_keras_serializable("architectures")
class RMSNorm(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * ops.rsqrt(ops.mean(x * x, -1, keepdims=True) + 1e-5) * self.scale


@keras.saving.register_keras_serializable("architectures")
class Mamba2(layers.Layer):
    """A state space over a sequence `(N, T, C)` of any length, as a whole.

    Args:
        kernel: Steps that are convolved.
    """

    def __init__(self, kernel, **kwargs):
        super().__init__(**kwargs)
        self.kernel = kernel

    def build(self, shape):
        self.inner = EXPANSION * shape[-1]
        self.heads = self.inner // WIDTH
        width = self.inner + 2 * STATES
        self.in_proj = layers.Dense(self.inner + width + self.heads, use_bias=False, name="inward")
        self.conv1d = layers.Conv1D(
            width, self.kernel, groups=width, activation="silu", padding="causal", name="conv"
        )
        self.out_proj = layers.Dense(shape[-1], use_bias=False, name="outward")
        self.norm = RMSNorm(name="norm")
        self.shift = self.add_weight(shape=(self.heads,), name="shift")
        self.rate = self.add_weight(shape=(self.heads,), name="rate")
        self.skip = self.add_weight(shape=(self.heads, 1), name="skip")
        self.in_proj.build(shape)
        self.conv1d.build((*shape[:-1], width))
        for layer in (self.norm, self.out_proj):
            layer.build((*shape[:-1], self.inner))

    def call(self, x):
        gates, x, steps = ops.split(
            self.in_proj(x), [self.inner, 2 * (self.inner + STATES)], axis=-1
        )
        steps = ops.softplus(steps + self.shift)
        x, inward, outward = ops.split(self.conv1d(x), [self.inner, self.inner + STATES], axis=-1)
        x = ops.reshape(x, (-1, x.shape[1], self.heads, WIDTH))
        kept = self._kept(ops.transpose(-ops.exp(self.rate) * steps, (0, 2, 1)))
        alike = ops.einsum("nls,nms->nlm", outward, inward)
        y = ops.einsum("nlm,nhlm,nmhc->nlhc", alike, kept, x * steps[..., None]) + x * self.skip
        y = ops.reshape(y, (-1, x.shape[1], self.inner))
        return self.out_proj(self.norm(y * ops.silu(gates)))

    def _kept(self, rates):
        """Of what came in at each step, what is left at each later one; nothing at earlier ones."""
        total = ops.cumsum(rates, axis=-1)
        past = ops.tril(ops.ones((rates.shape[-1],) * 2))
        return past * ops.exp(past * (total[..., :, None] - total[..., None, :]))

    def get_config(self):
        return {**super().get_config(), "kernel": self.kernel}


@keras.saving.register_keras_serializable("architectures")
class SSConv(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        first = layers.Conv3D(WIDTH, (1, 3, 3), padding="same", name="conv")
        wide = layers.Dense(2 * WIDTH, activation="relu", name="wide")
        self.conv1 = keras.Sequential([first, wide], name="first")
        self.mamba = Mamba2(12, name="state")
        self.proj = layers.Dense(WIDTH, use_bias=False, name="narrow")
        self.conv2 = layers.Conv3D(
            WIDTH, (1, 3, 3), padding="same", activation="relu", name="second"
        )

    def call(self, x):
        x = without_trend(x)
        state = self.proj(self.mamba(ops.mean(self.conv1(x), (2, 3))))
        return self.conv2(x + state[:, :, None, None])


@keras.saving.register_keras_serializable("architectures")
class SSCBlock(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.in_proj = layers.Dense(WIDTH, use_bias=False, name="inward")
        self.ssc = keras.Sequential([SSConv(name=f"conv_{i}") for i in (1, 2)], name="convs")
        self.ds = layers.Conv3D(WIDTH, (1, 2, 2), (1, 2, 2), padding="same", name="halved")

    def call(self, x):
        x = self.in_proj(x)
        return self.ds(x + self.ssc(x))


@keras.saving.register_keras_serializable("architectures")
class ME(keras.Model):
    """`(N, T, H, W, 3)` to `(N, T)`."""

    def __init__(self, blocks, **kwargs):
        super().__init__(**kwargs)
        self.blocks = blocks
        parts = [SSCBlock(name=f"block_{i + 1}") for i in range(blocks)]
        self.network = keras.Sequential(parts, name="network")
        # After `layers`, where Keras looks for what has no name in the file.
        narrow = layers.Dense(WIDTH, use_bias=False, name="narrow")
        self.narrow = keras.Sequential([narrow], name="narrow")
        states = [Mamba2(4, name=f"state_{i}") for i in (1, 2)]
        self.head = keras.Sequential([*states, layers.Dense(1, name="wave")], name="head")

    def call(self, clips):
        x = self.narrow(ops.mean(self.network(clips), (2, 3)))
        return self.head(x)[..., 0]

    def get_config(self):
        return {**super().get_config(), "blocks": self.blocks}


def build(shape=SMALL, *, blocks=2) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, ME(blocks, name="me")(clip))
