"""The pulse from a film of a face: FacePhys in its widths, as open-rppg has it.

Frames are convolved one by one, in half precision; means and deviations of each place run along;
state spaces that turn as they decay (their rates are complex) go over what is on average in each
frame. All begin at states that were learned. Here a clip is computed as a whole, where open-rppg
goes from frame to frame. Attributes and classes have the names that they have in its weights.

Wang et al. 2025, https://arxiv.org/abs/2512.06275
"""

import keras
from keras import layers, ops

from architectures.me import RMSNorm

LAYERS = (
    "face_phys/network/block_1/convs/conv_1/first/conv",
    "face_phys/network/block_2/halved",
    "face_phys/head/state_2/inward",
)
REFUSED = {
    "maps face_phys/head/state_2/inward": "Expected one patch embedding",
}
SMALL = (8, 36, 36, 3)
FULL = {"blocks": 4}
WIDTH, KERNEL = 32, 4
RATE = 30  # frames per second
HALF_LIFE = 0.6931  # ln 2, as open-rppg writes it


@keras.saving.register_keras_serializable("architectures")
class TNM(layers.Layer):
    """Each place less its running mean, over its running deviation.

    How long they run is learned for each channel, and so is where they begin, for each place.
    """

    def build(self, shape):
        channels, place = shape[-1:], (1, 1, *shape[2:])
        self.lbd = self.add_weight(shape=channels, name="half_life")
        self.gamma = self.add_weight(shape=channels, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=channels, initializer="zeros", name="beta")
        self.xmean = self.add_weight(shape=place, initializer="zeros", name="mean")
        self.x2mean = self.add_weight(shape=place, initializer="zeros", name="log_variance")

    def call(self, x):
        frames = ops.arange(x.shape[1], dtype="float32")
        since = frames[:, None] - frames[None, :]
        kept = 1 - HALF_LIFE / RATE / ops.exp(self.lbd)
        weights = (1 - kept) * ops.power(kept, ops.maximum(since, 0)[..., None])
        weights = ops.where(since[..., None] < 0, 0.0, weights)
        start = ops.power(kept, (frames + 1)[:, None])[None, :, None, None]

        def running(values, first):
            return ops.einsum("tsc,nshwc->nthwc", weights, values) + start * first

        centred = x - running(x, self.xmean)
        variance = running(ops.square(centred), ops.exp(self.x2mean))
        return centred * ops.rsqrt(variance + 1e-5) * self.gamma + self.beta


@keras.saving.register_keras_serializable("architectures")
class SSMrPPG(layers.Layer):
    """A state space over a sequence `(N, T, C)` whose states decay and turn, as a whole.

    Args:
        states: Of each of its channels.
        width: Channels that decay alike.
    """

    def __init__(self, states, width, **kwargs):
        super().__init__(**kwargs)
        self.states, self.width = states, width

    def build(self, shape):
        inner = 2 * shape[-1]
        self.inner, self.heads = inner, inner // self.width
        convolved = inner + 2 * self.states
        self.in_proj = layers.Dense(
            2 * inner + convolved + self.heads, use_bias=False, name="inward"
        )
        self.conv1d = layers.DepthwiseConv2D((1, KERNEL), activation="relu6", name="conv")
        self.rate = self.add_weight(shape=(self.heads, 2), name="rate")
        self.shift = self.add_weight(shape=(self.heads,), name="shift")
        self.skip = self.add_weight(shape=(2 * self.heads, 1), name="skip")
        self.before = self.add_weight(shape=(1, KERNEL, convolved), name="before")
        first = (1, 1, self.heads, self.width, self.states, 2)
        self.first = self.add_weight(shape=first, name="first")
        self.norm = RMSNorm(name="norm")
        self.out_proj = layers.Dense(shape[-1], use_bias=False, name="outward")
        self.in_proj.build(shape)
        self.conv1d.build((None, 1, None, convolved))
        for layer in (self.norm, self.out_proj):
            layer.build((*shape[:-1], 2 * inner))

    def call(self, x):
        frames, inner = x.shape[1], self.inner
        x = self.in_proj(x)
        gates, x, steps = ops.split(x, [2 * inner, 3 * inner + 2 * self.states], axis=-1)
        steps = ops.clip(ops.exp(steps + self.shift), 0, 6)
        before = ops.zeros_like(x[:, :1]) + self.before[:, 1:]
        x = self.conv1d(ops.concatenate([before, x], axis=1)[:, None])[:, 0]
        x, inward, outward = ops.split(x, [inner, inner + self.states], axis=-1)
        x = ops.reshape(x, (-1, frames, self.heads, self.width))
        total = ops.transpose(ops.cumsum(steps, axis=1), (0, 2, 1))  # (N, heads, T)
        past = ops.tril(ops.ones((frames, frames)))
        gaps = past * (total[..., :, None] - total[..., None, :])
        alike = ops.einsum("nls,nms->nlm", outward, inward)
        since_first = ops.einsum("nls,hcsi->nlhci", outward, self.first[0, 0])
        real, turned = (
            ops.einsum(
                "nlm,nhlm,nmhc->nlhc", alike, past * self._kept(gaps, each), x * steps[..., None]
            )
            for each in (ops.cos, ops.sin)
        )
        left, spun = (
            ops.transpose(self._kept(total, each), (0, 2, 1))[..., None]
            for each in (ops.cos, ops.sin)
        )
        a, b = since_first[..., 0], since_first[..., 1]
        real = real + left * a - spun * b + x * ops.reshape(self.skip, (self.heads, 2, 1))[:, 0]
        parts = [real, turned + left * b + spun * a]
        y = ops.reshape(ops.stack(parts, axis=3), (-1, frames, 2 * inner))
        return self.out_proj(self.norm(y * ops.relu6(gates)))

    def _kept(self, time, part):
        """Of what came in a time ago, `(N, heads, ...)`, what is left: the cosine or sine part."""
        shape = (1, self.heads, *[1] * (len(time.shape) - 2))
        decay, speed = (ops.reshape(self.rate[:, i], shape) for i in (0, 1))
        return ops.exp(-ops.exp(decay) * time) * part(speed * time)

    def get_config(self):
        return {**super().get_config(), "states": self.states, "width": self.width}


