"""How clips are made of weights: Keras layers that own weights and decode them to clips.

A parametrization decides which clips are easy to reach. Pixels move one by one and give
high-frequency noise; Fourier coefficients scaled as in natural films move whole patterns
(Olah et al. 2017, https://distill.pub/2017/feature-visualization).
"""

import keras
import numpy as np
from keras import ops

__all__ = ["Fourier", "Pixels", "build"]

# Square root of the covariance of natural images' RGB values, as published with lucid; divided by
# its largest column norm it maps independent channels to natural colours.
_COLOUR_CORRELATION = np.array(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32
)
_COLOUR_CORRELATION /= np.linalg.norm(_COLOUR_CORRELATION, axis=0).max()


class Parametrization(keras.layers.Layer):
    """Owns the weights of a batch of clips; `decode()` gives the clips.

    A subclass gives `start`, the weights that one clip starts from, and `signal`, weights to
    unbounded clips.

    Args:
        deviation: Standard deviation of the weights at the start. Much less than the default, and
            many units of trained networks are off for the whole clip.
        decorrelated: Whether the three channels are independent directions of natural colour
            rather than red, green and blue. Clips of 1, 2 or 4 and more channels have none.
    """

    def __init__(self, *, deviation: float = 0.3, decorrelated: bool = True, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.deviation = deviation
        self.decorrelated = decorrelated

    def get_config(self):
        own = {"deviation": self.deviation, "decorrelated": self.decorrelated}
        return {**super().get_config(), **own}

    def build(self, clips_shape):
        """Adds weights for clips of shape `(N, T, H, W, C)`."""
        self.clips_shape = tuple(clips_shape)
        shapes = [w.shape for w in self.start(np.random.default_rng(0))]
        self.parts = [
            self.add_weight(shape=(clips_shape[0], *shape), initializer="zeros", name=f"part_{i}")
            for i, shape in enumerate(shapes)
        ]

    def start(self, draw: np.random.Generator) -> list[np.ndarray]:
        """Weights of one clip before the first step."""
        raise NotImplementedError

    def signal(self, parts):
        """Weights to clips `(N, T, H, W, C)` of any real values, 0 for grey."""
        raise NotImplementedError

    def restart(self, draws: list[np.random.Generator]) -> None:
        """Puts each clip at a new start, drawn from its own generator."""
        starts = [self.start(draw) for draw in draws]
        for i, part in enumerate(self.parts):
            part.assign(np.stack([start[i] for start in starts]).astype(np.float32))

    def decode(self):
        """The clips, float32 `(N, T, H, W, C)` in [0, 1]."""
        clips = self.signal([ops.convert_to_tensor(part) for part in self.parts])
        if self.decorrelated and self.clips_shape[-1] == 3:
            clips = ops.matmul(clips, _COLOUR_CORRELATION.T)
        return ops.sigmoid(clips)

    def call(self, inputs=None):
        return self.decode()


class Pixels(Parametrization):
    """One weight a pixel and channel."""

    def start(self, draw):
        return [self.deviation * draw.standard_normal(self.clips_shape[1:])]

    def signal(self, parts):
        return parts[0]


class Fourier(Parametrization):
    """Coefficients of a 3-D Fourier transform, scaled as the spectrum of natural films.

    The amplitude of a coefficient is `1 / sqrt(f_space ** 2a + f_time ** 2b)`. With both exponents
    1 that is 1/f over the length of the 3-D frequency, near what is measured in natural films
    (Dong and Atick 1995, https://doi.org/10.1088/0954-898X_6_3_003). The defaults are a little
    smoother, which leaves less fine noise where a network does not look.

    Args:
        spatial_exponent: a; larger makes clips smoother in space.
        temporal_exponent: b; larger makes clips slower.
    """

    def __init__(
        self, *, spatial_exponent: float = 1.25, temporal_exponent: float = 1.25, **kwargs
    ):
        super().__init__(**kwargs)
        self.spatial_exponent = spatial_exponent
        self.temporal_exponent = temporal_exponent

    def get_config(self):
        own = {"spatial_exponent": self.spatial_exponent}
        return {**super().get_config(), **own, "temporal_exponent": self.temporal_exponent}

    def build(self, clips_shape):
        frames, height, width, channels = clips_shape[1:]
        # Width leads, as the inverse over time and height runs over the last two axes.
        self.spectrum_shape = (channels, width // 2 + 1, frames, height)
        self.amplitude = self._amplitude(frames, height, width)
        super().build(clips_shape)

    def _amplitude(self, frames: int, height: int, width: int) -> np.ndarray:
        space = np.hypot(np.fft.rfftfreq(width)[:, None], np.fft.fftfreq(height)[None])
        time = np.abs(np.fft.fftfreq(frames))
        # The longest wave that fits stands in for the mean, whose frequency is 0.
        space = np.maximum(space, 1 / max(height, width))[:, None, :] ** self.spatial_exponent
        time = time[None, :, None] ** self.temporal_exponent
        amplitude = 1 / np.hypot(space, time)
        # Normal weights of deviation 1 then give a signal of deviation 1, whatever the size:
        # coefficients off the two real columns stand for their mirror images too.
        mirrored = np.full(len(space), 2.0)
        mirrored[0] = 1
        if width % 2 == 0:
            mirrored[-1] = 1
        power = 2 * np.sum(mirrored[:, None, None] * amplitude**2)
        return (amplitude * frames * height * width / np.sqrt(power)).astype(np.float32)

    def start(self, draw):
        return [self.deviation * draw.standard_normal(self.spectrum_shape) for _ in range(2)]

    def signal(self, parts):
        height, width = self.clips_shape[2:4]
        real, imaginary = (part * self.amplitude for part in parts)
        real, imaginary = ops.ifft2((real, imaginary))
        order = (0, 3, 4, 1, 2)  # (N, C, W', T, H) to (N, T, H, C, W')
        wave = tuple(ops.transpose(part, order) for part in (real, imaginary))
        clips = ops.irfft(wave, fft_length=width)
        return ops.transpose(clips, (0, 1, 2, 4, 3))


_BY_NAME = {"pixels": Pixels, "fourier": Fourier}


def build(parametrization) -> Parametrization:
    """A new parametrization from a name, or with the settings of another.

    Raises:
        ValueError: Neither a `Parametrization` nor the name of one.
    """
    if isinstance(parametrization, Parametrization):
        config = parametrization.get_config()
        return type(parametrization).from_config({k: v for k, v in config.items() if k != "dtype"})
    if parametrization not in _BY_NAME:
        raise ValueError(
            f"Expected a Parametrization or one of {', '.join(map(repr, _BY_NAME))}. "
            f"Received: {parametrization!r}."
        )
    return _BY_NAME[parametrization]()
