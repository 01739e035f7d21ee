"""Convolutions of clips that are faster than the backend's, with their gradient for the input.

A convolution with strides is one of stride 1 over a coarser grid: the positions of a cell, as many
as a stride has, are channels there, and the kernel is filled up with zeros to whole cells. So the
gradient is a convolution of stride 1 too, and its channels are put back in their positions. On
CPUs, TensorFlow's own gradient of strided convolutions can be a hundred times slower: of few
channels, and of any number of them for a few clips. For one clip and many channels it is quicker,
by little next to the rest of a network; it is not used there either, so that a clip's gradient is
the same sum in any batch.

That convolution is computed frame by frame in two dimensions, with the kernel's steps in time as
further channels that are moved into place and added: the same sum in less time. What reads few
channels is itself computed frame by frame, with the frames that a kernel reads as channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keras import ops

from c3dvis import autodiff

# Read by a convolution. With more, the backend's values are as quick, and so is its gradient where
# the kernel is one frame long and moves by 1.
_FEW_CHANNELS = 16


def conv(x, kernel, strides: tuple[int, ...], padding: str, dilations: tuple[int, ...]):
    """`keras.ops.conv` of clips `(N, T, H, W, C)`; the gradient is for the clips alone.

    Where there is no quicker one, as with dilations, it is the backend's own.

    Args:
        x: Clips, or what is computed of them.
        kernel: `(t, h, w, C, channels)`.
        strides: In time, height and width.
        padding: "same" or "valid", as in Keras.
        dilations: In time, height and width.
    """
    axes = _axes(x.shape, kernel.shape, strides, padding)
    if axes is None or {*dilations} != {1}:
        return ops.conv(x, kernel, strides, padding, "channels_last", dilations)

    @ops.custom_gradient
    def run(x):
        if x.shape[-1] <= _FEW_CHANNELS:
            output = _by_frames(_cells(x, axes), _kernel(kernel, axes))
        else:
            output = ops.conv(x, kernel, strides, padding, "channels_last")

        def gradient(*args, upstream=None):
            return _gradient(args[0] if upstream is None else upstream, kernel, axes)

        return output, gradient

    return run(x)


@dataclass(frozen=True)
class _Axis:
    """How a kernel moves along one axis of a clip, and the grid of cells, a stride long, there.

    Attributes:
        length: Length of the clip.
        kernel: Length of the kernel.
        stride: Stride in positions.
        before: Positions of padding before the clip.
        outputs: Places of the kernel.
    """

    length: int
    kernel: int
    stride: int
    before: int
    outputs: int

    @property
    def steps(self) -> int:
        """Cells of the kernel."""
        return -(-self.kernel // self.stride)

    @property
    def depth(self) -> int:
        """Positions of a cell that the kernel reads, its first ones."""
        return min(self.kernel, self.stride)

    @property
    def cells(self) -> tuple[int, int]:
        """The first cell of the padded clip that holds some of the clip, the end of those read."""
        end = -(-(self.before + self.length) // self.stride)
        return self.before // self.stride, min(end, self.outputs + self.steps - 1)

    @property
    def around(self) -> tuple[int, int]:
        """Zeros around the outputs from which a kernel of stride 1 reaches those cells."""
        first, end = self.cells
        return self.steps - 1 - first, end - self.outputs


def _axes(shape, kernel, strides: tuple[int, ...], padding: str) -> list[_Axis] | None:
    """Those of a convolution whose gradient is quicker computed another way; None of any other."""
    many = shape[-1] > _FEW_CHANNELS
    if None in shape or (set(strides) == {1} and many and (kernel[0] == 1 or autodiff.gpu_count())):
        return None
    axes = []
    for length, size, stride in zip(shape[1:4], kernel[:3], strides, strict=True):
        outputs = -(-length // stride) if padding == "same" else (length - size) // stride + 1
        missing = (outputs - 1) * stride + size - length if padding == "same" else 0
        # Of a kernel shorter than its stride, TensorFlow takes some away before the clip.
        if outputs < 1 or missing < -1:
            return None
        axes.append(_Axis(length, size, stride, max(missing, 0) // 2, outputs))
    return axes


def _cells(x, axes: Sequence[_Axis]):
    """Clips `(N, T, H, W, C)` to the cells that are read, `(N, t, h, w, values of a cell)`."""
    counts = [axis.outputs + axis.steps - 1 for axis in axes]
    ends = [count * axis.stride for count, axis in zip(counts, axes, strict=True)]
    pads = [
        (a.before, max(end - a.before - a.length, 0)) for a, end in zip(axes, ends, strict=True)
    ]
    x = ops.pad(x, [(0, 0), *pads, (0, 0)])[(slice(None), *map(slice, ends))]
    (t, h, w), (a, b, c) = counts, [axis.stride for axis in axes]
    x = ops.reshape(x, (x.shape[0], t, a, h, b, w, c, -1))
    a, b, c = (axis.depth for axis in axes)
    x = x[:, :, :a, :, :b, :, :c]
    return ops.reshape(ops.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7)), (x.shape[0], t, h, w, -1))


def _kernel(kernel, axes: Sequence[_Axis]):
    """`(t, h, w, C, channels)` to steps of cells `(t, h, w, values of a cell, channels)`."""
    missing = [(0, axis.steps * axis.depth - axis.kernel) for axis in axes]
    kernel = ops.pad(kernel, [*missing, (0, 0), (0, 0)])
    (t, h, w), (a, b, c) = zip(*((axis.steps, axis.depth) for axis in axes), strict=True)
    kernel = ops.reshape(kernel, (t, a, h, b, w, c, *kernel.shape[3:]))
    kernel = ops.transpose(kernel, (0, 2, 4, 1, 3, 5, 6, 7))
    return ops.reshape(kernel, (t, h, w, -1, kernel.shape[-1]))


def _by_frames(x, kernel):
    """The convolution of stride 1 without padding, as one in two dimensions."""
    count, frames = x.shape[0], x.shape[1] - kernel.shape[0] + 1
    steps = range(kernel.shape[0])
    read = ops.concatenate([x[:, step : step + frames] for step in steps], axis=-1)
    read = ops.reshape(read, (count * frames, *read.shape[2:]))
    kernel = ops.transpose(kernel, (1, 2, 0, 3, 4))
    kernel = ops.reshape(kernel, (*kernel.shape[:2], -1, kernel.shape[-1]))
    output = ops.conv(read, kernel, 1, "valid", "channels_last")
    return ops.reshape(output, (count, frames, *output.shape[1:]))


def _gradient(arriving, kernel, axes: Sequence[_Axis]):
    """The gradient for clips, from that for their feature maps."""
    count, frames = arriving.shape[:2]
    kernel = _kernel(kernel, axes)
    steps, height, width, values, outputs = kernel.shape
    planes = ops.transpose(ops.flip(kernel, axis=(1, 2)), (1, 2, 4, 0, 3))
    planes = ops.reshape(planes, (height, width, outputs, steps * values))
    flat = ops.reshape(arriving, (count * frames, *arriving.shape[2:]))
    same = all(axis.around == ((axis.steps - 1) // 2, axis.steps // 2) for axis in axes[1:])
    if not same:  # padding by "same" where that does it, as it is quicker
        flat = ops.pad(flat, [(0, 0), *(axis.around for axis in axes[1:]), (0, 0)])
    flat = ops.conv(flat, planes, 1, "same" if same else "valid", "channels_last")
    parts = ops.reshape(flat, (count, frames, *flat.shape[1:3], steps * values))
    first, end = axes[0].cells
    moved = (
        _moved(parts[..., step * values : (step + 1) * values], step - first, end - first)
        for step in range(steps)
    )
    return _positions(sum(moved), axes)


def _moved(part, by: int, frames: int):
    """`(N, t, ...)` moved by some frames into clips of `frames`, with zeros around it."""
    part = part[:, max(-by, 0) : max(frames - by, 0)]
    before = min(max(by, 0), frames)
    after = frames - before - part.shape[1]
    return ops.pad(part, [(0, 0), (before, after), (0, 0), (0, 0), (0, 0)])


def _positions(cells, axes: Sequence[_Axis]):
    """Cells `(N, t, h, w, values of a cell)` to the clips `(N, T, H, W, C)` that they hold."""
    (t, h, w), (a, b, c) = cells.shape[1:4], [axis.stride for axis in axes]
    x = ops.reshape(cells, (cells.shape[0], t, h, w, *(axis.depth for axis in axes), -1))
    unread = [(0, axis.stride - axis.depth) for axis in axes]
    x = ops.pad(x, [*[(0, 0)] * 4, *unread, (0, 0)]) if any(n for _, n in unread) else x
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7))
    x = ops.reshape(x, (cells.shape[0], t * a, h * b, w * c, -1))
    skips = [axis.before - axis.cells[0] * axis.stride for axis in axes]
    ends = [skip + axis.length for skip, axis in zip(skips, axes, strict=True)]
    x = x[(slice(None), *map(slice, skips, ends))]
    # Behind the last window may be more.
    unread = [(0, axis.length - n) for axis, n in zip(axes, x.shape[1:4], strict=True)]
    return ops.pad(x, [(0, 0), *unread, (0, 0)]) if any(n for _, n in unread) else x
