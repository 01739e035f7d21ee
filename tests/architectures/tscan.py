"""The pulse from a film of a face: TS-CAN in its widths, as open-rppg has it, models in models.

Differences of frames are convolved in two dimensions, a third of the channels shifted to the frame
before and a third to the one after; where the mean frame looks like skin, an attention mask lets
them pass. Attributes have the names that they have in open-rppg's files of weights.

Liu et al. 2020, https://arxiv.org/abs/2006.03790
"""

import keras
from keras import layers, ops

LAYERS = (
    "tscan/inner/motion_1/conv_1",
    "tscan/inner/motion_1/conv_2",
    "tscan/inner/motion_2/conv_2",
)
SMALL = (4, 36, 36, 3)
REAL = (160, 36, 36, 3)  # what the weights were trained on
SEGMENTS = 8  # within which channels are shifted


@keras.saving.register_keras_serializable("architectures")
class Shift(layers.Layer):
    """A third of the channels from the next frame, a third from the last: `(N * T, h, w, C)`.

    Lin et al. 2019, https://arxiv.org/abs/1811.08383
    """

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, x):
        third = x.shape[-1] // 3
        segments = ops.reshape(x, (-1, self.frames, *x.shape[1:]))
        after = ops.concatenate([segments[:, 1:], segments[:, -1:]], axis=1)
        before = ops.concatenate([segments[:, :1], segments[:, :-1]], axis=1)
        parts = after[..., :third], before[..., third : 2 * third], segments[..., 2 * third :]
        return ops.reshape(ops.concatenate(parts, axis=-1), (-1, *x.shape[1:]))

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable("architectures")
class Mask(layers.Layer):
    """Sums to half the number of places."""

    def call(self, x):
        return 0.5 * x / ops.mean(x, (1, 2), keepdims=True)


def pair(width, name, shift=None):
    """Two convolutions, of which the second has no padding."""
    parts = []
    for i, padding in enumerate(("same", "valid"), 1):
        parts += [] if shift is None else [Shift(shift)]
        parts.append(layers.Conv2D(width, 3, padding=padding, activation="tanh", name=f"conv_{i}"))
    return keras.Sequential(parts, name=name)


def attention(name):
    return keras.Sequential([layers.Conv2D(1, 1, activation="sigmoid"), Mask()], name=name)


@keras.saving.register_keras_serializable("architectures")
class Branches(keras.Model):
    """Differences `(N, T, 36, 36, 3)` and mean frames `(N, 36, 36, 3)` to `(N, T)`."""

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames
        shift = max(1, frames // SEGMENTS)
        self.d1, self.d2 = pair(32, "motion_1", shift), pair(64, "motion_2", shift)
        self.g1, self.g2 = pair(32, "looks_1"), pair(64, "looks_2")
        self.attn1, self.attn2 = attention("attention_1"), attention("attention_2")
        self.pool = layers.AveragePooling2D(2)
        dense = layers.Dense(128, activation="tanh"), layers.Dropout(0.5), layers.Dense(1)
        self.d = keras.Sequential([layers.Flatten(), *dense], name="wave")

    def call(self, inputs):
        differences, looks = inputs
        x = ops.reshape(differences, (-1, *differences.shape[2:]))
        looks = self.g1(looks)
        x = self.pool(self._masked(self.d1(x), self.attn1(looks)))
        looks = self.g2(self.pool(looks))
        x = self.pool(self._masked(self.d2(x), self.attn2(looks)))
        return ops.reshape(self.d(x), (-1, self.frames))

    def _masked(self, x, mask):
        clips = ops.reshape(x, (-1, self.frames, *x.shape[1:]))
        return ops.reshape(clips * mask[:, None], (-1, *x.shape[1:]))


@keras.saving.register_keras_serializable("architectures")
class TSCAN(keras.Model):
    """`(N, T, 36, 36, 3)` to `(N, T)`."""

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames
        self.inner = Branches(frames, name="inner")

    def call(self, clips):
        x = clips[:, 1:] - clips[:, :-1]
        centred = x - ops.mean(x, (2, 3), keepdims=True)
        x = centred / (ops.std(x, (2, 3), keepdims=True) + 1e-6)
        return self.inner([ops.concatenate([x, x[:, -1:]], axis=1), ops.mean(clips, 1)])

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


def build(shape=SMALL) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, TSCAN(shape[0], name="tscan")(clip))
