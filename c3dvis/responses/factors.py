"""Whether a unit distinguishes clips by appearance, by motion, or by both together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis.models.held_inputs import one_input
from c3dvis.responses.unit_responses import UnitResponses, shape_in_colour

__all__ = ["Factors", "appearance_and_motion"]

KINDS = ("static", "dynamic", "joint")


@dataclass(frozen=True, eq=False)
class Factors:
    """What explains the differences between a unit's responses.

    Attributes:
        layer: Name of the layer.
        channels: Index of each of the C units.
        responses: float32 `(C, A, M)`: to A textures in M motions, means over several clips.
        shares: float32 `(C, 3)`, of the variance: "static", of the texture alone; "dynamic", of
            the motion alone; "joint", of what neither explains alone, as for a unit that
            prefers a red texture moving left. They add up to 1; NaN where all responses are equal.
    """

    layer: str
    channels: tuple[int, ...]
    responses: NDArray[np.float32]
    shares: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Factors({self.layer!r}, {len(self.channels)} units)"

    @property
    def kinds(self) -> list[str | None]:
        """The largest share of each unit; None where all its responses are equal."""
        return [None if np.isnan(row).any() else KINDS[int(row.argmax())] for row in self.shares]


def appearance_and_motion(
    network: keras.Model,
    layer: str,
    *,
    channels: Sequence[int] | int | None = None,
    textures: int = 8,
    speed: float = 1.5,
    clips_each: int = 2,
    seed: int = 0,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    preprocess: Callable | None = None,
    batch_size: int = 8,
) -> Factors:
    """The shares of appearance and motion in the selectivity of a layer's units.

    Every texture is shown in every motion: static, and drifting in eight directions. A unit's
    responses are then a table of textures and motions, whose variance is that of the rows' means,
    that of the columns' means, and the rest (a two-way analysis of variance). Kowal et al. 2022,
    https://arxiv.org/abs/2206.02846, estimate such shares of a layer from pairs of real clips in
    other styles, by mutual information.

    Args:
        network: Keras model that takes clips `(N, T, H, W, 3)` in [0, 1].
        layer: Name of a layer, or the Keras layer itself.
        channels: Indices of the units, or one index; None means all.
        textures: Random patterns of two colours, with as much of every scale as in photographs.
        speed: Pixels per frame.
        clips_each: Clips of each texture and motion, of other parts of the texture.
        seed: Seed of the textures.
        frames: Number of frames, if the network accepts any number.
        size: Height and width of the clips, if the network accepts any size.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Raises:
        ValueError: An unknown layer or unit, or a network of other clips.

    Example:
        >>> from c3dvis import models, responses
        >>> network = models.build("c3d-motion")
        >>> factors = responses.appearance_and_motion(
        ...     network, "conv2", channels=[0, 1], textures=2, clips_each=1
        ... )
        >>> factors.shares.shape
        (2, 3)
    """
    if textures < 2 or clips_each < 1 or not speed > 0:
        raise ValueError(
            "Expected two textures or more, 1 clip of each or more and a speed above 0. "
            f"Received: textures={textures}, clips_each={clips_each}, speed={speed}."
        )
    network = one_input(network, scaled=preprocess is None)
    shape = shape_in_colour(network, frames=frames, size=size)
    scores = UnitResponses(network, layer, preprocess=preprocess, batch_size=batch_size)
    units = scores.units(channels)
    angles = np.radians(np.arange(0, 360, 45))
    motions = [(0.0, 0.0), *((speed * math.cos(a), -speed * math.sin(a)) for a in angles)]
    rows = scores(_clips(textures, motions, clips_each, shape, seed))[:, units]
    table = rows.reshape(textures, len(motions), clips_each, len(units)).mean(axis=2)
    responses = np.moveaxis(table, -1, 0)
    return Factors(scores.layer, tuple(units), responses, shares(responses))


def shares(responses: NDArray[np.floating]) -> NDArray[np.float32]:
    """Shares `(C, 3)` of rows, columns and the rest in the variance of tables `(C, A, M)`.

    >>> shares(np.array([[[1.0, 1.0], [3.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]]])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    values = np.asarray(responses, np.float64)
    mean = values.mean(axis=(1, 2), keepdims=True)
    by_row = values.mean(axis=2, keepdims=True) - mean
    by_column = values.mean(axis=1, keepdims=True) - mean
    rest = values - mean - by_row - by_column
    parts = np.stack([np.square(part).mean(axis=(1, 2)) for part in (by_row, by_column, rest)], -1)
    total = parts.sum(axis=-1, keepdims=True)
    # What is left of equal responses by rounding is no difference.
    told_apart = total > 1e-12 * np.square(values).mean(axis=(1, 2))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(told_apart, parts / total, np.nan).astype(np.float32)


def _clips(
    textures: int,
    motions: Sequence[tuple[float, float]],
    each: int,
    shape: Sequence[int],
    seed: int,
) -> Iterator[NDArray[np.float32]]:
    """Each texture in each motion, several times; what leaves the clip at one side comes back."""
    frames, height, width = shape
    ty, tx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    scale = np.hypot(ty, tx)
    # The amplitude spectrum of photographs falls as 1 / f.
    amplitude = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
    for texture in range(textures):
        rng = np.random.default_rng([seed, texture])
        waves = np.fft.fft2(rng.standard_normal((height, width))) * amplitude
        colours = rng.random((2, 3)).astype(np.float32)
        starts = [rng.random(2) * (height, width) for _ in range(each)]
        still = np.fft.ifft2(waves).real
        low, high = np.quantile(still, [0.02, 0.98])
        for dx, dy in motions:
            for y, x in starts:
                time = np.arange(frames)[:, None, None]
                shift = np.exp(-2j * np.pi * (ty * (y + dy * time) + tx * (x + dx * time)))
                field = np.clip((np.fft.ifft2(waves * shift).real - low) / (high - low), 0, 1)
                mixed = colours[0] + (colours[1] - colours[0]) * field[..., None]
                yield mixed.astype(np.float32)
