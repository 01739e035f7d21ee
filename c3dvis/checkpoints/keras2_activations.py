"""Activations of Keras 1 and 2 that are another function under the same name in Keras 3."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable(package="c3dvis")
def keras2_hard_sigmoid(x):
    """The `hard_sigmoid` of Keras 1 and 2: `clip(0.2 * x + 0.5, 0, 1)`.

    Keras 3's is `relu6(x + 3) / 6`, of slope 1/6. A network trained with the old one, as every
    ConvLSTM2D of Keras 2 is by default, needs the old one.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the same shape, in [0, 1].

    Example:
        >>> import numpy as np
        >>> from c3dvis.models import keras2_hard_sigmoid
        >>> np.asarray(keras2_hard_sigmoid(np.float32([-3, 0, 1, 3]))).round(2).tolist()
        [0.0, 0.5, 0.7, 1.0]
    """
    return keras.ops.clip(0.2 * keras.ops.convert_to_tensor(x) + 0.5, 0, 1)
