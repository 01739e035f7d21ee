"""The pulse from a film of a face: PhysNet in its widths, as open-rppg has it, a subclassed model.

Blocks of convolution, batch normalization and ReLU; pooling over time that transposed convolutions
undo; one number a frame, which has mean 0 and deviation 1, as each colour of the film is given.
Attributes have the names that they have in open-rppg's files of weights, which Keras finds by them.

Yu et al. 2019, https://arxiv.org/abs/1905.02419
"""

import keras
from keras import layers, ops

LAYERS = ("phys_net/block_1/conv", "phys_net/block_5/conv", "phys_net/up_2/conv")
SMALL = (4, 32, 32, 3)
REAL = (128, 32, 32, 3)  # what the weights were trained on
WIDTHS = (16, 32, 64, 64, 64, 64, 64, 64, 64)
# After which block what is pooled: rows and columns, or frames too.
POOLS = {1: (1, 2, 2), 3: (2, 2, 2), 5: (2, 2, 2), 7: (1, 2, 2)}


def standardized(values, axes):
    centred = values - ops.mean(values, axes, keepdims=True)
    return centred / (ops.std(values, axes, keepdims=True) + 1e-6)


def block(convolution, activation, name):
    parts = [convolution, layers.BatchNormalization(name="norm"), layers.Activation(activation)]
    return keras.Sequential(parts, name=name)


@keras.saving.register_keras_serializable("architectures")
class PhysNet(keras.Model):
    """`(N, T, H, W, 3)` to `(N, T)`; T in fours."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for i, width in enumerate(WIDTHS, 1):
            size = (1, 5, 5) if i == 1 else 3
            convolution = layers.Conv3D(width, size, padding="same", name="conv")
            setattr(self, f"ConvBlock{i}", block(convolution, "relu", f"block_{i}"))
        for i, name in enumerate(("upsample", "upsample2"), 1):
            convolution = layers.Conv3DTranspose(
                64, (4, 1, 1), (2, 1, 1), padding="same", name="conv"
            )
            setattr(self, name, block(convolution, "elu", f"up_{i}"))
        self.convBlock10 = layers.Conv3D(1, 1, name="wave")
        self.pools = {str(i): layers.MaxPool3D(size) for i, size in POOLS.items()}
        self.mean = layers.AveragePooling3D((1, 2, 2))

    def call(self, clips):
        x = standardized(clips, (1, 2, 3))
        for i in range(1, len(WIDTHS) + 1):
            x = getattr(self, f"ConvBlock{i}")(x)
            x = self.pools[str(i)](x) if i in POOLS else x
        x = self.convBlock10(self.mean(self.upsample2(self.upsample(x))))
        return standardized(ops.mean(x, (2, 3, 4)), 1)


def build(shape=SMALL) -> keras.Model:
    clip = keras.Input(shape)
    return keras.Model(clip, PhysNet(name="phys_net")(clip))
