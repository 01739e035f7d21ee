"""A fixed bank of features of clips, of motion, form and colour, by which clips are compared."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureSpace", "clip_features", "similarities"]

DIRECTIONS = tuple(float(angle) for angle in range(0, 360, 45))  # degrees, as in `c3dvis.motion`
SPATIAL = (0.04, 0.08, 0.16, 0.32)  # cycles per pixel
TEMPORAL = (0.0, 0.125, 0.25, 0.4)  # cycles per frame; at 0, a filter sees static patterns

# Widths of the filters: standard deviations in octaves, degrees and cycles per frame.
_OCTAVES, _DEGREES, _CYCLES = 0.5, 22.5, 0.06
# Light, red against green, blue against yellow, each of a range of 1.
_CHANNELS = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0], [-0.25, -0.25, 0.5]], np.float32)
# Variance of a change by one grey level of 255: less counts as no contrast.
_FLOOR = (1 / 255) ** 2
_HUES, _SHADES = 8, 4


def clip_features(clips: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Features of the motion, form and colour of clips, fixed rather than learned.

    A clip's motion energies are the power of its spectrum under Gaussian windows of spatial
    frequency, direction and temporal frequency, which is the mean over all places of the squared
    responses of a quadrature pair of spatio-temporal Gabors (Adelson and Bergen 1985,
    https://doi.org/10.1364/JOSAA.2.000284), of light and of two colour oppositions. Their
    logarithms make four groups of features: energy by scale and speed; energy by direction relative
    to all directions; energy by orientation relative to all orientations, of static parts; and
    colour: means, spread and histograms. All have the same weight, whatever their number.

    Args:
        clips: Clips `(T, H, W, 3)` in [0, 1], of any lengths and sizes.

    Returns:
        float32 `(N, F)`.

    Raises:
        ValueError: No clips, or clips without colours.

    Example:
        >>> from c3dvis import motion, responses
        >>> some = motion.MovingEvidence(seed=1).batch(0, 2).clips
        >>> responses.clip_features(some).shape
        (2, 402)
    """
    rows = [_features(np.asarray(clip, np.float32)) for clip in clips]
    if not rows:
        raise ValueError("Expected clips (T, H, W, 3). Received: none.")
    return np.stack(rows)


def similarities(
    clips: Sequence[NDArray[np.float32]],
    others: Sequence[NDArray[np.float32]],
    *,
    known: Sequence[NDArray[np.float32]] | None = None,
    features: Callable | None = None,
) -> NDArray[np.float32]:
    """How similar clips are: the cosine of their features, in standard deviations from the mean.

    Args:
        clips: N clips `(T, H, W, 3)` in [0, 1].
        others: M more.
        known: Clips that give each feature's mean and standard deviation; None means `others`.
        features: Function of clips that gives `(N, F)`, such as a `UnitResponses` of another
            network; None means `clip_features`.

    Returns:
        float32 `(N, M)` in [-1, 1].

    Example:
        >>> from c3dvis import motion, responses
        >>> some = motion.MovingEvidence(seed=1).batch(0, 3).clips
        >>> responses.similarities(some, some).diagonal().round(3).tolist()
        [1.0, 1.0, 1.0]
    """
    space = FeatureSpace(others if known is None else known, features)
    one, other = space(clips), space(others)
    return one @ other.T


class FeatureSpace:
    """Clips as points on a sphere: their features in standard deviations from the mean.

    Args:
        known: Clips that give mean and standard deviation of each feature.
        features: Function of clips that gives `(N, F)`; None means `clip_features`.

    Attributes:
        known: float32 `(N, F)`, the known clips as points.

    Raises:
        ValueError: Features that are not finite, or not one row per clip.

    Example:
        >>> from c3dvis import models, motion, responses
        >>> clips = motion.MovingEvidence(seed=1).batch(0, 3).clips
        >>> layer = responses.UnitResponses(models.build("c3d-motion"), "conv3b")
        >>> responses.FeatureSpace(clips, layer)(clips).shape
        (3, 32)
    """

    def __init__(self, known: Sequence[NDArray[np.float32]], features: Callable | None = None):
        self._features = clip_features if features is None else features
        values = self._measure(known)
        self._mean, deviation = values.mean(axis=0), values.std(axis=0)
        # What is the same in all known clips says nothing of how alike they are.
        differs = deviation > 1e-6 * np.maximum(np.abs(self._mean), 1e-6)
        self._scale = np.where(differs, 1 / np.where(differs, deviation, 1), 0)
        if features is None:
            self._scale *= np.repeat(1 / np.sqrt(_GROUPS), _GROUPS)
        self.known = self._placed(values)

    def __call__(self, clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """float32 `(N, F)`, each row of length 1."""
        return self._placed(self._measure(clips))

    def _measure(self, clips):
        values = np.asarray(self._features(clips), np.float64)
        if values.ndim != 2 or len(values) != len(clips) or not np.isfinite(values).all():
            raise ValueError(
                f"Expected finite features (N, F) of {len(clips)} clips. "
                f"Received: shape {values.shape}."
            )
        return values

    def _placed(self, values):
        rows = (values - self._mean) * self._scale
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.where(length > 0, length, 1)).astype(np.float32)


