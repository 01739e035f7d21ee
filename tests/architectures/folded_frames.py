"""Frames folded into the batch: a CNN sees (N * T, H, W, C), features are averaged over time."""

import keras
from keras import layers, ops

LAYERS = ("conv_1", "conv_2", "conv_3")
FRAMES = 6


@keras.saving.register_keras_serializable("architectures")
class Fold(layers.Layer):
    """`(N, T, H, W, C)` to `(N * T, H, W, C)`."""

    def call(self, clips):
        return ops.reshape(clips, (-1, *clips.shape[2:]))


@keras.saving.register_keras_serializable("architectures")
class Unfold(layers.Layer):
    """`(N * T, ...)` to `(N, T, ...)`."""

    def call(self, frames):
        return ops.reshape(frames, (-1, FRAMES, *frames.shape[1:]))


def build() -> keras.Model:
    clip = keras.Input((FRAMES, 24, 24, 3))
    x = Fold()(clip)
    for i, filters in enumerate((6, 8, 8), 1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{i}")(x)
    x = Unfold()(layers.GlobalAveragePooling2D()(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(clip, layers.Dense(4, name="classes")(x))
