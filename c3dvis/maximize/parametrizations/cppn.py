"""Clips as functions of place and time: a small network per clip, from coordinates to colours."""

import math

import keras
import numpy as np
from keras import ops

from c3dvis.checks import positive, whole
from c3dvis.maximize.parametrizations._parametrization import Parametrization

# Of arctan and its square, for normally distributed input: so that each has mean 0, deviation 1.
_DEVIATION = 0.6712
_SQUARE_MEAN, _SQUARE_DEVIATION = 0.4505, 0.3966


@keras.saving.register_keras_serializable(package="c3dvis")
class CPPN(Parametrization):
    """A compositional pattern-producing network of x, y and t (Stanley 2007).

    Each clip is a small dense network, evaluated at each pixel of each frame. Its output is smooth
    at any resolution and free of noise; fine detail comes late or never. Every layer returns an odd
    and an even function of its input, the arctangent and its square, as in Mordvintsev et al.
    (2018, https://distill.pub/2018/differentiable-parameterizations).

    The trainable weights are offsets from each network's initial weights, so that weight decay
    pulls back to the start instead of pulling the whole clip to one colour. An offset of
    `stiffness` counts as much as an initial weight of 1, the standard deviation of these.

    Args:
        layers: Hidden layers.
        units: Units of each.
        detail: Standard deviation of the first layer's slopes: larger values start with finer
            patterns.
        stiffness: Larger values move less per step.
        **kwargs: Arguments of `Parametrization`: colours, name.

    Example:
        >>> layer = CPPN(layers=3, units=8)
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)

    Stanley 2007, "Compositional pattern producing networks",
    https://doi.org/10.1007/s10710-007-9028-8
    """

    def __init__(
        self,
        *,
        layers: int = 6,
        units: int = 24,
        detail: float = 1.0,
        stiffness: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.layers, self.units = whole(layers, "layers", 1), whole(units, "units", 1)
        self.detail = positive(detail, "detail")
        self.stiffness = positive(stiffness, "stiffness")

    def get_config(self):
        size = {"layers": self.layers, "units": self.units}
        scale = {"detail": self.detail, "stiffness": self.stiffness}
        return {**super().get_config(), **size, **scale}

    def setup(self):
        *extent, channels = self.signal_shape
        # Of deviation 1 along each axis, so that time counts as much as height and width.
        axes = [np.sqrt(3) * ((2 * np.arange(n) + 1) / n - 1) for n in extent]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, 3)
        ones = np.ones((1, grid.shape[1], 1))
        self.coordinates = np.concatenate([self.detail * grid, ones], -1).astype(np.float32)
        inputs = [4, *[2 * self.units] * self.layers]
        outputs = [*[self.units] * self.layers, channels]
        self.shapes = list(zip(inputs, outputs, strict=True))
        clips = self.clips_shape[0]
        self.starts = [
            self.add_weight(shape=(clips, *shape), initializer="zeros", trainable=False)
            for shape in self.shapes
        ]

    def start(self, rng):
        return [np.zeros(shape) for shape in self.shapes]

    def restart(self, rngs):
        super().restart(rngs)
        for place in self.starts:
            drawn = [rng.standard_normal(place.shape[1:]) for rng in rngs]
            place.assign(np.stack(drawn).astype(np.float32))

    def signal(self, latents):
        frames, height, width, channels = self.signal_shape
        features = ops.convert_to_tensor(self.coordinates)
        for index, (latent, start) in enumerate(zip(latents, self.starts, strict=True)):
            if index:
                features = _compound(features)
            weights = (start + latent / self.stiffness) / math.sqrt(latent.shape[1])
            features = ops.matmul(features, weights)
        return ops.reshape(features, (-1, frames, height, width, channels))


def _compound(features):
    bent = ops.arctan(features)
    odd, even = bent / _DEVIATION, (bent**2 - _SQUARE_MEAN) / _SQUARE_DEVIATION
    return ops.concatenate([odd, even], axis=-1)
