"""A layer's own 3-D kernels as small clips."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis.models import layers
from c3dvis.text import unknown


def kernels(network: keras.Model, layer: str) -> NDArray[np.float32]:
    """The kernels of a convolution as clips: grey is 0, and each kernel has its own scale.

    A kernel that reads RGB is shown in colours. One that reads other channels has no picture of its
    own: shown is how it weighs the one mixture of these channels that holds most of its energy
    (the first singular vector), in grey, with the sign that makes its sum positive.

    Args:
        network: A Keras model.
        layer: Name of a 3-D convolution (of a 2-D one: kernels of one frame).

    Returns:
        float32 `(filters, t, h, w, 3)` in [0, 1], or `(filters, t, h, w, 1)`.

    Raises:
        ValueError: An unknown layer, or one that is no convolution.

    Example:
        >>> from c3dvis import models, responses
        >>> responses.kernels(models.build("c3d-motion"), "conv1").shape
        (8, 3, 3, 3, 3)
    """
    info = next((i for i in layers.describe(network) if i.name == layer), None)
    if info is None or not info.is_convolution:
        names = [i.name for i in layers.describe(network) if i.is_convolution]
        raise unknown("the name of a convolution", layer, names)
    weights = np.asarray(_kernel(info.layer), np.float32)
    if weights.ndim == 4:
        weights = weights[None]  # a 2-D kernel is one of a single frame
    shown = np.moveaxis(weights, -1, 0)  # (filters, t, h, w, channels)
    if shown.shape[-1] != 3:
        shown = np.stack([_strongest_mixture(kernel) for kernel in shown])
    most = np.abs(shown).max(axis=(1, 2, 3, 4), keepdims=True)
    return (0.5 + 0.5 * shown / np.where(most > 0, most, 1)).astype(np.float32)


def _kernel(layer):
    cell = getattr(layer, "cell", layer)
    inner = getattr(cell, "layer", cell)
    return keras.ops.convert_to_numpy(inner.kernel)


def _strongest_mixture(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(t, h, w, channels)` to `(t, h, w, 1)`: its projection on its first singular vector."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    shown = flat @ directions[0]
    sign = 1.0 if shown.sum() >= 0 else -1.0
    return (sign * shown).reshape(*kernel.shape[:-1], 1)
