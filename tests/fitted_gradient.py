"""Gradients as a training step of Keras takes them."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops


class _Holder(keras.layers.Layer):
    def __init__(self, clips, score):
        super().__init__()
        self.clips = self.add_weight(shape=clips.shape, initializer=lambda *_, **__: clips)
        self.score = score

    def call(self, uniforms):
        return self.score(ops.convert_to_tensor(self.clips), uniforms)[:, None]


def fitted_gradient(score: Callable, clips: np.ndarray, uniforms: np.ndarray | None = None):
    """The gradient of scores' sum, by the training step of a model whose weights are clips.

    Args:
        score: Function of clips and uniforms, both tensors, that returns `(N,)`.
        clips: `(N, T, H, W, C)`.
        uniforms: `(N, D)`; None where the score reads none.
    """
    count = len(clips)
    uniforms = np.zeros((count, 1), np.float32) if uniforms is None else uniforms
    holder = _Holder(clips, score)
    model = keras.Sequential([keras.Input(uniforms.shape[1:]), holder])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, total: ops.sum(total))
    model.fit(uniforms, np.zeros(count), batch_size=count, shuffle=False, verbose=0)
    return clips - ops.convert_to_numpy(holder.clips)
