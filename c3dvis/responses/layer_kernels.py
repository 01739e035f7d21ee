"""A layer's own 3-D kernels as small clips."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import graph
from c3dvis.graph import Step
from c3dvis.models import layers
from c3dvis.objectives.terms import layer_name
from c3dvis.text import unknown

# What prepares a clip before a network's first convolution, besides layers that say of themselves
# that they compute each position from that position alone (see `receptive_field`).
_PREPARE = (
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.BatchNormalization,
    keras.layers.ZeroPadding3D,
    keras.layers.Identity,
)
# What may stand between a convolution and the layer that shows its filters: it changes how strongly
# a filter responds, not what it responds to. A batch normalization can flip its sign.
_FOLLOW = (
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Dropout,
    keras.layers.SpatialDropout3D,
    keras.layers.Identity,
)


def kernels(network: keras.Model, layer: str) -> NDArray[np.float32]:
    """The kernels of a convolution as clips: grey is 0, and each kernel has its own scale.

    A kernel that reads RGB is shown in colours: those of the clip, also where the network reorders
    or scales its channels first. One that reads other channels has no picture of its own: shown
    is how it weighs the one mixture of these channels that holds most of its energy (the first
    singular vector), in grey, with the sign that makes its sum positive.

    Args:
        network: A Keras model.
        layer: Name of a 3-D convolution (of a 2-D one: kernels of one frame).

    Returns:
        float32 `(filters, t, h, w, 3)` in [0, 1], or `(filters, t, h, w, 1)`.

    Raises:
        ValueError: An unknown layer, or one that is not a convolution.

    Example:
        >>> from c3dvis import models, responses
        >>> responses.kernels(models.build("c3d-motion"), "conv1").shape
        (8, 3, 3, 3, 3)
    """
    layer = layer_name(layer)
    info = next((i for i in layers.describe(network) if i.name == layer), None)
    if info is None or not info.is_convolution:
        names = [i.name for i in layers.describe(network) if i.is_convolution]
        raise unknown("the name of a convolution", layer, names)
    way = _way_to_clip(network, layer)
    return _as_clips(info.layer, None if way is None else _colours(network, way[1:]))


def _as_clips(layer, colours: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The kernels of a convolution, as `kernels` gives them; `colours` as `_colours` does."""
    cell = getattr(layer, "cell", layer)
    weights = _kernel(getattr(cell, "layer", cell))
    if weights.ndim == 4:
        weights = weights[None]  # a 2-D kernel is one of a single frame
    if colours is not None:
        weights = np.einsum("thwif,ci->thwcf", weights, colours)
    shown = np.moveaxis(weights, -1, 0)  # (filters, t, h, w, channels)
    if colours is None and shown.shape[-1] != 3:
        shown = np.stack([_strongest_mixture(kernel) for kernel in shown])
    most = np.abs(shown).max(axis=(1, 2, 3, 4), keepdims=True)
    return (0.5 + 0.5 * shown / np.where(most > 0, most, 1)).astype(np.float32)


def _kernel(layer) -> NDArray[np.float32]:
    """The weights by which a layer's filters read its input, `(..., channels, filters)`."""
    if hasattr(layer, "pointwise_kernel"):
        mixed = _each_channel(layer.depthwise_kernel)
        return mixed @ _numbers(layer.pointwise_kernel).reshape(mixed.shape[-1], -1)
    if hasattr(layer, "depth_multiplier"):
        return _each_channel(layer.kernel)
    kernel = _numbers(layer.kernel)
    # A transposed convolution keeps them the other way round.
    return kernel.swapaxes(-1, -2) if "Transpose" in type(layer).__name__ else kernel


def _each_channel(kernel) -> NDArray[np.float32]:
    """A kernel of each channel alone, `(..., channels, k)`, with zeros for all the others."""
    weights = _numbers(kernel)
    channels, count = weights.shape[-2:]
    alone = np.eye(channels, dtype=np.float32)[:, :, None] * weights[..., None, :, :]
    return alone.reshape(*weights.shape[:-2], channels, channels * count)