def power(clip: NDArray[np.float32], axes: NDArray[np.floating] = _CHANNELS) -> NDArray[np.float32]:
    """Spectra `(A, T, H, W // 2 + 1)` of a clip along axes of colour; each sums to the variance.

    Args:
        clip: `(T, H, W, 3)`.
        axes: `(A, 3)`, weights of red, green and blue; those of light and two oppositions.
    """
    if clip.ndim != 4 or clip.shape[-1] != 3:
        raise ValueError(f"Expected clips (T, H, W, 3). Received: shape {clip.shape}.")
    channels = np.moveaxis(clip @ np.asarray(axes, np.float32).T, -1, 0)
    channels = channels - channels.mean(axis=(1, 2, 3), keepdims=True)
    taper, doubled, *_ = _grid(*clip.shape[:3])
    spectrum = np.fft.rfftn(channels * taper, axes=(1, 2, 3))
    squares = spectrum.real**2 + spectrum.imag**2
    return (squares * doubled / (taper.size * np.square(taper).sum())).astype(np.float32)


def band(
    shape: tuple[int, int, int],
    *,
    spatial: float | None = None,
    direction: float | None = None,
    temporal: float | None = None,
) -> NDArray[np.float32]:
    """Weights of the spectrum of clips `(T, H, W)` for one filter; None passes everything.

    For static patterns, the direction is that of the stripes' normal, either way.
    """
    _, _, octave, angle, speed = _grid(*shape)
    weights = np.ones_like(octave)
    if spatial is not None:
        weights = weights * np.exp(-(((octave - np.log2(spatial)) / _OCTAVES) ** 2) / 2)
    if temporal is not None:
        weights = weights * np.exp(-(((speed - temporal) / _CYCLES) ** 2) / 2)
    if direction is not None:
        weights = weights * _turned(angle, speed, direction, both=temporal == 0)
    return weights


def _turned(angle, speed, direction: float, *, both: bool):
    def near(way):
        turn = (angle - way + 180) % 360 - 180
        return np.exp(-((turn / _DEGREES) ** 2) / 2)

    one, opposite = near(direction), near(direction + 180)
    # What does not move goes either way.
    return one + opposite if both else np.where(speed > 0, one, (one + opposite) / 2)


@functools.lru_cache(maxsize=4)
def _grid(frames: int, height: int, width: int):
    """The taper of clips; of their spectrum: how often a value counts, octave, direction, speed."""
    ft = np.fft.fftfreq(frames)[:, None, None]
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.rfftfreq(width)
    frequency = np.hypot(fy, fx)
    octave = np.log2(np.where(frequency > 0, frequency, 2**-30.0))
    # A wave that drifts with x has its power where the signs of fx and ft differ.
    forward = np.degrees(np.arctan2(-fy, fx))
    angle = np.where(ft <= 0, forward, forward + 180)
    shape = (frames, height, len(fx))
    mirrored = np.where((fx > 0) & (fx < 0.5), 2, 1)
    taper = (
        np.hanning(frames + 2)[1:-1, None, None] * _edge(height)[:, None] * _edge(width)
    ).astype(np.float32)
    full = (mirrored, octave, angle, np.abs(ft))
    return taper, *(np.broadcast_to(each, shape).astype(np.float32) for each in full)


def _edge(length: int):
    """1 in the middle half; falls to 0 outside of it, so that the clip's border is no edge."""
    ramp = np.sin(np.pi / 2 * (np.arange(length // 4) + 0.5) / max(1, length // 4)) ** 2
    return np.concatenate([ramp, np.ones(length - 2 * len(ramp)), ramp[::-1]])


@functools.lru_cache(maxsize=4)
def _bank(shape: tuple[int, int, int]):
    """Weights of scales `(S, P)`, speeds `(F, P)`, directions and orientations, by frequency."""
    _, _, _, angle, speed = _grid(*shape)
    return (
        np.stack([band(shape, spatial=value).ravel() for value in SPATIAL]),
        np.stack([band(shape, temporal=value).ravel() for value in TEMPORAL]),
        np.stack([_turned(angle, speed, value, both=False).ravel() for value in DIRECTIONS]),
        np.stack([_turned(angle, speed, value, both=True).ravel() for value in DIRECTIONS[:4]]),
    )


def _features(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    scales, speeds, ways, turns = _bank(clip.shape[:3])
    spectrum = power(clip).reshape(3, -1)

    def energies(channel, speed, which):  # (scales, directions)
        return (scales * (channel * speed)) @ which.T

    moving = np.stack([[energies(c, speed, ways) for speed in speeds[1:]] for c in spectrum])
    still = np.stack([energies(c, speeds[0], turns) for c in spectrum])
    moving, still = (np.log10(each + _FLOOR) for each in (moving, still))
    groups = [
        np.concatenate([moving.mean(axis=-1).ravel(), still.mean(axis=-1).ravel()]),
        (moving - moving.mean(axis=-1, keepdims=True)).ravel(),
        (still - still.mean(axis=-1, keepdims=True)).ravel(),
        _colour(clip),
    ]
    return np.concatenate(groups).astype(np.float32)


def _colour(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means and deviations of light and oppositions, shares of hues (by saturation) and shades."""
    pixels = (clip @ _CHANNELS.T).reshape(-1, 3)
    light, red_green, blue_yellow = pixels.T
    saturation = np.hypot(red_green, blue_yellow)
    hue = (np.arctan2(blue_yellow, red_green) / (2 * np.pi)) % 1
    hues = np.bincount(np.minimum((hue * _HUES).astype(int), _HUES - 1), saturation, _HUES)
    shades = np.bincount(np.clip((light * _SHADES).astype(int), 0, _SHADES - 1), minlength=_SHADES)
    parts = [pixels.mean(axis=0), pixels.std(axis=0), hues / len(pixels), shades / len(pixels)]
    return np.concatenate(parts)


_GROUPS = (
    3 * len(SPATIAL) * len(TEMPORAL),
    3 * len(SPATIAL) * len(DIRECTIONS) * (len(TEMPORAL) - 1),
    3 * len(SPATIAL) * len(DIRECTIONS) // 2,
    6 + _HUES + _SHADES,
)
