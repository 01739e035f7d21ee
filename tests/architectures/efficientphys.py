"""The pulse from a film of a face: EfficientPhys in its widths, as open-rppg has it.

Every pixel of the differences of frames has a normalization of its own; what is convolved in two
dimensions has a third of its channels from the next frame and a third from the last, and is
multiplied by gates of its own. Attributes have the names that they have in open-rppg's weights.

Liu et al. 2023, https://arxiv.org/abs/2110.04447
"""

import keras
from keras import layers, ops

from architectures.tscan import Mask, Shift

LAYERS = ("efficient_phys/conv_1", "efficient_phys/conv_3", "efficient_phys/conv_4")
SMALL = (8, 72, 72, 3)
REAL = (160, 72, 72, 3)  # what the weights were trained on
SEGMENT = 8  # frames among which channels are shifted


def convolution(width, number, padding):
    return layers.Conv2D(width, 3, padding=padding, activation="tanh", name=f"conv_{number}")


@keras.saving.register_keras_serializable("architectures")
class EfficientPhys(keras.Model):
    """`(N, T, 72, 72, 3)` to `(N, T)`; T in eights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.bn = layers.BatchNormalization(axis=1, name="of_each_pixel")
        self.shift, self.gated = Shift(SEGMENT), Mask()
        self.mc1, self.mc2 = convolution(32, 1, "same"), convolution(32, 2, "valid")
        self.mc3, self.mc4 = convolution(64, 3, "same"), convolution(64, 4, "valid")
        self.attc1 = layers.Conv2D(32, 1, activation="sigmoid", name="gates_1")
        self.attc2 = layers.Conv2D(64, 1, activation="sigmoid", name="gates_2")
        self.pool, self.flat = layers.AveragePooling2D(2), layers.Flatten()
        self.dense1 = layers.Dense(128, activation="tanh", name="dense")
        self.dense2 = layers.Dense(1, name="wave")

    def call(self, clips):
        frames, *place = clips.shape[1:]
        x = ops.concatenate([clips[:, 1:] - clips[:, :-1], ops.zeros_like(clips[:, :1])], axis=1)
        x = self.bn(ops.reshape(x, (-1, place[0] * place[1], place[2])))
        x = ops.reshape(x, (-1, *place))
        x = self._gated(self.mc2(self.shift(self.mc1(self.shift(x)))), self.attc1)
        x = self._gated(self.mc4(self.shift(self.mc3(self.shift(x)))), self.attc2)
        return ops.reshape(self.dense2(self.dense1(self.flat(x))), (-1, frames))

    def _gated(self, x, gates):
        return self.pool(x * self.gated(gates(x)))


def build(shape=SMALL) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, EfficientPhys(name="efficient_phys")(clip))
