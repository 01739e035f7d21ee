"""A pretrained CNN inside TimeDistributed, then an LSTM: the commonest video network of all."""

import keras
from keras import layers

LAYERS = ("frames/conv_1", "frames/block_expand", "frames/block_project")


def cnn(shape=(24, 24, 3)) -> keras.Model:
    """An inverted residual of MobileNetV2 behind a strided stem."""
    frame = keras.Input(shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv_1")(frame)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.Conv2D(16, 1, use_bias=False, name="block_expand")(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="block_depthwise")(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False, name="block_project")(y))
    return keras.Model(frame, layers.add([x, y]), name="cnn")


def build() -> keras.Model:
    clip = keras.Input((6, 24, 24, 3))
    x = layers.TimeDistributed(cnn(), name="frames")(clip)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D(), name="pool")(x)
    x = layers.LSTM(8, name="lstm")(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
