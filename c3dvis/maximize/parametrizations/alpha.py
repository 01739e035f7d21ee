"""Clips that are clear where their unit does not look: RGB and how opaque it is."""

import math

import keras
import numpy as np
from keras import ops

from c3dvis import clips
from c3dvis.maximize.parametrizations import grids
from c3dvis.maximize.parametrizations.fourier import Fourier
from c3dvis.maximize.parametrizations.parametrization import Parametrization, Wrapper, positive
from c3dvis.maximize.parametrizations.pyramid import Pyramid
from c3dvis.maximize.transforms import Transform

# Of the opacity's pyramid: a clip is clear or opaque in patches, not in specks.
_FINENESS = 0.5
# Of the opacity before the sigmoid, at the start: 0.88 after it.
_OPAQUE = 2.0


@keras.saving.register_keras_serializable(package="c3dvis")
class Alpha(Wrapper):
    """Colours of another parametrization, and how opaque they are by a pyramid of their own.

    `decode` gives one channel more, 0 for clear and 1 for opaque; a network sees the clip over a
    smooth background of random colours, another at every step. What matters to the unit has to be
    opaque, or the background shows through; what does not fades towards `clearness`, as weight
    decay takes what nothing holds (Mordvintsev et al. 2018,
    https://distill.pub/2018/differentiable-parameterizations). `clips.write` keeps the clearness
    of RGBA in GIF, WebP and PNG; `rgba` makes that of grey and flow.

    Args:
        inner: What makes the colours; None is `Fourier()`.
        clearness: Share of the background that is seen where the opacity's signal is 0.
        sharpness: Times the opacity's signal: larger leaves less half clear.
        **kwargs: name.
    """

    def __init__(
        self,
        inner: Parametrization | None = None,
        *,
        clearness: float = 0.8,
        sharpness: float = 3.0,
        **kwargs,
    ):
        super().__init__(Fourier() if inner is None else inner, **kwargs)
        if isinstance(inner, Alpha):
            raise ValueError("Expected a parametrization without alpha. Received: Alpha.")
        if not 0 < clearness < 1:
            raise ValueError(f"Expected a clearness between 0 and 1. Received: {clearness}.")
        self.opacity = Pyramid(fineness=_FINENESS)
        self.clearness = clearness
        self.sharpness = positive(sharpness, "sharpness")
        self.offset = math.log(1 / clearness - 1)

    def get_config(self):
        own = {"clearness": self.clearness, "sharpness": self.sharpness}
        return {**super().get_config(), **own}

    def build(self, clips_shape):
        self.inner.build(clips_shape)
        self.opacity.build((*clips_shape[:-1], 1))
        self.clips_shape = (*clips_shape[:-1], clips_shape[-1] + 1)
        self.parts = [*self.inner.parts, *self.opacity.parts]
        self.transforms = (OverBackground(self.inner.clips_shape[1:]),)

    def restart(self, draws):
        self.inner.restart(draws)
        self.opacity.restart(draws)
        # Opaque at first: where all is clear, the background excites the unit, and nothing grows.
        coarsest, gain = self.opacity.parts[-1], self.opacity.gains[-1]
        coarsest.assign(coarsest + (_OPAQUE - self.offset) / (self.sharpness * gain))

    def decode(self):
        parts = [ops.convert_to_tensor(part) for part in self.opacity.parts]
        alpha = ops.sigmoid(self.sharpness * self.opacity.signal(parts) + self.offset)
        return ops.concatenate([self.inner.decode(), alpha], axis=-1)


def rgba(clip: np.ndarray) -> np.ndarray:
    """A clip with alpha as files take it, whatever its colours.

    Args:
        clip: `(T, H, W, C + 1)` in [0, 1]; C is 1 (grey), 2 (flow, drawn as `clips.to_rgb` says)
            or 3 (RGB).

    Returns:
        float32 `(T, H, W, 4)` in [0, 1].

    Example:
        >>> rgba(np.zeros((4, 8, 8, 2), np.float32)).shape
        (4, 8, 8, 4)
    """
    clip = clips.check(clip)
    return np.concatenate([clips.to_rgb(clip[..., :-1]), clip[..., -1:]], axis=-1)


class OverBackground(Transform):
    """Lays clips with alpha over smooth noise of random colours; draws of 0.5 are plain grey.

    Args:
        shape: `(T, H, W, C)` of the clips without alpha.
        points: Points in time, and along height and width, between which the noise is linear. One
            point in time stands still, which excites fewer units than noise that changes.
        contrast: Length of the range around grey that its values are drawn from.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        points: tuple[int, int] = (1, 5),
        contrast: float = 0.7,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.contrast = contrast
        self.shape, self.points = tuple(shape), tuple(points)
        *extent, channels = shape
        size = [min(n, m) for n, m in zip(extent, (points[0], points[1], points[1]), strict=True)]
        self.grid = (*size, channels)
        self.draws = math.prod(self.grid)
        self.matrices = [grids.linear(n, m) for n, m in zip(extent, size, strict=True)]

    def get_config(self):
        return {**super().get_config(), "shape": self.shape, "points": self.points}

    def call(self, clips, draws):
        grid = ops.reshape(draws - 0.5, (clips.shape[0], *self.grid)) * self.contrast + 0.5
        background = grids.stretch(grid, self.matrices)
        alpha = clips[..., -1:]
        return clips[..., :-1] * alpha + background * (1 - alpha)
