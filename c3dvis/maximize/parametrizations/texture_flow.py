"""One picture and a smooth flow that moves it: what a clip shows apart from how it moves."""

import keras
import numpy as np
from keras import ops

from c3dvis.checks import positive, whole
from c3dvis.maximize.parametrizations import _grids
from c3dvis.maximize.parametrizations._parametrization import Parametrization, Wrapper
from c3dvis.maximize.parametrizations.fourier import Fourier


@keras.saving.register_keras_serializable(package="c3dvis")
class TextureFlow(Wrapper):
    """A picture `(H, W)` that a flow field moves, bends and stretches over time.

    Nothing can appear, vanish or change its colour, so a unit is shown by what moves and where to.
    The flow is a coarse grid of velocities, blended by cubic B-splines. A pixel's displacement is
    the sum of the velocities that were there from the middle frame on, which shows the picture as
    it is; each frame reads the picture at the displaced places, linearly between its pixels. What
    moves out at one edge comes in at the opposite one.

    Args:
        inner: The picture, as a clip of one frame; None means `Fourier()`.
        points: Points of the grid in time, and along height and width.
        speed: Velocity, in pixels per frame, of a weight of 1.
        deviation: Standard deviation of the velocity weights at the start.
        **kwargs: name.

    Example:
        >>> layer = TextureFlow(points=(2, 3))
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)
    """

    def __init__(
        self,
        inner: Parametrization | None = None,
        *,
        points: tuple[int, int] = (3, 4),
        speed: float = 1.0,
        deviation: float = 0.3,
        **kwargs,
    ):
        super().__init__(Fourier() if inner is None else inner, **kwargs)
        if np.shape(points) != (2,):
            raise ValueError(f"Expected points=(in time, along a side). Received: {points!r}.")
        self.points = tuple(whole(count, "points", 1) for count in points)
        self.speed = positive(speed, "speed")
        self.deviation = positive(deviation, "deviation")

    def get_config(self):
        own = {"points": list(self.points), "speed": self.speed, "deviation": self.deviation}
        return {**super().get_config(), **own}

    def build(self, clips_shape):
        clips, frames, height, width, channels = clips_shape
        self.clips_shape = tuple(clips_shape)
        self.inner.build((clips, 1, height, width, channels))
        self.signal_shape = (frames, *self.inner.signal_shape[1:])
        moments, places = self.points
        velocity = self.add_latent((clips, moments, places, places, 2))
        self.latents = [*self.inner.latents, velocity]
        moved = np.cumsum(_grids.smooth(frames, moments), axis=0)
        moved -= moved[frames // 2]
        self.matrices = [moved, _grids.smooth(height, places), _grids.smooth(width, places)]

    def restart(self, rngs):
        self.inner.restart(rngs)
        velocity = self.latents[-1]
        starts = [self.deviation * rng.standard_normal(velocity.shape[1:]) for rng in rngs]
        velocity.assign(np.stack(starts).astype(np.float32))

    def signal(self, latents):
        picture = self.inner.signal(latents[:-1])[:, 0]
        return _warped(picture, self.speed * _grids.stretch(latents[-1], self.matrices))


def _warped(picture, displacement):
    """A picture `(N, H, W, K)` read at displaced places: `(N, T, H, W, K)`.

    Args:
        displacement: `(N, T, H, W, 2)` in pixels to the right and down.
    """
    clips, height, width, channels = picture.shape
    rows = ops.arange(height, dtype="float32")[:, None] - displacement[..., 1]
    columns = ops.arange(width, dtype="float32") - displacement[..., 0]
    top, left = ops.floor(rows), ops.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    flat = ops.reshape(picture, (clips * height * width, channels))
    first = ops.reshape(ops.arange(clips, dtype="int32") * height * width, (-1, 1, 1, 1))

    def read(row, column):
        row, column = (ops.cast(place, "int32") for place in (row, column))
        return ops.take(flat, first + row % height * width + column % width, axis=0)

    above = read(top, left) * (1 - right) + read(top, left + 1) * right
    below = read(top + 1, left) * (1 - right) + read(top + 1, left + 1) * right
    return above * (1 - down) + below * down
