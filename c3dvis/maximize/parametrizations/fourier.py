"""Clips as sums of waves, so that a step moves whole patterns and not pixels one by one."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from c3dvis.checks import positive
from c3dvis.maximize.parametrizations._parametrization import Parametrization

# Cosine of how far a wave may drift off a direction: 45 degrees.
_WITHIN = np.cos(np.pi / 4) - 1e-9


@keras.saving.register_keras_serializable(package="c3dvis")
class Fourier(Parametrization):
    """Coefficients of a 3-D Fourier transform, scaled as the spectrum of natural films.

    The amplitude of a coefficient is `1 / sqrt(f_space ** 2a + f_time ** 2b)`, frequencies counted
    in waves over the longest of frames, height and width. With both exponents 1 that is 1/f over
    the length of the 3-D frequency, near what is measured in natural films
    (Dong and Atick 1995, https://doi.org/10.1088/0954-898X_6_3_003). The defaults are a little
    smoother, which leaves less fine noise where a network does not look.

    Args:
        spatial_exponent: a; larger makes clips smoother in space.
        temporal_exponent: b; larger makes clips slower.
        deviation: Initial standard deviation of the weights. With much less than the default, many
            units of trained networks are inactive for the whole clip.
        directions: One for each clip, in degrees: 0 is right, 90 up. Besides its mean colour, it
            then has only waves that drift within 45 degrees of this direction; bounding it to [0,
            1] adds few others. From one generator, clips of opposite directions start as one clip
            played forward and backward. None means all waves.
        **kwargs: Arguments of `Parametrization`: colours, name.

    Example:
        >>> layer = Fourier(spatial_exponent=1.5, colours="grey")
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)
    """

    def __init__(
        self,
        *,
        spatial_exponent: float = 1.25,
        temporal_exponent: float = 1.25,
        deviation: float = 0.3,
        directions: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.spatial_exponent = positive(spatial_exponent, "spatial_exponent")
        self.temporal_exponent = positive(temporal_exponent, "temporal_exponent")
        self.deviation = positive(deviation, "deviation")
        self.directions = None if directions is None else tuple(map(float, directions))
        # Each clip has a direction of its own, so none can be made in the place of another.
        self.batchwise = self.directions is not None

    def get_config(self):
        return {
            **super().get_config(),
            "spatial_exponent": self.spatial_exponent,
            "temporal_exponent": self.temporal_exponent,
            "deviation": self.deviation,
            "directions": self.directions,
        }

    def setup(self):
        frames, height, width, channels = self.signal_shape
        # Width leads, as the inverse over time and height runs over the last two axes.
        self.spectrum_shape = (channels, width // 2 + 1, frames, height)
        amplitude = natural_amplitude(
            frames, height, width, self.spatial_exponent, self.temporal_exponent
        )
        # Normal weights of deviation 1 then give a signal of deviation 1, whatever the size: real
        # and imaginary parts each bring their own power.
        power = 2 * np.sum(mirrored(width)[:, None, None] * amplitude**2)
        self.amplitude = (amplitude * frames * height * width / np.sqrt(power)).astype(np.float32)
        self.share = 1.0
        if self.directions is not None:
            kept = drifting(frames, height, width, 0.0) * self.amplitude
            self.share = float(np.sum(kept**2) / np.sum(self.amplitude**2))
            shape = (self.clips_shape[0], *kept.shape)
            self.kept = self.add_weight(
                shape=shape, initializer="zeros", trainable=False, name="kept"
            )
            self.turn(self.directions)

    def turn(self, directions: Sequence[float]) -> None:
        """Sets new directions, one for each clip."""
        if self.directions is None:
            raise ValueError("Expected a Fourier with directions. Received: one without.")
        if len(directions) != self.clips_shape[0]:
            raise ValueError(
                f"Expected a direction for each of {self.clips_shape[0]} clips. "
                f"Received: {len(directions)}."
            )
        frames, height, width, _ = self.signal_shape
        if min(frames, height, width) < 3:
            raise ValueError(
                "Expected clips of 3 frames, rows and columns or more, for waves that drift. "
                f"Received: {frames} frames of {height} x {width}."
            )
        self.directions = tuple(map(float, directions))
        self.kept.assign(np.stack([drifting(frames, height, width, one) for one in directions]))

    def start(self, rng):
        # As much contrast as with all waves.
        deviation = self.deviation / np.sqrt(self.share)
        return [deviation * rng.standard_normal(self.spectrum_shape) for _ in range(2)]

    def restart(self, rngs):
        starts = [self.start(rng) for rng in rngs]
        if self.directions is not None:
            turned = [direction % 360 >= 180 for direction in self.directions]
            starts = [_backward(*s) if t else s for s, t in zip(starts, turned, strict=True)]
        self._put(starts)

    def signal(self, latents):
        real, imaginary = (ops.multiply(latent, self.amplitude) for latent in latents)
        if self.directions is not None:
            kept = ops.expand_dims(self.kept, 1)
            real, imaginary = real * kept, imaginary * kept
        return inverse(real, imaginary, self.signal_shape[2])

    def latents_of(self, signal):
        waves = np.fft.fft2(np.fft.rfft(signal, axis=2), axes=(0, 1))
        waves = np.transpose(waves, (3, 2, 0, 1)) / self.amplitude
        return [waves.real, waves.imag]


def natural_amplitude(
    frames: int, height: int, width: int, spatial_exponent: float, temporal_exponent: float
) -> np.ndarray:
    """`1 / sqrt(f_space ** 2a + f_time ** 2b)` of the real transform: `(W // 2 + 1, T, H)`."""
    longest = max(frames, height, width)
    space = np.hypot(np.fft.rfftfreq(width)[:, None], np.fft.fftfreq(height)[None])
    time = np.abs(np.fft.fftfreq(frames)) * longest
    # The longest wave that fits stands in for the mean, whose frequency is 0.
    space = np.maximum(space, 1 / max(height, width))[:, None, :] * longest
    return 1 / np.hypot(space**spatial_exponent, time[None, :, None] ** temporal_exponent)


def drifting(frames: int, height: int, width: int, direction: float) -> np.ndarray:
    """1 for the mean and for waves that drift about a direction, else 0: `(W // 2 + 1, T, H)`.

    `exp(2 pi i (f x + g y + h t))` drifts along `-h (f, g)`. The highest frequencies of even
    lengths are left out: a wave of two frames or pixels drifts either way.
    """
    f, h, g = np.meshgrid(
        np.fft.rfftfreq(width), np.fft.fftfreq(frames), np.fft.fftfreq(height), indexing="ij"
    )
    angle = np.radians(direction)
    # Rows are counted downwards.
    along = -np.sign(h) * (f * np.cos(angle) - g * np.sin(angle))
    kept = (along > 0) & (along >= np.hypot(f, g) * _WITHIN)
    kept &= (np.abs(f) < 0.5) & (np.abs(g) < 0.5) & (np.abs(h) < 0.5)
    kept[0, 0, 0] = True
    return kept.astype(np.float32)


def _backward(real: np.ndarray, imaginary: np.ndarray) -> list[np.ndarray]:
    """Coefficients `(K, W // 2 + 1, T, H)` of a clip whose frames come from last to first."""
    frames = real.shape[2]
    h = np.fft.fftfreq(frames)
    waves = (real + 1j * imaginary)[:, :, -np.arange(frames)]
    waves = waves * np.exp(2j * np.pi * h)[:, None]
    return [waves.real, waves.imag]


def mirrored(width: int) -> np.ndarray:
    """How many coefficients of the whole transform each column `(W // 2 + 1,)` stands for.

    Off the two columns that are their own mirror images, those stand for their images too.
    """
    count = np.full(width // 2 + 1, 2.0)
    count[0] = 1
    if width % 2 == 0:
        count[-1] = 1
    return count


def inverse(real, imaginary, width: int):
    """Coefficients `(N, K, W // 2 + 1, T, H)` to their signals `(N, T, H, W, K)`."""
    real, imaginary = ops.ifft2((real, imaginary))
    wave = tuple(ops.transpose(part, (0, 1, 3, 4, 2)) for part in (real, imaginary))
    return ops.transpose(ops.irfft(wave, fft_length=width), (0, 2, 3, 4, 1))
