"""Attention in windows, shifted in every second block, as in Video Swin.

Liu et al. 2022, https://arxiv.org/abs/2106.13230 (without the mask and the relative positions).
"""

import keras
from keras import layers, ops

LAYERS = ("patches", "mlp_0", "mlp_1")
GRID, WINDOW, WIDTH = (2, 4, 4), (2, 2, 2), 16


def windows(x):
    """`(N, T, H, W, C)` to `(N * windows, t * h * w, C)`."""
    counts = [side // window for side, window in zip(GRID, WINDOW, strict=True)]
    pairs = [n for both in zip(counts, WINDOW, strict=True) for n in both]
    x = ops.transpose(ops.reshape(x, (-1, *pairs, WIDTH)), (0, 1, 3, 5, 2, 4, 6, 7))
    return ops.reshape(x, (-1, WINDOW[0] * WINDOW[1] * WINDOW[2], WIDTH))


def whole(x):
    """Back to `(N, T, H, W, C)`."""
    counts = [side // window for side, window in zip(GRID, WINDOW, strict=True)]
    x = ops.reshape(x, (-1, *counts, *WINDOW, WIDTH))
    return ops.reshape(ops.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7)), (-1, *GRID, WIDTH))


def build() -> keras.Model:
    clip = keras.Input((4, 24, 24, 3))
    x = layers.Conv3D(WIDTH, (2, 6, 6), strides=(2, 6, 6), name="patches")(clip)
    for i in range(2):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        y = ops.roll(y, (0, -1, -1), axis=(1, 2, 3)) if i else y
        y = windows(y)
        y = whole(layers.MultiHeadAttention(2, WIDTH // 2, name=f"attention_{i}")(y, y))
        y = ops.roll(y, (0, 1, 1), axis=(1, 2, 3)) if i else y
        x = layers.add([x, y])
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        x = layers.add([x, layers.Dense(WIDTH, activation="gelu", name=f"mlp_{i}")(y)])
    x = layers.GlobalAveragePooling3D()(layers.LayerNormalization(epsilon=1e-5)(x))
    return keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
