"""Networks whose units are the brightness of a clip, and NaN where it is too bright."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tests")
class BreaksAbove(keras.layers.Layer):
    """NaN for clips that have become brighter than a level."""

    def __init__(self, level, **kwargs):
        super().__init__(**kwargs)
        self.level = level

    def call(self, clips):
        bright = ops.mean(clips, axis=(1, 2, 3, 4), keepdims=True) > self.level
        return clips + ops.where(bright, float("nan"), 0.0)


def brightness_network(weights=(1.0, -1.0), *, shape=(4, 6, 6, 3), breaks_above=2.0) -> keras.Model:
    """Each unit of layer "out" is its weight times the sum of the channels' means."""
    clip = keras.Input(shape)
    mean = keras.layers.GlobalAveragePooling3D()(BreaksAbove(breaks_above)(clip))
    network = keras.Model(clip, keras.layers.Dense(len(weights), name="out")(mean))
    kernel = np.array([weights] * shape[-1], np.float32)
    network.get_layer("out").set_weights([kernel, np.zeros(len(weights))])
    return network
