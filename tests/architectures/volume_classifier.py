"""A 3-D CNN that says of a CT scan whether it is healthy: one channel, depth last, one sigmoid.

Zunair et al. 2020, https://arxiv.org/abs/2007.13224
"""

import keras
from keras import layers

REFUSED = {
    "maps dense": "Expected a layer with rows, columns",
}
LAYERS = ("conv_1", "conv_2", "dense")


def build() -> keras.Model:
    scan = keras.Input((24, 24, 16, 1))
    x = scan
    for i, filters in enumerate((6, 8), 1):
        x = layers.Conv3D(filters, 3, activation="relu", name=f"conv_{i}")(x)
        x = layers.BatchNormalization()(layers.MaxPool3D(2)(x))
    x = layers.Dense(8, activation="relu", name="dense")(layers.GlobalAveragePooling3D()(x))
    x = layers.Dropout(0.3)(x)
    return keras.Model(scan, layers.Dense(1, activation="sigmoid", name="output")(x))
