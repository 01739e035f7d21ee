"""What moves in a clip, which way, how fast and in which colour: read off its power spectrum.

A drifting wave is one point of the 3-D spectrum: its place in space gives direction and spatial
frequency, its place in time the temporal frequency, and speed is one over the other. Proved on
stimuli of known parameters in tests/test_planted.py.
"""

from dataclasses import dataclass

import numpy as np

# Zeros added until each axis is this much longer; the peak is interpolated between these points.
_ZOOM = 2


@dataclass(frozen=True)
class Motion:
    """The strongest wave in a clip.

    Attributes:
        direction: Where it drifts, degrees from 0 to 360: 0 is right, 90 up.
        spatial_frequency: Cycles a pixel.
        temporal_frequency: Cycles a frame.
        flicker: Power of the same wave drifting the other way over this wave's: 0 for a drifting
            wave, 1 for one that flickers on the spot or stands still.
    """

    direction: float
    spatial_frequency: float
    temporal_frequency: float
    flicker: float

    @property
    def speed(self) -> float:
        """Pixels a frame."""
        return self.temporal_frequency / self.spatial_frequency


def motion(clip: np.ndarray, window: tuple[int, int, int]) -> Motion:
    """The strongest wave in a clip, at the highest peak of its power spectrum.

    The peak is of the spectrum that `spectrum` describes, interpolated by zeros around each window
    and by a parabola through the logarithm of the peak and its neighbours. A pattern whose phase
    jumps from one place to another is so the same wave as one whose phase does not.

    Args:
        clip: `(T, H, W, C)`, of any range. Colours are added by power, so that equally strong red
            and green that cancel in brightness count in full.
        window: Frames, height and width, even and within the clip. Take the receptive field.

    Raises:
        ValueError: Not such a clip or window, or a clip without contrast in space.
    """
    power = _periodogram(clip, window, zoom=_ZOOM)
    shape = power.shape
    _, rows, columns = (np.fft.fftfreq(n) for n in shape)
    # A uniform flicker has no direction: waves longer than the window are left out.
    too_long = np.hypot(rows[:, None], columns) < 1 / max(window[1:])
    searched = np.where(too_long, 0, power)
    if not searched.max() > 0:
        raise ValueError("Expected a clip with contrast in space. Received: a uniform one.")
    peak = np.unravel_index(searched.argmax(), shape)
    f_time, f_row, f_column = (
        (i + _vertex(power, peak, axis)) / n - (i >= n / 2)
        for axis, (i, n) in enumerate(zip(peak, shape, strict=True))
    )
    opposite = power[-peak[0] % shape[0], peak[1], peak[2]]
    # cos(2 pi (f_column x + f_row y + f_time t)) drifts against its frequency in space where
    # f_time is positive; rows grow downwards.
    sign = -1.0 if f_time > 0 else 1.0
    return Motion(
        direction=float(np.degrees(np.arctan2(-sign * f_row, sign * f_column)) % 360),
        spatial_frequency=float(np.hypot(f_row, f_column)),
        temporal_frequency=float(abs(f_time)),
        flicker=float(opposite / power[peak]),
    )


def colour(clip: np.ndarray) -> np.ndarray:
    """Direction in RGB along which a clip varies most, a unit vector of either sign, `(3,)`."""
    clip = _checked(clip)
    pixels = (clip - clip.mean(axis=(0, 1, 2))).reshape(-1, clip.shape[-1])
    return np.linalg.eigh(pixels.T @ pixels)[1][:, -1]


def spectrum(clip: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """Power spectrum of a clip as it looks through windows of one size, sum 1.

    The mean over windows that overlap by half (Welch 1967,
    https://doi.org/10.1109/TAU.1967.1161901), so it neither depends on where a pattern lies nor
    tells frequencies apart that such a window does not. Each is half a sine wave, whose squares add
    up to 1, and the clip is continued with its mean by half a window: every pixel counts alike.

    Args:
        clip: `(T, H, W, C)`; the channels' powers are added.
        window: Frames, height and width, even and within the clip. Take the receptive field.

    Returns:
        float64 of the window's shape.
    """
    power = _periodogram(clip, window, zoom=1)
    if not power.sum() > 0:
        raise ValueError("Expected a clip with contrast. Received: a uniform one.")
    return power / power.sum()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine between two power spectra: 1 if they are equal, 0 if they share no frequency."""
    return float(np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2)))


def shared(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection of two power spectra of sum 1: the share of power at the same frequencies."""
    return float(np.minimum(a, b).sum())


def angle_between(a: float, b: float, *, turn: float = 360.0) -> float:
    """Least angle between two directions in degrees; with `turn=180` between orientations."""
    return float(abs((a - b + turn / 2) % turn - turn / 2))


def colours_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle between two axes of colour in degrees, 0 to 90; which end is which does not matter."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    cosine = abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def _checked(clip) -> np.ndarray:
    clip = np.asarray(clip, np.float64)
    if clip.ndim != 4 or min(clip.shape[:3]) < 4:
        raise ValueError(
            "Expected a clip (T, H, W, C) of at least 4 frames, rows and columns. "
            f"Received: shape {clip.shape}."
        )
    if not np.isfinite(clip).all():
        raise ValueError("Expected a clip of finite values. Received: NaN or infinite ones.")
    return clip


def _periodogram(clip, window, *, zoom: int) -> np.ndarray:
    """Power summed over windows and channels, at `zoom` times as many frequencies a window."""
    clip = _checked(clip)
    extent = clip.shape[:3]
    fits = len(window) == 3 and all(
        2 <= n <= m and n % 2 == 0 for n, m in zip(window, extent, strict=True)
    )
    if not fits:
        raise ValueError(f"Expected a window of even lengths within {extent}. Received: {window}.")
    margins = [(n // 2, n // 2 + -m % (n // 2)) for n, m in zip(window, extent, strict=True)]
    centred = np.pad(clip - clip.mean(axis=(0, 1, 2)), [*margins, (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(centred, window, axis=(0, 1, 2))
    views = views[tuple(slice(None, None, n // 2) for n in window)].reshape(-1, *window)
    t, y, x = (np.sin(np.pi * (np.arange(n) + 0.5) / n) for n in window)
    taper = t[:, None, None] * y[:, None] * x
    shape = [zoom * n for n in window]
    half = sum(
        np.square(np.abs(np.fft.rfftn(view * taper, s=shape, axes=(0, 1, 2)))) for view in views
    )
    # What is real has the same power at a frequency and at its opposite.
    frames, rows, columns = (-np.arange(n) % n for n in shape)
    rest = columns[half.shape[2] :]
    opposite = half[np.ix_(frames, rows, rest)]
    return np.concatenate([half, opposite], axis=2)


def _vertex(power: np.ndarray, peak, axis: int) -> float:
    """Where a parabola through the log of a peak and its neighbours is highest, in points."""
    n = power.shape[axis]
    before, here, after = (
        np.log(
            max(power[tuple((p + s) % n if a == axis else p for a, p in enumerate(peak))], 1e-300)
        )
        for s in (-1, 0, 1)
    )
    bend = before - 2 * here + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
