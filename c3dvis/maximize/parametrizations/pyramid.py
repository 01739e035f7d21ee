"""Clips as sums of coarse and fine ones: a Laplacian pyramid in space and time."""

import keras
import numpy as np

from c3dvis.checks import positive, whole
from c3dvis.maximize.parametrizations import _grids
from c3dvis.maximize.parametrizations._parametrization import Parametrization

# How far a weight of 1 moves the signal, over all levels. Steps of the weights are spread over all
# that a clip shows, where those of `Fourier` go to a few waves: 1 would be too slow.
_REACH = 3.0


@keras.saving.register_keras_serializable(package="c3dvis")
class Pyramid(Parametrization):
    """Grids of decreasing resolution, each half that of the one before, stretched and summed.

    A step moves large patches and single pixels alike, and every weight acts in one place, where
    those of `Fourier` act everywhere. The pyramid is that of Burt and Adelson (1983,
    https://doi.org/10.1109/TCOM.1983.1095851) over height, width and time, with linear stretching.

    Args:
        levels: Maximum number of grids, the finest with one weight per pixel; no more than it takes
            to halve down to one point.
        fineness: Weight of a level relative to the next coarser one: below 1 for smoother clips.
        deviation: Standard deviation of the weights at the start.
        **kwargs: Arguments of `Parametrization`: colours, name.

    Example:
        >>> layer = Pyramid(levels=3, fineness=0.5)
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)
    """

    def __init__(self, *, levels: int = 5, fineness: float = 1.0, deviation: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.levels = whole(levels, "levels", 1)
        self.fineness = positive(fineness, "fineness")
        self.deviation = positive(deviation, "deviation")

    def get_config(self):
        own = {"levels": self.levels, "fineness": self.fineness, "deviation": self.deviation}
        return {**super().get_config(), **own}

    def setup(self):
        *extent, channels = self.signal_shape
        sizes = [[-(-n // 2**level) for n in extent] for level in range(self.levels)]
        sizes = [size for i, size in enumerate(sizes) if size not in sizes[:i]]
        self.grid_shapes = [(*size, channels) for size in sizes]
        self.matrices = [
            [_grids.linear(n, points) for n, points in zip(extent, size, strict=True)]
            for size in sizes
        ]
        gains = self.fineness ** -np.arange(len(sizes), dtype=float)
        self.gains = [float(gain) for gain in _REACH * gains / np.linalg.norm(gains)]

    def start(self, rng):
        return [self.deviation * rng.standard_normal(shape) for shape in self.grid_shapes]

    def signal(self, latents):
        return sum(
            gain * _grids.stretch(latent, matrices)
            for gain, latent, matrices in zip(self.gains, latents, self.matrices, strict=True)
        )
