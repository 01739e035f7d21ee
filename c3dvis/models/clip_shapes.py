"""The shape of the clips that a network takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import keras

from c3dvis import graph
from c3dvis.clips.sources import MAXIMUM_BYTES
from c3dvis.models import layers

_AXES = ("frames", "height", "width")


def clip_shape(
    network: keras.Model,
    *,
    frames: int | None = None,
    size: Sequence[int] | None = None,
    default: Sequence[int] | None = None,
) -> tuple[int, int, int, int]:
    """Shape `(T, H, W, C)` of a network's clips; axes that it leaves open are filled in.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)`.
        frames: Frames; None means the network's, or the default.
        size: `(height, width)`; None likewise.
        default: `(T, H, W)` for axes that nothing else sets; None raises an error.

    Raises:
        ValueError: A network whose input isn't one clip, a size that it doesn't take, or clips too
            large for memory.

    Example:
        >>> from c3dvis import models
        >>> clip_shape(models.build("c3d-motion"))
        (16, 64, 64, 3)
    """
    layers.check(network)
    if size is not None and (not isinstance(size, Sequence) or len(size) != 2):
        raise ValueError(f"Expected a size (height, width), such as (64, 64). Received: {size!r}.")
    own = graph.clip_input(network).shape[1:]
    wanted = (frames, *(size or (None, None)))
    defaults = (None, None, None) if default is None else default
    shape = []
    for name, has, wants, otherwise in zip(_AXES, own, wanted, defaults, strict=False):
        if wants is not None and (not isinstance(wants, Integral) or wants < 1):
            raise ValueError(f"Expected {name} as a whole number above 0. Received: {wants!r}.")
        if has is not None and wants is not None and has != wants:
            raise ValueError(
                f"Expected {name} {has}, as the network is built for: leave "
                f"{'frames' if name == 'frames' else 'size'} out, or build it for another. "
                f"Received: {wants}."
            )
        length = has or wants or otherwise
        if length is None:
            raise ValueError(
                f"Expected a number for {name}, as this network accepts any. Received: none."
            )
        shape.append(int(length))
    if own[3] is None:
        raise ValueError("Expected a network with a fixed number of channels. Received: any.")
    shape.append(int(own[3]))
    check_memory(shape)
    return shape[0], shape[1], shape[2], shape[3]


def check_memory(shape: Sequence[int]) -> None:
    """Refuses a shape `(T, H, W, C)` of more bytes than a clip may have."""
    size = 4 * math.prod(shape)
    if size > MAXIMUM_BYTES:
        frames, height, width, channels = shape
        raise ValueError(
            f"Expected clips of at most {MAXIMUM_BYTES / 2**30:.3g} GiB. Received: {frames} "
            f"frames of {height} x {width} with {channels} channels, {size / 2**30:.3g} GiB."
        )
