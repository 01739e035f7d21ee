"""Clips whose spectrum has the magnitude of natural films; only the phases are free."""

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from c3dvis.checks import positive
from c3dvis.maximize.parametrizations import _colours as colour_choices
from c3dvis.maximize.parametrizations._parametrization import Parametrization
from c3dvis.maximize.parametrizations.fourier import inverse, mirrored, natural_amplitude

# Of the weights at the start: the shorter they are, the further a step turns their phases.
_LENGTH = 0.3
# Beside the squares of weights: so small that the magnitude holds to 1e-4.
_TINY = 1e-10


@keras.saving.register_keras_serializable(package="c3dvis")
class MaCo(Parametrization):
    """Phases of a 3-D Fourier transform whose magnitude is held (Fel et al. 2023).

    No pattern can dominate the others by its contrast, so what a unit responds to must show in the
    phases. The published method optimizes images, with the mean magnitude of ImageNet. Here the
    spectrum is over height, width and time, and its magnitude is that of the law in `Fourier`, as
    no set of natural films comes with this package, or that of `magnitude`. The magnitude of the
    signal before the sigmoid is held.

    With `hold_time` the magnitude is held for each frequency in space and time, and the mean, of
    which only the sign would be free, is grey. Without it, the magnitude is held for each frequency
    in space, with power summed over time: a clip may then be as fast or slow as its unit prefers.

    A unit that looks for one frequency gets a hundredth of the power there, and the rest of the
    clip keeps its contrast: of planted waves, none is recovered, most by construction
    (docs/planted.md).

    The weights are complex numbers of which only the directions count, so weight decay changes no
    clip.

    Args:
        magnitude: `(T, H, W // 2 + 1, K)` of `numpy.fft.rfftn` over the first three axes, in any
            unit; K is 1 or the signal's channels. `magnitude_of` measures it. None means the law in
            `Fourier`.
        hold_time: Whether the magnitude is held in time too.
        contrast: Standard deviation of the signal, which is fixed.
        spatial_exponent: As in `Fourier`. Larger leaves less fine noise where a unit does not look,
            which keeps its contrast here.
        temporal_exponent: As in `Fourier`; the start's, unless `hold_time`.
        **kwargs: Arguments of `Parametrization`: colours, name.

    Example:
        >>> layer = MaCo(contrast=1.5)
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)

    Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
    Constrained Optimization", https://arxiv.org/abs/2306.06805
    """

    def __init__(
        self,
        *,
        magnitude: ArrayLike | None = None,
        hold_time: bool = False,
        contrast: float = 2.0,
        spatial_exponent: float = 1.25,
        temporal_exponent: float = 1.25,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.magnitude = None if magnitude is None else _checked(magnitude)
        self.hold_time = bool(hold_time)
        self.contrast = positive(contrast, "contrast")
        self.spatial_exponent = positive(spatial_exponent, "spatial_exponent")
        self.temporal_exponent = positive(temporal_exponent, "temporal_exponent")

    def get_config(self):
        own = {
            "magnitude": None if self.magnitude is None else self.magnitude.tolist(),
            "hold_time": self.hold_time,
            "contrast": self.contrast,
            "spatial_exponent": self.spatial_exponent,
            "temporal_exponent": self.temporal_exponent,
        }
        return {**super().get_config(), **own}

    def setup(self):
        frames, height, width, channels = self.signal_shape
        self.spectrum_shape = (channels, width // 2 + 1, frames, height)
        # Width leads, as in `Fourier`.
        held = self._magnitude()
        if self.hold_time:
            held[:, 0, 0, 0] = 0
        power = np.sum(mirrored(width)[:, None, None] * held**2, axis=(1, 2, 3), keepdims=True)
        # One channel may have more contrast than another; their mean power is 1.
        held *= self.contrast * frames * height * width / np.sqrt(np.mean(power))
        self.amplitude = held.astype(np.float32)
        over_time = np.sqrt(np.sum(held**2, axis=2, keepdims=True))
        self.held = self.amplitude if self.hold_time else over_time.astype(np.float32)
        # The columns that are their own mirror images, of which half is given by the other half.
        own = mirrored(width) == 1
        self.own_mirror = np.broadcast_to(own[:, None, None], self.spectrum_shape[1:])

    def _magnitude(self) -> np.ndarray:
        """The magnitude that is given, or the law's, in any unit: `(K or 1, W // 2 + 1, T, H)`."""
        frames, height, width, channels = self.signal_shape
        if self.magnitude is None:
            exponents = self.spatial_exponent, self.temporal_exponent
            return natural_amplitude(frames, height, width, *exponents)[None]
        expected = (frames, height, width // 2 + 1, channels)
        if self.magnitude.shape not in (expected, (*expected[:3], 1)):
            raise ValueError(
                f"Expected a magnitude of shape {expected}. Received: {self.magnitude.shape}."
            )
        return np.transpose(self.magnitude, (3, 2, 0, 1)).copy()

    def start(self, rng):
        return [_LENGTH * rng.standard_normal(self.spectrum_shape) for _ in range(2)]

    def signal(self, latents):
        real, imaginary = self.spectrum(latents)
        return inverse(real, imaginary, self.signal_shape[2])

    def spectrum(self, latents):
        """Real and imaginary parts `(N, K, W // 2 + 1, T, H)` of the held magnitude."""
        real, imaginary = latents
        real = ops.where(self.own_mirror, real + _mirror(real), real)
        imaginary = ops.where(self.own_mirror, imaginary - _mirror(imaginary), imaginary)
        if self.hold_time:
            power = real**2 + imaginary**2
        else:
            weight = self.amplitude / np.maximum(self.held, np.finfo(np.float32).tiny)
            real, imaginary = ops.multiply(real, weight), ops.multiply(imaginary, weight)
            power = ops.sum(real**2 + imaginary**2, axis=3, keepdims=True)
        scale = ops.multiply(self.held, ops.rsqrt(power + _TINY))
        return real * scale, imaginary * scale


def magnitude_of(clips: ArrayLike, *, colours: str = "decorrelated") -> np.ndarray:
    """Root mean square magnitude of the spectra of clips, for `MaCo(magnitude=...)`.

    Args:
        clips: `(N, T, H, W, C)` in [0, 1], of the frames and size to be made.
        colours: Colours of the `MaCo`.

    Returns:
        float64 `(T, H, W // 2 + 1, K)`.

    Raises:
        ValueError: If these are not such clips.

    Example:
        >>> films = np.random.default_rng(0).random((5, 4, 8, 8, 3))
        >>> magnitude_of(films).shape
        (4, 8, 5, 3)
    """
    clips = np.asarray(clips, np.float64)
    if clips.ndim != 5 or not (len(clips) and clips.min() >= 0 and clips.max() <= 1):
        raise ValueError(
            f"Expected clips (N, T, H, W, C) in [0, 1]. Received: shape {clips.shape}"
            + (f", values from {clips.min():g} to {clips.max():g}." if clips.size else ".")
        )
    signals = colour_choices.to_signals(clips, colour_choices.check(colours))
    # As numpy's rfftn halves the last axis it transforms, which is the width.
    spectra = np.fft.rfftn(signals, axes=(1, 2, 3))
    return np.sqrt(np.mean(np.abs(spectra) ** 2, axis=0))


def _mirror(part):
    """The coefficient of the opposite frequency in time and height, for each."""
    return ops.roll(ops.flip(part, axis=(3, 4)), (1, 1), axis=(3, 4))


def _checked(magnitude: ArrayLike) -> np.ndarray:
    array = np.asarray(magnitude, np.float64)
    if array.ndim != 4 or not np.isfinite(array).all() or not (array >= 0).all() or not array.any():
        raise ValueError(
            "Expected a magnitude (T, H, W // 2 + 1, K) of finite numbers from 0, not all 0. "
            f"Received: shape {array.shape}."
        )
    return array