def _numbers(variable) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def kernels_of_clip(network: keras.Model, layer: str) -> NDArray[np.float32] | None:
    """The kernels by which the channels of a layer read the clip itself.

    The layer is a convolution, or its normalisation or activation, and between it and the clip is
    nothing but preprocessing: its channels respond to what their kernels show.

    Args:
        network: A Keras model that takes clips in grey or RGB.
        layer: Name of a layer, or the Keras layer itself.

    Returns:
        One for each channel, as `kernels` gives them, white or in colour for what raises the
        channel; None of a layer that reads something else.

    Example:
        >>> from c3dvis import models, responses
        >>> network = models.build("c3d-motion")
        >>> responses.kernels_of_clip(network, "conv2") is None
        True
    """
    way = _way_to_clip(network, layer_name(layer))
    if way is None:
        return None
    signs = np.ones(1, np.float32)
    for place, step in enumerate(way):
        inner = (
            step.layer.layer if isinstance(step.layer, keras.layers.TimeDistributed) else step.layer
        )
        if isinstance(inner, (keras.layers.Conv3D, keras.layers.Conv2D)):
            colours = _colours(network, way[place + 1 :])
            if colours is None:
                return None
            return 0.5 + (_as_clips(step.layer, colours) - 0.5) * signs.reshape(-1, 1, 1, 1, 1)
        if not isinstance(step.layer, _FOLLOW):
            return None
        signs = signs * _signs(step.layer)
    return None


def _way_to_clip(network: keras.Model, layer: str) -> list[Step] | None:
    """The steps from a layer back to the clip; None where it is called twice, or ways meet."""
    flat = graph.flattened(network)
    makers = {key: step for step in flat.steps for key in step.outputs}
    steps = [step for step in flat.steps if step.name == layer]
    if len(steps) != 1:
        return None
    while len(steps[-1].inputs) == 1:
        (key,) = steps[-1].inputs
        if key in flat.inputs:
            return steps
        steps.append(makers[key])
    return None


def _signs(layer) -> NDArray[np.float32]:
    """-1 for each channel whose sign a layer flips, else 1."""
    scale = layer.gamma if isinstance(layer, keras.layers.BatchNormalization) else None
    if scale is None:
        return np.ones(1, np.float32)
    return np.where(keras.ops.convert_to_numpy(scale) < 0, -1, 1).astype(np.float32)


def _colours(network: keras.Model, way: list[Step]) -> NDArray[np.float32] | None:
    """How each colour of the clip moves each channel behind its preprocessing, `(C, channels)`.

    Args:
        network: Network that takes the clip.
        way: From the last layer of the preprocessing back to the clip.

    Returns:
        None where there is more than preprocessing, or the clip is neither grey nor in colour.
    """
    count = network.inputs[0].shape[-1]
    if count not in (1, 3):
        return None
    for step in way:
        if not (isinstance(step.layer, _PREPARE) or getattr(step.layer, "positionwise", False)):
            return None
    # Preprocessing is affine: differences to black determine it.
    shown = keras.ops.convert_to_tensor(np.eye(count + 1, count, dtype=np.float32))
    shown = keras.ops.reshape(shown, (count + 1, 1, 1, 1, count))
    for step in reversed(way):
        if not isinstance(step.layer, keras.layers.ZeroPadding3D):
            shown = step.layer(shown)
    values = keras.ops.convert_to_numpy(shown).reshape(count + 1, -1)
    return np.asarray(values[:-1] - values[-1], np.float32)


def _strongest_mixture(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(t, h, w, channels)` to `(t, h, w, 1)`: its projection on its first singular vector."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    shown = flat @ directions[0]
    sign = 1.0 if shown.sum() >= 0 else -1.0
    return (sign * shown).reshape(*kernel.shape[:-1], 1)
