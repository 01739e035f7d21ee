"""Clips of any size and length made into what a network takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips
from c3dvis.clips import values


def preprocess_input(video: ArrayLike, network, *, short: str | None = None) -> NDArray[np.float32]:
    """Converts stored frames to an input batch of a network.

    The networks here take RGB in [0, 1] and contain what `preprocess_input` of `keras.applications`
    does with values. This function prepares a clip for them: integers from 0 to 255 are divided by
    255, grey and RGBA become RGB if the network takes RGB, frames are sampled evenly over the clip,
    and the centre of the picture is cropped and scaled. For consecutive frames, as in training,
    select them first (`clips.read(..., step=1)`).

    Args:
        video: One clip `(T, H, W, C)` or several `(N, T, H, W, C)`, integers from 0 to 255 or
            floats in [0, 1].
        network: A `keras.Model` with one input; its `input_shape` says what it takes. Where an
            axis is None there, the clip's own length stays.
        short: What to do with fewer frames than it takes, as in `clips.sample`: None refuses,
            "loop" starts again, "hold" repeats the last.

    Returns:
        float32 array `(N, T, H, W, C)` in [0, 1], for `network.predict`.

    Raises:
        ValueError: If the values, axes or channels do not fit, or the network takes optical flow.

    Example:
        >>> import numpy as np
        >>> from c3dvis import models
        >>> network = models.C3D(width=0.02, input_shape=(16, 32, 32, 3), classes=2)
        >>> models.preprocess_input(np.zeros((40, 48, 64, 3), np.uint8), network).shape
        (1, 16, 32, 32, 3)
    """
    frames, height, width, channels = _taken(network)
    try:
        array = np.asarray(video)
    except ValueError:
        raise ValueError(
            "Expected one clip (T, H, W, C), or several of one shape. Received: several shapes; "
            "pass one clip after the other."
        ) from None
    videos = array if array.ndim == 5 else array[None]
    if not len(videos):
        raise ValueError(f"Expected at least one clip. Received: shape {array.shape}.")
    return np.stack([_fitted(clip, frames, (height, width), channels, short) for clip in videos])


def _taken(network) -> tuple[int | None, int | None, int | None, int | None]:
    shape = getattr(network, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 5:
        raise ValueError(
            "Expected a network that takes clips (N, frames, height, width, channels). "
            f"Received: one with input_shape={shape}."
        )
    if any(type(layer).__name__ == "FlowInput" for layer in network.layers):
        raise ValueError(
            "Expected a network that takes pictures. Received: one that takes optical flow in "
            "pixels per frame; pass flow to it directly."
        )
    return shape[1:]


def _fitted(
    clip: NDArray,
    frames: int | None,
    size: tuple[int | None, int | None],
    channels: int | None,
    short: str | None,
) -> NDArray[np.float32]:
    clip = values.stored(clip)
    if frames is not None:
        clip = clips.sample(clip, frames, short=short)
    if channels == 3 and clip.shape[-1] in (1, 4):
        clip = clips.to_rgb(clip)
    height, width = size[0] or clip.shape[1], size[1] or clip.shape[2]
    if (height, width) != clip.shape[1:3]:
        clip = clips.resize(clip, (height, width))
    return clips.check(clip, (frames, height, width, channels))
