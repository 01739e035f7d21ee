"""The response of a 3-D kernel to a clip, without any network."""

import functools
from collections.abc import Callable
from numbers import Integral

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from c3dvis import autodiff, clips

# Kernels; of more, a convolution in three dimensions is as quick, and needs less memory.
_FEW = 4


def convolve(clip: ArrayLike, kernel: ArrayLike) -> NDArray[np.float32]:
    """The valid cross-correlation of a clip with a kernel, as a convolution layer computes it.

    At each position where the kernel fits into the clip, the sum of products of the two.

    Args:
        clip: `(T, H, W, C)` in [0, 1].
        kernel: `(t, h, w, C)`, or several kernels `(t, h, w, C, K)`; any real values.

    Returns:
        float32 `(T - t + 1, H - h + 1, W - w + 1)`, with K at the end for several kernels.

    Raises:
        ValueError: A kernel of other channels than the clip's, larger than it, or not finite.

    Example:
        >>> clip = np.zeros((4, 6, 6, 3), np.float32)
        >>> clip[1, 2, 3, 0] = 1
        >>> response = convolve(clip, np.ones((2, 3, 3, 3)))
        >>> response.shape, float(response.max())
        ((3, 4, 4), 1.0)
    """
    clip = clips.check(clip)
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim not in (4, 5) or kernel.shape[3] != clip.shape[3] or not kernel.size:
        raise ValueError(
            f"Expected a kernel (t, h, w, {clip.shape[3]}), or several with their number at the "
            f"end, for a clip of shape {clip.shape}. Received: shape {kernel.shape}."
        )
    if any(k > n for k, n in zip(kernel.shape[:3], clip.shape[:3], strict=True)):
        raise ValueError(
            f"Expected a kernel that fits into {clip.shape[:3]} frames, rows and columns. "
            f"Received: {kernel.shape[:3]}."
        )
    if not np.isfinite(kernel).all():
        raise ValueError("Expected a kernel of finite numbers. Received: NaN or infinite ones.")
    several = kernel if kernel.ndim == 5 else kernel[..., None]
    run = _by_planes(len(kernel)) if several.shape[4] <= _FEW else _whole()
    response = np.asarray(ops.convert_to_numpy(run(clip, several)))
    return response if kernel.ndim == 5 else response[..., 0]


@functools.lru_cache(maxsize=1)
def _whole() -> Callable:
    """A compiled function of clip and kernels: their convolution."""

    def run(clip, kernels):
        return ops.conv(clip[None], kernels, padding="valid", data_format="channels_last")[0]

    return autodiff.compiled(run)


@functools.lru_cache(maxsize=8)
def _by_planes(steps: int) -> Callable:
    """The same, frame by frame with the kernels' steps in time as channels, added where they meet.

    The backends' convolutions in three dimensions are poor where there are few kernels.
    """

    def run(clip, kernels):
        _, height, width, channels, count = kernels.shape
        planes = ops.reshape(
            ops.transpose(kernels, (1, 2, 3, 0, 4)), (height, width, channels, steps * count)
        )
        response = ops.conv(clip, planes, padding="valid", data_format="channels_last")
        length = clip.shape[0] - steps + 1
        parts = (
            response[step : step + length, ..., step * count : (step + 1) * count]
            for step in range(steps)
        )
        return sum(parts)

    return autodiff.compiled(run)


def random_kernel(
    size: int = 5, *, channels: int = 3, deviation: float = 0.5, seed: int = 0
) -> NDArray[np.float32]:
    """A cube of normal noise: what a filter looks like before it has learned anything.

    Args:
        size: Frames, rows and columns.
        channels: Channels of the clips.
        deviation: Standard deviation of its values.
        seed: The same seed gives the same kernel.

    Returns:
        float32 `(size, size, size, channels)`.

    Example:
        >>> random_kernel(5).shape
        (5, 5, 5, 3)
    """
    given = (size, channels, seed)
    if not all(isinstance(one, Integral) for one in given) or min(size, channels, seed + 1) < 1:
        raise ValueError(
            "Expected a size and channels of 1 or more and a seed of 0 or more, whole numbers. "
            f"Received: size={size}, channels={channels}, seed={seed}."
        )
    draw = np.random.default_rng(seed)
    return (deviation * draw.standard_normal((size,) * 3 + (channels,))).astype(np.float32)
