"""Each clip's own channel of a layer, without computing the others."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from c3dvis import convolution, rewire
from c3dvis.graph import Step
from c3dvis.maximize.subnetwork.crop import CroppedNetwork
from c3dvis.rewire import WithoutActivation

# They compute a channel of their output from that channel of their input alone.
_BY_CHANNEL = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.SpatialDropout3D,
    keras.layers.MaxPooling3D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.ZeroPadding3D,
    keras.layers.Cropping3D,
)
_ACROSS_CHANNELS = ("softmax", "log_softmax", "sparsemax", "glu")

# (values by key, channels `(N,)`, what to compute in the place of ReLUs) to `(N, ..., 1)`.
ChannelFunction = Callable


def channel_function(crop: CroppedNetwork, key: int, whole: set[int]) -> ChannelFunction | None:
    """A function for one channel per clip of a tensor; None if it costs as much as all channels.

    From the tensor back to a convolution, each channel must depend on itself alone: on the way may
    be activation functions, pools, batch normalization and sums with a shortcut. Of the
    convolution, the kernels of the wanted channels are run over every clip, and each clip's own is
    kept; so the cost grows with the batch size, and not with the layer's channels.

    Args:
        crop: The cropped network.
        key: Key of the tensor.
        whole: Keys of tensors to compute in full; those needed here are added.
    """
    step = crop.layer_graph.makers.get(key)
    if step is None:
        return None
    layer = crop.layer(step)
    if _is_convolution(layer):
        whole.update(step.inputs)
        return _of_convolution(crop, step)
    if isinstance(layer, keras.layers.Add):
        chains = [one for one in step.inputs if _is_chain(crop, one)]
        if not chains:
            return None
        each = [
            channel_function(crop, one, whole) if one in chains else _own_of_all(one, whole)
            for one in step.inputs
        ]
        return _behind(crop, step, each)
    alone = len(step.inputs) == 1 and _by_channel(layer)
    inner = channel_function(crop, step.inputs[0], whole) if alone else None
    return None if inner is None else _behind(crop, step, [inner])


def _behind(crop: CroppedNetwork, step: Step, each: Sequence) -> ChannelFunction:
    """One channel per clip of a layer that computes channels separately."""
    layer = crop.layer(step)

    def read(values, channels, relu):
        own = [one(values, channels, relu) for one in each]
        if isinstance(layer, keras.layers.BatchNormalization):
            return crop.cut_out(step, _normalized(layer, own[0], channels))
        return crop.computed(step, dict(zip(step.inputs, own, strict=True)), relu)

    return read


def all_channels(key: int, whole: set[int]) -> ChannelFunction:
    """A function that reads all channels of a tensor, which is added to those to be computed."""
    whole.add(key)
    return lambda values, channels, relu: values[key]


def _is_convolution(layer) -> bool:
    layer = layer.layer if isinstance(layer, WithoutActivation) else layer
    if type(layer) is not keras.layers.Conv3D or layer.quantization_mode is not None:
        return False
    return layer.groups == 1 and layer.activation.__name__ not in _ACROSS_CHANNELS


def _by_channel(layer) -> bool:
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.axis in (-1, 4)
    if type(layer) is keras.layers.Activation:
        return layer.activation.__name__ not in _ACROSS_CHANNELS
    return type(layer) in _BY_CHANNEL


def _is_chain(crop: CroppedNetwork, key: int) -> bool:
    """Whether a convolution made it, perhaps with batch normalization behind."""
    step = crop.layer_graph.makers.get(key)
    if step is None:
        return False
    layer = crop.layer(step)
    if isinstance(layer, keras.layers.BatchNormalization) and _by_channel(layer):
        return _is_chain(crop, step.inputs[0])
    return _is_convolution(layer)


def _own_of_all(key: int, whole: set[int]) -> ChannelFunction:
    """One channel per clip of a tensor that is computed in full."""
    whole.add(key)
    return lambda values, channels, relu: _chosen(values[key], channels)


def _chosen(value, channels):
    """One channel per clip of `(N, ..., C)`."""
    chosen = ops.one_hot(channels, value.shape[-1], dtype=value.dtype)
    return ops.sum(value * _with_axes(chosen, value), axis=-1, keepdims=True)


def _with_axes(rows, value):
    """`(N,)` or `(N, C)` with axes of one, to go with `(N, ..., C)`."""
    ones = [1] * (len(value.shape) - 2)
    return ops.reshape(rows, (rows.shape[0], *ones, -1))


def _of_convolution(crop: CroppedNetwork, step: Step) -> ChannelFunction:
    layer = crop.layer(step)
    without_activation = isinstance(layer, WithoutActivation)
    own = layer.layer if without_activation else layer

    def read(values, channels, relu):
        x, padding = crop.padded(step, values)
        dtype, count = own.compute_dtype, x.shape[0]
        if count >= own.filters:
            return _chosen(rewire.quick_call(layer, x, relu=relu, padding=padding), channels)
        # One clip's kernel is run twice: of one output alone, some processors round otherwise.
        wanted = ops.repeat(channels, 2) if count == 1 else channels
        kernel = ops.cast(ops.take(own.kernel, wanted, axis=-1), dtype)
        kernel, padding = ops.stop_gradient(kernel), padding or own.padding
        x = ops.cast(x, dtype)
        x = convolution.conv(x, kernel, own.strides, padding, own.dilation_rate)
        is_own = _with_axes(ops.eye(count, max(count, 2), dtype="bool"), x)
        x = ops.sum(ops.where(is_own, x, ops.zeros_like(x)), axis=-1, keepdims=True)
        if own.use_bias:
            x = x + _with_axes(ops.cast(ops.take(own.bias, channels), dtype), x)
        if without_activation:
            return x
        is_relu = relu is not None and own.activation is keras.activations.relu
        return relu(x) if is_relu else own.activation(x)

    return read


def _normalized(layer: keras.layers.BatchNormalization, x, channels):
    """Batch normalization in inference, of one channel per clip."""
    mean, variance, gamma, beta = (
        None if each is None else _with_axes(ops.cast(ops.take(each, channels), "float32"), x)
        for each in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
    )
    scale = ops.rsqrt(variance + layer.epsilon)
    normalized = (ops.cast(x, "float32") - mean) * (scale if gamma is None else scale * gamma)
    return ops.cast(normalized if beta is None else normalized + beta, x.dtype)
