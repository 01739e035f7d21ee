"""Transforms of a clip's colours, the same for all its pixels and frames."""

from keras import ops

from c3dvis.checks import are_numbers, whole
from c3dvis.maximize.transforms._resampling import GREY, Transform


class ColourNoise(Transform):
    """Changes contrast and brightness of each channel at random.

    `grey + gain * (x - grey) + offset`, with a gain about 1 and an offset about 0. One draw serves
    the whole clip, so it tints and does not flicker. Values may leave [0, 1] by the offset and half
    the change of gain; they are not clipped, as that would have no gradient.

    Args:
        gain: Largest change of the gain either way, in [0, 1).
        offset: Largest offset either way, in [0, 1).
        channels: Channels of the clips.

    Example:
        >>> noise = ColourNoise(gain=0.2, offset=0.1, channels=1)
        >>> tinted = noise(ops.full((1, 1, 1, 1, 1), 0.75), ops.ones((1, 2)))
        >>> float(ops.squeeze(tinted))  # 0.5 + 1.2 * 0.25 + 0.1
        0.9
    """

    def __init__(self, gain: float = 0.2, offset: float = 0.1, *, channels: int = 3, **kwargs):
        super().__init__(**kwargs)
        if not (are_numbers(gain, offset) and 0 <= gain < 1 and 0 <= offset < 1):
            raise ValueError(
                f"Expected gain and offset from 0 to below 1. Received: {gain!r}, {offset!r}."
            )
        self.gain, self.offset, self.channels = gain, offset, whole(channels, "channels", 1)
        self.uniforms = 2 * self.channels

    def call(self, clips, uniforms):
        if clips.shape[-1] != self.channels:
            raise ValueError(
                f"Expected clips of {self.channels} channels, as ColourNoise was built for. "
                f"Received: {clips.shape[-1]}."
            )
        changes = ops.reshape(2 * uniforms - 1, (-1, 2, 1, 1, 1, self.channels))
        gain, offset = 1 + self.gain * changes[:, 0], self.offset * changes[:, 1]
        return GREY + gain * (clips - GREY) + offset
