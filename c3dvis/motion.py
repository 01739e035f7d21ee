"""Synthetic clips whose evidence is known: one marked object whose motion alone decides the class.

Attribution can only be checked where the answer is known, and a network can only be shown to have
learned motion where appearance says nothing. `MovingEvidence` makes such clips by the million,
each from its own seed. `DriftingGabor` is the smallest motion there is: one direction, one speed,
one spatial frequency.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from c3dvis.checks import are_numbers, as_numbers, positive, whole

CLASSES = (
    "moving left",
    "moving right",
    "moving up",
    "moving down",
    "rotating clockwise",
    "rotating counterclockwise",
    "orbiting clockwise",
    "orbiting counterclockwise",
    "left then right",
    "right then left",
)

# Seed of the clips on which bundled networks are tested; none was trained on them.
HELD_OUT_SEED = 9_999

# Lengths are fractions of the shorter side, times are fractions of the clip, angles are radians per
# frame of a 16-frame clip: a clip of another size or length shows the same event.
_REFERENCE_FRAMES = 16
_RADIUS = (0.095, 0.125)
_SPEED = (0.030, 0.048)
_ORBIT_RADIUS = (0.075, 0.10)
_TURN = (0.45, 0.70)
_WINDOW = (6 / 16, 10 / 16)
_EVIDENCE_HUES = (0.92, 1.04)  # red and magenta: nothing else in the clip has these
_DISTRACTOR_HUES = (0.15, 0.78)  # yellow, green, blue, violet
# The marked disc lies on top of all others and so is never hidden; were it as bright as they are,
# it would change the most pixels the most.
_EVIDENCE_BRIGHTNESS = (0.75, 0.9)
_DISTRACTOR_BRIGHTNESS = (0.85, 1.0)
_SETTINGS_STREAM = 0xC3D


@dataclass(frozen=True)
class Evidence:
    """Clips with their known evidence.

    Attributes:
        clips: float32 `(N, T, H, W, 3)`, RGB in [0, 1].
        labels: int64 `(N,)`, indices into `CLASSES`.
        masks: bool `(N, T, H, W)`, true where the marked object is while its event lasts.
        windows: int64 `(N, 2)`, first frame of the event and the frame after its last.
    """

    clips: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    windows: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


class MovingEvidence:
    """Endless, seeded clips of ten motions, in which the motion of one object alone determines the
    class.

    A red or magenta two-tone disc performs the event of the clip's class within a window of 6 to 10
    of 16 frames and stands still before and after. Discs of other colours perform events of any
    class, in windows of their own. Background texture is static. The world wraps around and every
    position, orientation and phase is uniform, so the distribution of a single frame is the same
    for all classes.

    Clip `i` depends on `seed` and `i` alone; its label is `i % 10`.

    Args:
        seed: Any non-negative integer. Clips of different seeds are independent.
        frames: Frames per clip, at least 6.
        size: `(height, width)` in pixels, at least 16 each.
        distractors: Number of other discs in a clip.

    Example:
        >>> from c3dvis.motion import MovingEvidence
        >>> some = MovingEvidence(seed=1).batch(0, 10)
        >>> some.clips.shape, some.masks.shape
        ((10, 16, 64, 64, 3), (10, 16, 64, 64))
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int = 16,
        size: tuple[int, int] = (64, 64),
        distractors: int = 4,
    ):
        self.seed = whole(seed, "seed")
        self.frames = whole(frames, "frames", 6)
        self.size = _size(size, 16)
        self.distractors = whole(distractors, "distractors")

    def batch(self, start: int, count: int) -> Evidence:
        """Clips `start` to `start + count - 1`; see `Evidence` for shapes."""
        start, count = whole(start, "start"), whole(count, "count", 1)
        height, width = self.size
        clips = np.empty((count, self.frames, height, width, 3), np.float32)
        masks = np.empty((count, self.frames, height, width), bool)
        windows = np.empty((count, 2), np.int64)
        labels = np.arange(start, start + count, dtype=np.int64) % len(CLASSES)
        for i, label in enumerate(labels):
            clips[i], masks[i], windows[i] = self._clip(start + i, int(label))
        return Evidence(clips, labels, masks, windows)

    def batches(self, start: int, count: int, batch_size: int = 32) -> Iterator[Evidence]:
        """The same clips, `batch_size` at a time, so that memory stays small."""
        start, count = whole(start, "start"), whole(count, "count", 1)
        batch_size = whole(batch_size, "batch_size", 1)
        for first in range(start, start + count, batch_size):
            yield self.batch(first, min(batch_size, start + count - first))

    def pydataset(self, start: int, count: int, *, batch_size: int = 32, **kwargs):
        """A `keras.utils.PyDataset` of `(clips, labels)` for `fit`, `evaluate` and `predict`.

        Args:
            start: First clip.
            count: Number of clips.
            batch_size: Clips per batch.
            **kwargs: Passed to `PyDataset`, such as `workers`.
        """
        import keras

        start, count = whole(start, "start"), whole(count, "count", 1)
        batch_size = whole(batch_size, "batch_size", 1)
        world = self

        class Batches(keras.utils.PyDataset):
            def __len__(self) -> int:
                return -(-count // batch_size)

            def __getitem__(self, index: int):
                if not 0 <= index < len(self):
                    raise IndexError(f"Expected a batch below {len(self)}. Received: {index}.")
                first = start + index * batch_size
                batch = world.batch(first, min(batch_size, start + count - first))
                return batch.clips, batch.labels

        return Batches(**kwargs)

    def _clip(self, index: int, label: int):
        rng = np.random.default_rng([_SETTINGS_STREAM, self.seed, index])
        canvas = np.repeat(self._background(rng)[None], self.frames, axis=0)
        for _ in range(self.distractors):
            event = int(rng.integers(len(CLASSES)))
            self._draw_object(canvas, rng, event, _DISTRACTOR_HUES, _DISTRACTOR_BRIGHTNESS)
        mask, window = self._draw_object(canvas, rng, label, _EVIDENCE_HUES, _EVIDENCE_BRIGHTNESS)
        return np.clip(canvas, 0, 1), mask, window

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Wrapping noise with a natural (1/f) spectrum, muted, around a random dark grey."""
        height, width = self.size
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        spectrum = np.fft.rfft2(rng.standard_normal((3, height, width)))
        spectrum /= np.maximum(frequency, 1 / max(height, width))
        texture = np.fft.irfft2(spectrum, s=(height, width))
        texture -= texture.mean(axis=(1, 2), keepdims=True)
        texture /= texture.std()
        grey = texture.mean(axis=0, keepdims=True)
        muted = 0.5 * grey + 0.5 * texture
        return (rng.uniform(0.3, 0.5) + 0.1 * muted).transpose(1, 2, 0).astype(np.float32)

    def _draw_object(self, canvas, rng: np.random.Generator, event: int, hues, brightness):
        """Draws one object in every frame; returns its mask within its window, and the window."""
        side = min(self.size)
        radius = rng.uniform(*_RADIUS) * side
        length = int(rng.integers(*np.round(np.multiply(_WINDOW, self.frames)) + [0, 1]))
        first = int(rng.integers(0, self.frames - length + 1))
        # A window of L frames holds L - 1 steps between frames; the object stands still elsewhere.
        progress = np.clip(np.arange(self.frames) - first, 0, length - 1)
        rows, columns, angles = self._path(rng, event, progress, length - 1)
        tones = _two_tones(rng, hues, brightness)
        stamp = self._stamp(rng)
        mask = np.zeros(canvas.shape[:3], bool)
        mask[stamp(canvas, rows, columns, radius, angles, tones)] = True
        mask[:first] = mask[first + length :] = False
        return mask, (first, first + length)

    def _stamp(self, rng: np.random.Generator) -> Callable:
        """What draws one object into a clip, as `_stamp_disc`; other worlds have other objects."""
        return _stamp_disc

    def _path(self, rng: np.random.Generator, event: int, progress: np.ndarray, steps: int):
        """Row, column and orientation of a disc in every frame, before wrapping around."""
        height, width = self.size
        side, pace = min(self.size), _REFERENCE_FRAMES / self.frames
        row, column = rng.uniform(0, height), rng.uniform(0, width)
        angle = rng.uniform(0, 2 * np.pi)
        speed = rng.uniform(*_SPEED) * side * pace
        turn = rng.uniform(*_TURN) * pace
        orbit, phase = rng.uniform(*_ORBIT_RADIUS) * side, rng.uniform(0, 2 * np.pi)
        rows = np.full(len(progress), row)
        columns = np.full(len(progress), column)
        angles = np.full(len(progress), angle)
        there_and_back = steps / 2 - np.abs(progress - steps / 2)
        # Rows grow downwards, so growing angles turn clockwise on the screen.
        match CLASSES[event]:
            case "moving left":
                columns = columns - speed * progress
            case "moving right":
                columns = columns + speed * progress
            case "moving up":
                rows = rows - speed * progress
            case "moving down":
                rows = rows + speed * progress
            case "rotating clockwise":
                angles = angles + turn * progress
            case "rotating counterclockwise":
                angles = angles - turn * progress
            case "orbiting clockwise":
                rows = rows + orbit * np.sin(phase + turn * progress)
                columns = columns + orbit * np.cos(phase + turn * progress)
            case "orbiting counterclockwise":
                rows = rows + orbit * np.sin(phase - turn * progress)
                columns = columns + orbit * np.cos(phase - turn * progress)
            case "left then right":
                columns = columns - speed * there_and_back
            case "right then left":
                columns = columns + speed * there_and_back
        return rows, columns, angles


@dataclass(frozen=True)
class DriftingGabor:
    """A wave that drifts, or flickers on the spot, in a Gaussian window in the clip's centre.

    At `(x, y)` pixels right of and below the centre and `t` frames after the middle of the clip,
    with `u = x cos(direction) - y sin(direction)`, the wave is
    `cos(2 pi (spatial_frequency * u - temporal_frequency * t) + phase)`. One that flickers is
    `cos(2 pi spatial_frequency * u + phase) * cos(2 pi temporal_frequency * t)`, which is two such
    waves that drift against each other. Two phases a quarter apart make the pair of filters of a
    motion energy unit (Adelson and Bergen 1985, https://doi.org/10.1364/JOSAA.2.000284).

    Attributes:
        direction: Where it drifts, degrees: 0 is right, 90 up, 180 left, 270 down.
        spatial_frequency: Cycles per pixel, above 0 and up to 0.5.
        temporal_frequency: Cycles per frame, from 0 (static) to 0.5.
        phase: Degrees, in the centre of the clip.
        flicker: Whether it flickers on the spot instead of drifting.
        colour: What the wave adds to grey at its crest, relative to its largest value: `(1, 1, 1)`
            is light and dark, `(1, -1, 0)` red and green.
        width: Standard deviation of the window in pixels; None fills the clip.
        duration: Standard deviation of the window in frames; None fills the clip.

    Raises:
        ValueError: A frequency, colour or window outside these ranges.

    Example:
        >>> from c3dvis.motion import DriftingGabor
        >>> up = DriftingGabor(direction=90, spatial_frequency=0.1, temporal_frequency=0.2)
        >>> up.speed
        2.0
        >>> up.clip(frames=16, size=(32, 32)).shape
        (16, 32, 32, 3)
    """

    direction: float = 0.0
    spatial_frequency: float = 0.125
    temporal_frequency: float = 0.125
    phase: float = 0.0
    flicker: bool = False
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    width: float | None = None
    duration: float | None = None

    def __post_init__(self):
        if not (are_numbers(self.spatial_frequency) and 0 < self.spatial_frequency <= 0.5):
            raise ValueError(
                "Expected a spatial frequency above 0 and up to 0.5 cycles per pixel. "
                f"Received: {self.spatial_frequency!r}."
            )
        if not (are_numbers(self.temporal_frequency) and 0 <= self.temporal_frequency <= 0.5):
            raise ValueError(
                "Expected a temporal frequency from 0 to 0.5 cycles per frame. "
                f"Received: {self.temporal_frequency!r}."
            )
        if not are_numbers(self.direction, self.phase):
            raise ValueError(
                "Expected a finite direction and phase in degrees. "
                f"Received: direction={self.direction!r}, phase={self.phase!r}."
            )
        colour = as_numbers(self.colour)
        if not (len(colour) == 3 and any(colour)):
            raise ValueError(
                f"Expected a colour of three numbers, not all 0. Received: {self.colour!r}."
            )
        for name, window in (("width", self.width), ("duration", self.duration)):
            if window is not None:
                positive(window, f"{name}, if it is not None,")

    @property
    def speed(self) -> float:
        """Pixels per frame: temporal over spatial frequency."""
        return self.temporal_frequency / self.spatial_frequency

    def wave(self, *, frames: int, size: tuple[int, int]) -> np.ndarray:
        """The windowed wave without its colour, float32 `(T, H, W)` in [-1, 1].

        Args:
            frames: Frames of the clip.
            size: `(height, width)` in pixels.
        """
        shape = whole(frames, "frames", 1), *_size(size, 1)
        t, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
        angle = math.radians(self.direction)
        along = 2 * np.pi * self.spatial_frequency * (x * math.cos(angle) - y * math.sin(angle))
        along += math.radians(self.phase)
        passed = 2 * np.pi * self.temporal_frequency * t
        wave = np.cos(along) * np.cos(passed) if self.flicker else np.cos(along - passed)
        if self.width is not None:
            wave *= np.exp(-(x**2 + y**2) / (2 * self.width**2))
        if self.duration is not None:
            wave *= np.exp(-(t**2) / (2 * self.duration**2))
        return wave.astype(np.float32)

    def clip(self, *, frames: int, size: tuple[int, int]) -> np.ndarray:
        """The wave in its colour around grey, float32 `(T, H, W, 3)` in [0, 1]."""
        colour = np.array(self.colour, np.float32)
        colour /= np.abs(colour).max()
        return 0.5 + 0.5 * self.wave(frames=frames, size=size)[..., None] * colour


def _size(size: Any, least: int) -> tuple[int, int]:
    """Height and width as two whole numbers from `least`, or a ValueError."""
    sides = as_numbers(size)
    if len(sides) != 2 or any(side < least or not side.is_integer() for side in sides):
        raise ValueError(
            f"Expected size=(height, width), whole numbers from {least}. Received: {size!r}."
        )
    return int(sides[0]), int(sides[1])


def _two_tones(rng: np.random.Generator, hues, brightness) -> np.ndarray:
    """A bright and a dark shade of one hue, float32 `(2, 3)`."""
    hue = rng.uniform(*hues)
    bright, dark = rng.uniform(*brightness), rng.uniform(0.15, 0.3)
    # The usual hexcone from hue to RGB, at full saturation.
    pure = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.stack([bright * (0.15 + 0.85 * pure), dark * pure]).astype(np.float32)


def pixels_around(shape, rows: np.ndarray, columns: np.ndarray, most: int):
    """The pixels around a place in each frame, wrapped around, and how far they are from it.

    Args:
        shape: Shape of the clip, `(T, H, W, C)`.
        rows: Rows of the place, `(T,)`, before wrapping around.
        columns: Likewise.
        most: Pixels to each side.

    Returns:
        Indices of the pixels, frames, rows and columns, each `(T, K, K)`; how far down they are,
        `(T, K, 1)`; how far right, `(T, 1, K)`.

    Example:
        >>> place = np.array([3.5]), np.array([0.0])
        >>> (frames, rows, columns), down, right = pixels_around((1, 8, 8, 3), *place, 1)
        >>> rows[0, :, 0].tolist(), columns[0, 0].tolist(), down[0, :, 0].tolist()
        ([2, 3, 4], [7, 0, 1], [-1.5, -0.5, 0.5])
    """
    reach = np.arange(-most, most + 1)
    row, column = (np.floor(each)[:, None] + reach for each in (rows, columns))
    down, right = (row - rows[:, None])[:, :, None], (column - columns[:, None])[:, None]
    frames = np.arange(shape[0])[:, None, None]
    row, column = row.astype(int)[:, :, None] % shape[1], column.astype(int)[:, None] % shape[2]
    return tuple(np.broadcast_arrays(frames, row, column)), down, right


def _stamp_disc(canvas: np.ndarray, rows, columns, radius, angles, tones: np.ndarray):
    """Draws a two-tone disc, wrapped around; returns the pixels it covers at least half."""
    place, down, right = pixels_around(canvas.shape, rows, columns, int(radius) + 2)
    cover = np.clip(radius + 0.5 - np.hypot(down, right), 0, 1)[..., None].astype(np.float32)
    angles = angles[:, None, None]
    side = np.clip(right * np.cos(angles) + down * np.sin(angles) + 0.5, 0, 1)[..., None]
    colour = tones[1] + (tones[0] - tones[1]) * side.astype(np.float32)
    canvas[place] += cover * (colour - canvas[place])
    return tuple(index[cover[..., 0] >= 0.5] for index in place)
