"""The convolution that reads the clip, with a gradient that is quicker than the backend's.

The gradient for a clip is a convolution with as few output channels as the clip has, for which the
backends' kernels are poor. Computed frame by frame in two dimensions, with the kernel's steps in
time as further channels that are moved into place and added, it is the same sum in less time.
"""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops

from c3dvis.models import layers

# Of the clip; with more, the backend's own gradient is as quick.
_MOST_CHANNELS = 4


@contextlib.contextmanager
def restated(network: keras.Model) -> Iterator[None]:
    """Inside the block, convolutions that read a clip's few channels have the quicker gradient."""
    with contextlib.ExitStack() as changes:
        for layer in _readers(network):
            changes.enter_context(layers.exchanged(layer, "convolution_op", _operation(layer)))
        yield


def conv(x, kernel, strides, padding: str, dilations):
    """`keras.ops.conv` of clips `(N, T, H, W, C)`; the gradient is for the clips alone.

    Where strides or dilations are not 1, or "same" padding is uneven, it is the backend's own.

    Args:
        x: Clips, or what is computed of them.
        kernel: `(t, h, w, C, channels)`.
        strides: As in Keras, as are padding and dilations.
        padding: "same" or "valid".
        dilations: As in Keras.
    """
    if not _fits(x.shape, kernel.shape, strides, padding, dilations):
        return ops.conv(x, kernel, strides, padding, "channels_last", dilations)

    @ops.custom_gradient
    def run(x):
        made = ops.conv(x, kernel, strides, padding, "channels_last", dilations)

        def gradient(*args, upstream=None):
            arriving = args[0] if upstream is None else upstream
            return _gradient(arriving, kernel, x.shape, padding)

        return made, gradient

    return run(x)


def _readers(network: keras.Model) -> list[keras.layers.Conv3D]:
    """Convolutions of as few channels as a clip has: that of the clip, and any like it."""
    found = []
    for layer in layers.flat(network):
        inner = getattr(layer, "layer", layer)
        if type(inner) is keras.layers.Conv3D and inner.groups == 1 and inner.built:
            if inner.kernel.shape[3] <= _MOST_CHANNELS and inner.quantization_mode is None:
                found.append(inner)
    return found


def _operation(layer: keras.layers.Conv3D):
    def operation(inputs, kernel):
        kernel = ops.stop_gradient(kernel)  # a tensor: a function's own gradient reads no variables
        return conv(inputs, kernel, layer.strides, layer.padding, layer.dilation_rate)

    return operation


def _fits(shape, kernel, strides, padding: str, dilations) -> bool:
    known = None not in shape and shape[-1] <= _MOST_CHANNELS
    plain = {*_triple(strides), *_triple(dilations)} == {1}
    odd = padding == "valid" or all(k % 2 for k in kernel[:3])
    return known and plain and odd and kernel[0] <= shape[1]


def _gradient(arriving, kernel, shape, padding: str):
    """The gradient for clips of a shape, from that for what was made of them."""
    count, frames = shape[:2]
    steps, height, width, channels, outputs = kernel.shape
    planes = ops.transpose(ops.flip(kernel, axis=(1, 2)), (1, 2, 4, 0, 3))
    planes = ops.reshape(planes, (height, width, outputs, steps * channels))
    made = arriving.shape[1]
    flat = ops.reshape(arriving, (count * made, *arriving.shape[2:]))
    if padding == "valid":
        flat = ops.pad(flat, [(0, 0), (height - 1,) * 2, (width - 1,) * 2, (0, 0)])
    flat = ops.conv(flat, planes, 1, padding, "channels_last")
    parts = ops.reshape(flat, (count, made, *shape[2:4], steps * channels))
    first = 0 if padding == "valid" else -(steps // 2)
    moved = (
        _moved(parts[..., step * channels : (step + 1) * channels], first + step, frames)
        for step in range(steps)
    )
    return sum(moved)


def _moved(part, by: int, frames: int):
    """`(N, t, ...)` moved by some frames into clips of `frames`, with zeros around it."""
    part = part[:, max(-by, 0) : frames - by]
    before = max(by, 0)
    after = frames - before - part.shape[1]
    return ops.pad(part, [(0, 0), (before, after), (0, 0), (0, 0), (0, 0)])


def _triple(value) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)
