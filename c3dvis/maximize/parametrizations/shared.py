"""Clips that have their coarse parts in common, and differ in the rest."""

from collections.abc import Sequence

import keras
import numpy as np

from c3dvis.checks import whole
from c3dvis.maximize.parametrizations import _grids
from c3dvis.maximize.parametrizations._parametrization import Parametrization, Wrapper
from c3dvis.maximize.parametrizations.fourier import Fourier
from c3dvis.text import unknown

_BETWEEN = ("frames", "clips")


@keras.saving.register_keras_serializable(package="c3dvis")
class Shared(Wrapper):
    """Coarse grids shared between the frames of a clip, or the clips of a batch, added to its own.

    Shared between frames, one still, coarse picture lies under what moves. Shared between clips,
    those of different units are alike where units do not differ (Mordvintsev et al. 2018,
    https://distill.pub/2018/differentiable-parameterizations); each clip then depends on the
    others, so all are made together.

    The shared grids start at 0, so that clips start as those of `inner` do.

    Args:
        inner: Parametrization of what each clip has of its own; None means `Fourier()`.
        between: "frames" or "clips".
        factors: How many times coarser than the clip each shared grid is.
        **kwargs: name.

    Example:
        >>> layer = Shared(between="clips", factors=(4, 8))
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)
    """

    def __init__(
        self,
        inner: Parametrization | None = None,
        *,
        between: str = "frames",
        factors: Sequence[int] = (4, 8, 16),
        **kwargs,
    ):
        super().__init__(Fourier() if inner is None else inner, **kwargs)
        if between not in _BETWEEN:
            raise unknown("between", between, _BETWEEN)
        if np.ndim(factors) != 1 or not len(factors):
            raise ValueError(f"Expected factors such as (4, 8). Received: {factors!r}.")
        self.factors = tuple(whole(factor, "factors", 1) for factor in factors)
        self.between = between
        self.batchwise = self.batchwise or between == "clips"

    def get_config(self):
        own = {"between": self.between, "factors": list(self.factors)}
        return {**super().get_config(), **own}

    def build(self, clips_shape):
        self.inner.build(clips_shape)
        self.clips_shape, self.signal_shape = self.inner.clips_shape, self.inner.signal_shape
        *extent, channels = self.signal_shape
        still = self.between == "frames"
        self.matrices, self.shared = [], []
        for factor in self.factors:
            size = [-(-n // factor) for n in extent]
            size[0] = 1 if still else size[0]
            rows = self.clips_shape[0] if still else 1
            self.shared.append(self.add_latent((rows, *size, channels)))
            self.matrices.append([_grids.linear(n, m) for n, m in zip(extent, size, strict=True)])
        self.latents = [*self.inner.latents, *self.shared]

    def restart(self, rngs):
        self.inner.restart(rngs)
        for latent in self.shared:
            latent.assign(np.zeros(latent.shape, np.float32))

    def signal(self, latents):
        own = len(self.inner.latents)
        coarse = [
            _grids.stretch(latent, matrices)
            for latent, matrices in zip(latents[own:], self.matrices, strict=True)
        ]
        return self.inner.signal(latents[:own]) + sum(coarse[1:], coarse[0])
