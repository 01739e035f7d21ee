"""(2+1)D residual blocks as custom layers with layers inside, as tensorflow.org's tutorial has it.

Tran et al. 2018, https://arxiv.org/abs/1711.11248
"""

import keras
from keras import layers, ops

LAYERS = ("stem/space", "block/main/first/space", "block/main/second/time")


@keras.saving.register_keras_serializable("architectures")
class SpaceThenTime(layers.Layer):
    """A convolution in space, then one in time."""

    def __init__(self, filters, kernel, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel = filters, kernel
        t, h, w = kernel
        self.space = layers.Conv3D(filters, (1, h, w), padding="same", name="space")
        self.time = layers.Conv3D(filters, (t, 1, 1), padding="same", name="time")

    def call(self, clips):
        return self.time(self.space(clips))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel": self.kernel}


@keras.saving.register_keras_serializable("architectures")
class Residual(layers.Layer):
    """Two of them with layer normalization, on a projected shortcut."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.main = keras.Sequential(
            [
                SpaceThenTime(filters, (3, 3, 3), name="first"),
                layers.LayerNormalization(),
                layers.ReLU(),
                SpaceThenTime(filters, (3, 3, 3), name="second"),
                layers.LayerNormalization(),
            ],
            name="main",
        )
        self.shortcut = keras.Sequential([layers.Dense(filters), layers.LayerNormalization()])

    def call(self, clips):
        return self.main(clips) + self.shortcut(clips)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("architectures")
class Halve(layers.Layer):
    """Every frame at half its size."""

    def call(self, clips):
        _, frames, height, width, channels = clips.shape
        folded = ops.reshape(clips, (-1, height, width, channels))
        small = ops.image.resize(folded, (height // 2, width // 2))
        return ops.reshape(small, (-1, frames, height // 2, width // 2, channels))


def build() -> keras.Model:
    clip = keras.Input((6, 24, 24, 3))
    x = SpaceThenTime(8, (3, 5, 5), name="stem")(clip)
    x = Halve()(layers.ReLU()(layers.BatchNormalization()(x)))
    x = Residual(8, name="block")(x)
    x = layers.Flatten()(layers.GlobalAveragePooling3D()(x))
    return keras.Model(clip, layers.Dense(4, name="classes")(x))
