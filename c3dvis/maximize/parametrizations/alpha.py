"""Clips that are transparent where their unit does not look: RGB and opacity."""

import math

import keras
import numpy as np
from keras import ops

from c3dvis import clips
from c3dvis.maximize.conditioning import Conditioning
from c3dvis.maximize.parametrizations import _grids
from c3dvis.maximize.parametrizations._parametrization import Parametrization, Wrapper
from c3dvis.maximize.parametrizations.fourier import Fourier
from c3dvis.maximize.parametrizations.pyramid import Pyramid
from c3dvis.maximize.transforms import Transform

# Of the opacity's pyramid: a clip is clear or opaque in patches, not in specks.
_FINENESS = 0.5
# Times its signal, so that little is left half clear.
_SHARPNESS = 3.0
# The opacity before the sigmoid, at the start: 0.88 after it. Where all is clear at first, the
# background excites the unit, and nothing grows.
_OPAQUE = 2.0
# Of the background: points along each axis between which the noise is linear, and the length of the
# range around grey that its values are drawn from. One point in time stands still, which excites
# fewer units than noise that changes.
_POINTS = (1, 5, 5)
_CONTRAST = 0.7


@keras.saving.register_keras_serializable(package="c3dvis")
class Alpha(Wrapper):
    """Colours of another parametrization, with an opacity that a pyramid parametrizes.

    `decode` returns one more channel, 0 for transparent and 1 for opaque; the network sees the clip
    over a smooth background of random colours, a new one at every step. What matters to the unit
    has to be opaque, or the background shows through; the rest becomes transparent, as transparency
    is rewarded a little (Mordvintsev et al. 2018,
    https://distill.pub/2018/differentiable-parameterizations). `clips.write` keeps transparency in
    GIF, WebP and PNG; `rgba` turns grey and flow into RGBA.

    Args:
        inner: What makes the colours; None means `Fourier()`.
        reward: Reward of transparency, as a share of the mean effect of opacity at a position.
        **kwargs: name.

    Example:
        >>> layer = Alpha(reward=0.1)
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 4)
    """

    def __init__(self, inner: Parametrization | None = None, *, reward: float = 0.2, **kwargs):
        super().__init__(Fourier() if inner is None else inner, **kwargs)
        if isinstance(inner, Alpha):
            raise ValueError("Expected a parametrization without alpha. Received: Alpha.")
        if not (reward >= 0 and math.isfinite(reward)):
            raise ValueError(f"Expected a finite reward of 0 or more. Received: {reward}.")
        self.opacity = Pyramid(fineness=_FINENESS)
        self.reward = reward

    def get_config(self):
        return {**super().get_config(), "reward": self.reward}

    def build(self, clips_shape):
        self.inner.build(clips_shape)
        self.opacity.build((*clips_shape[:-1], 1))
        self.clips_shape = (*clips_shape[:-1], clips_shape[-1] + 1)
        self.latents = [*self.inner.latents, *self.opacity.latents]
        self.transforms = (Clearing(self.reward), OverBackground(self.inner.clips_shape[1:]))

    def restart(self, rngs):
        self.inner.restart(rngs)
        self.opacity.restart(rngs)

    def decode(self):
        latents = [ops.convert_to_tensor(latent) for latent in self.opacity.latents]
        alpha = ops.sigmoid(_SHARPNESS * self.opacity.signal(latents) + _OPAQUE)
        return ops.concatenate([self.inner.decode(), alpha], axis=-1)


class Clearing(Conditioning):
    """Leaves clips unchanged and pushes their alpha down, by a share of its mean absolute gradient.

    A penalty has to be weighed against activations, which differ by orders of magnitude between
    units; this weighs the same for all.

    Args:
        share: 1 pushes as hard as the unit pulls at a position on average.
    """

    def __init__(self, share: float, **kwargs):
        super().__init__(**kwargs)
        self.share = share

    def condition(self, gradient):
        alpha = gradient[..., -1:]
        pull = ops.mean(ops.abs(alpha), axis=(1, 2, 3, 4), keepdims=True)
        return ops.concatenate([gradient[..., :-1], alpha + self.share * pull], axis=-1)


def rgba(clip: np.ndarray) -> np.ndarray:
    """A clip with alpha as RGBA, for files.

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
    """Lays clips with alpha over smooth noise of random colours; uniforms of 0.5 are grey.

    Args:
        shape: `(T, H, W, C)` of the clips without alpha.
    """

    def __init__(self, shape: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        *extent, channels = shape
        size = [min(n, points) for n, points in zip(extent, _POINTS, strict=True)]
        self.grid = (*size, channels)
        self.uniforms = math.prod(self.grid)
        self.matrices = [_grids.linear(n, m) for n, m in zip(extent, size, strict=True)]

    def call(self, clips, uniforms):
        grid = ops.reshape(uniforms - 0.5, (clips.shape[0], *self.grid)) * _CONTRAST + 0.5
        background = _grids.stretch(grid, self.matrices)
        alpha = clips[..., -1:]
        return clips[..., :-1] * alpha + background * (1 - alpha)
