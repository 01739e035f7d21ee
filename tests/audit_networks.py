"""Clips in which motion, background and looks of a disc all tell the class, and small networks
that were trained to read one of the three: the same features, shown other clips."""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import layers, ops

CLASSES = ("left", "right", "up", "down")
CUES = ("motion", "background", "appearance")
SHAPE = (10, 40, 40, 3)
_STEPS = ((0, -4), (0, 4), (-4, 0), (4, 0))
_SIZE = 9  # of a filter, pixels


def clip(rng: np.random.Generator, motion: int, background: int, appearance: int) -> np.ndarray:
    """A disc that goes in one of four directions before grey stripes of one of four orientations;
    it has red and green stripes of one of four orientations itself."""
    frames, height, width, _ = SHAPE
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grey = 0.4 + 0.12 * _stripes(x, y, background, 5, rng.uniform(0, 6))
    grey += rng.normal(0, 0.01, grey.shape)
    film = np.repeat(np.repeat(grey[None, ..., None], frames, 0), 3, -1).astype(np.float32)
    row, column, phase = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, 6)
    for frame, (dy, dx) in ((t, np.multiply(_STEPS[motion], t)) for t in range(frames)):
        down = (y - row - dy + height / 2) % height - height / 2
        right = (x - column - dx + width / 2) % width - width / 2
        wave = 0.25 * _stripes(right, down, appearance, 3, phase)
        disc = np.stack([0.75 + wave, 0.75 - wave, np.full_like(wave, 0.75)], axis=-1)
        inside = np.hypot(down, right) < 3.5
        film[frame][inside] = disc[inside]
    return np.clip(film, 0, 1)


def agreeing(each: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Clips whose three cues are all of the class, and the classes."""
    labels = np.repeat(np.arange(len(CLASSES)), each)
    rng = np.random.default_rng(seed)
    return np.stack([clip(rng, *[label] * 3) for label in labels]), labels


def train(cue: str, *, count: int = 240) -> keras.Model:
    """A network that was shown clips of which one cue tells the class, the others nothing."""
    features, cues, values = _shown(count)
    readout = layers.Dense(len(CLASSES), activation="softmax", name="readout")
    network = keras.Model(features.input, readout(features.output), name=f"reads-{cue}")
    readout.set_weights(_softmax_regression(values, cues[:, CUES.index(cue)]))
    network.class_names = CLASSES
    return network


@functools.cache
def _shown(count: int) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """The features, the cues of the clips that all networks are shown, and what they give."""
    rng = np.random.default_rng(0)
    cues = rng.integers(0, len(CLASSES), (count, len(CUES)))
    features = _features()
    values = features.predict(np.stack([clip(rng, *row) for row in cues]), verbose=0)
    return features, cues, values


def _stripes(x, y, orientation: int, length: float, phase: float):
    angle = np.pi * orientation / len(CLASSES)
    return np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length + phase)


def _features() -> keras.Model:
    """Mean energies of waves: that drift from a frame to the next, of grey, of red against green"""
    film = keras.Input(SHAPE)
    grey = ops.mean(film, axis=-1, keepdims=True)
    opponent = film[..., :1] - film[..., 1:2]
    pairs = ops.concatenate([grey[:, :-1], grey[:, 1:], opponent[:, 1:]], axis=-1)
    waves = layers.Conv2D(24, _SIZE, strides=2, use_bias=False, activation=ops.square, name="waves")
    energies = layers.GlobalAveragePooling3D()(layers.TimeDistributed(waves)(pairs))
    model = keras.Model(film, energies)
    waves.set_weights([_filters()])
    return model


def _filters() -> np.ndarray:
    """Pairs of filters a quarter wave apart, `(9, 9, 3, 24)`."""
    y, x = np.mgrid[:_SIZE, :_SIZE] - (_SIZE - 1) / 2
    window = np.exp(-(x**2 + y**2) / (2 * 2.5**2))
    filters = []
    for phase in (0, np.pi / 2):
        for dy, dx in _STEPS:
            filters.append([_wave(x, y, dy, dx, phase), _wave(x - dx, y - dy, dy, dx, phase), 0])
        for orientation in range(len(CLASSES)):
            filters.append([0, _stripes(x, y, orientation, 5, phase), 0])
            filters.append([0, 0, _stripes(x, y, orientation, 3, phase)])
    planes = [[window * np.broadcast_to(one, window.shape) for one in each] for each in filters]
    planes = np.array(planes)
    planes -= window * planes.sum(axis=(2, 3), keepdims=True) / window.sum()  # blind to brightness
    return planes.transpose(2, 3, 1, 0).astype(np.float32)


def _wave(x, y, dy: int, dx: int, phase: float):
    return np.cos((x * dx + y * dy) / 4 * 2 * np.pi / 14 + phase)


def _softmax_regression(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Kernel and bias that tell the classes from features, by gradient descent."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    rows = (values - mean) / deviation
    kernel, bias = np.zeros((rows.shape[1], len(CLASSES))), np.zeros(len(CLASSES))
    for _ in range(2000):
        exponents = np.exp(rows @ kernel + bias)
        error = exponents / exponents.sum(axis=1, keepdims=True) - np.eye(len(CLASSES))[labels]
        kernel -= 0.5 * (rows.T @ error / len(rows) + 1e-3 * kernel)
        bias -= 0.5 * error.mean(axis=0)
    kernel = kernel / deviation[:, None]
    return [kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32)]