def of_frames(layer, x):
    """What a layer makes of all frames of clips `(N, T, H, W, C)`."""
    y = layer(ops.reshape(x, (-1, *x.shape[2:])))
    return ops.reshape(y, (-1, x.shape[1], *y.shape[1:]))


@keras.saving.register_keras_serializable("architectures")
class SSConv(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        half = {"padding": "same", "dtype": "mixed_float16"}
        wide = layers.Dense(2 * WIDTH, activation="relu6", name="wide")
        first = layers.Conv2D(WIDTH, 3, name="conv", **half)
        self.conv1 = keras.Sequential([first, wide], name="first")
        self.proj = layers.Dense(WIDTH, use_bias=False, name="narrow")
        self.conv2 = layers.Conv2D(WIDTH, 3, activation="relu6", name="second", **half)
        self.ssm = SSMrPPG(128, WIDTH // 8, name="state")
        self.tn = TNM(name="running")

    def call(self, x):
        x = self.tn(x)
        state = self.proj(self.ssm(ops.mean(of_frames(self.conv1, x), (2, 3))))
        return of_frames(self.conv2, x + state[:, :, None, None])


@keras.saving.register_keras_serializable("architectures")
class SSCBlock(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.in_proj = layers.Dense(WIDTH, use_bias=False, name="inward")
        self.ssc = keras.Sequential([SSConv(name=f"conv_{i}") for i in (1, 2)], name="convs")
        self.ds = layers.Conv2D(WIDTH, 2, 2, padding="same", name="halved")

    def call(self, x):
        x = self.in_proj(x)
        return of_frames(self.ds, x + ops.cast(self.ssc(x), x.dtype))


@keras.saving.register_keras_serializable("architectures")
class FacePhys(keras.Model):
    """`(N, T, H, W, 3)` to `(N, T)`."""

    def __init__(self, blocks, **kwargs):
        super().__init__(**kwargs)
        self.blocks = blocks
        parts = [SSCBlock(name=f"block_{i + 1}") for i in range(blocks)]
        self.network = keras.Sequential(parts, name="network")
        # After `layers`, where Keras looks for what has no name in the file.
        narrow = layers.Dense(WIDTH, use_bias=False, name="narrow")
        self.out_proj = keras.Sequential([narrow], name="narrow")
        states = [SSMrPPG(16, 8, name=f"state_{i}") for i in (1, 2)]
        self.head = keras.Sequential([*states, layers.Dense(1, name="wave")], name="head")

    def call(self, clips):
        x = self.out_proj(ops.mean(self.network(clips), (2, 3)))
        return self.head(x)[..., 0]

    def get_config(self):
        return {**super().get_config(), "blocks": self.blocks}


def build(shape=SMALL, *, blocks=2) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, FacePhys(blocks, name="face_phys")(clip))
