"""Each clip's own channel of a layer, without computing the others."""

from collections.abc import Callable

import keras
from keras import ops

from c3dvis.maximize.crop import Inner, Unpadded
from c3dvis.models import input_convolution
from c3dvis.models.layers import WithoutActivation

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

# (values of the tensors that are computed as a whole, channels `(N,)`) to `(N, ..., 1)`.
Reader = Callable


def reader(tensor, whole: list) -> Reader | None:
    """What computes one channel a clip of a tensor; None where it costs as much as all channels.

    From the tensor back to a convolution, each channel must depend on itself alone: on the way may
    be activation functions, pools, batch normalization and sums with a shortcut. Of the
    convolution, the kernels of the wanted channels are run over every clip, and each clip's own is
    kept; so what it costs grows with the clips made at once, and not with the layer's channels.

    Args:
        tensor: Of a functional model.
        whole: Tensors that have to be computed; those that this needs are added.
    """
    layer, index, _ = tensor._keras_history
    read = layer._inbound_nodes[index].input_tensors
    kind = _kind(layer)
    if _is_convolution(kind):
        return _of_convolution(layer, _place(read[0], whole))
    if isinstance(kind, keras.layers.Add):
        chains = [reader(one, whole) if _is_chain(one) else None for one in read]
        if not any(chains):
            return None
        each: list[Reader] = [
            _of_all(_place(one, whole)) if chain is None else chain
            for chain, one in zip(chains, read, strict=True)
        ]
        return lambda values, channels: sum(one(values, channels) for one in each)
    inner = reader(read[0], whole) if len(read) == 1 and _by_channel(kind) else None
    return None if inner is None else _behind(layer, inner)


def _behind(layer, inner: Reader) -> Reader:
    """What a layer that keeps channels apart makes of one channel a clip."""
    kind = _kind(layer)
    if isinstance(kind, keras.layers.BatchNormalization):
        return lambda values, channels: _normalized(kind, inner(values, channels), channels)
    return lambda values, channels: layer(inner(values, channels))


def all_channels(tensor, whole: list) -> Reader:
    """What gives all channels of a tensor, which is added to those to be computed."""
    place = _place(tensor, whole)
    return lambda values, channels: values[place]


def _kind(layer):
    """The network's own layer."""
    while isinstance(layer, (Unpadded, Inner)):
        layer = layer.layer
    return layer


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


def _is_chain(tensor) -> bool:
    """Whether a convolution made it, perhaps with batch normalization behind."""
    layer, index, _ = tensor._keras_history
    kind = _kind(layer)
    if isinstance(kind, keras.layers.BatchNormalization) and _by_channel(kind):
        return _is_chain(layer._inbound_nodes[index].input_tensors[0])
    return _is_convolution(kind)


def _place(tensor, whole: list) -> int:
    """Index of a tensor among those to be computed; it is added if it is new."""
    for place, known in enumerate(whole):
        if known is tensor:
            return place
    whole.append(tensor)
    return len(whole) - 1


def _of_all(place: int) -> Reader:
    return lambda values, channels: _chosen(values[place], channels)


def _chosen(value, channels):
    """One channel a clip of `(N, ..., C)`."""
    chosen = ops.one_hot(channels, value.shape[-1], dtype=value.dtype)
    return ops.sum(value * _column(chosen, value), axis=-1, keepdims=True)


def _column(rows, value):
    """`(N,)` or `(N, C)` with axes of one, to go with `(N, ..., C)`."""
    ones = [1] * (len(value.shape) - 2)
    return ops.reshape(rows, (rows.shape[0], *ones, -1))


def _of_convolution(layer, place: int) -> Reader:
    kind = _kind(layer)
    convolution = kind.layer if isinstance(kind, WithoutActivation) else kind
    padding = "valid" if isinstance(layer, Unpadded) else convolution.padding

    def read(values, channels):
        x, dtype = values[place], convolution.compute_dtype
        count = x.shape[0]
        if count >= convolution.filters:
            return _chosen(layer(x), channels)
        kernel = ops.cast(ops.take(convolution.kernel, channels, axis=-1), dtype)
        strides, dilations = convolution.strides, convolution.dilation_rate
        kernel = ops.stop_gradient(kernel)
        x = input_convolution.conv(ops.cast(x, dtype), kernel, strides, padding, dilations)
        if count > 1:
            own = _column(ops.eye(count, dtype="bool"), x)
            x = ops.sum(ops.where(own, x, ops.zeros_like(x)), axis=-1, keepdims=True)
        if convolution.use_bias:
            bias = ops.cast(ops.take(convolution.bias, channels), dtype)
            x = x + _column(bias, x)
        return x if kind is not convolution else convolution.activation(x)

    return read


def _normalized(layer: keras.layers.BatchNormalization, x, channels):
    """Batch normalization in inference, of one channel a clip."""
    mean, variance, gamma, beta = (
        None if each is None else _column(ops.cast(ops.take(each, channels), "float32"), x)
        for each in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
    )
    scale = ops.rsqrt(variance + layer.epsilon)
    made = (ops.cast(x, "float32") - mean) * (scale if gamma is None else scale * gamma)
    return ops.cast(made if beta is None else made + beta, x.dtype)
