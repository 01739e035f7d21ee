"""Units that answer to one thing and units that answer to any of several, and clips to tell by."""

from collections.abc import Iterator

import keras
import numpy as np
import planted_networks
from planted_networks import BLUE_YELLOW, FRAMES, RED_GREEN, SIZE, SPEEDS

from c3dvis.motion import DriftingGabor
from c3dvis.responses.unit_responses import UnitResponses

SINGLE, ANY, EITHER = "energy", "any", "either"
# Of how many unrelated things a unit of the layer "any" answers to each.
PARTS = 6


def waves() -> dict[str, DriftingGabor]:
    """Eight directions of three speeds in light and dark, and four of two colour oppositions."""
    waves = {}
    for speed in SPEEDS:
        waves |= planted_networks._waves(speed, range(0, 360, 45))
    for colour, name in ((RED_GREEN, "red-green"), (BLUE_YELLOW, "blue-yellow")):
        waves |= planted_networks._coloured(colour, name)
    return waves


def network(*, mixtures: int = 32, seed: int = 0) -> keras.Model:
    """A network of three layers of units, whose parts are drawn at random.

    "energy" holds units of motion energy, of one wave each. A unit of "any" gives the greatest of
    six of these: more of any excites it. One of "either" is excited by one pair or another, such as
    red with left or blue with right, `max(0, (a - b) * (c - d))`, so that nothing alone does.
    Parts are scaled to the same deviation over clips.
    """
    single = planted_networks.energy("all", waves()).network
    spread = UnitResponses(single, SINGLE)(clips(128, seed=seed + 1_000)).std(axis=0)
    energy = single.get_layer(SINGLE).output
    rng = np.random.default_rng(seed)
    parts = np.stack([rng.permutation(len(spread))[:PARTS] for _ in range(mixtures)])

    def mixed(name: str, signs: dict[int, int]):
        layer = keras.layers.Conv3D(mixtures, 1, use_bias=False, name=name)
        weighted = layer(energy)
        weights = np.zeros((1, 1, 1, len(spread), mixtures), np.float32)
        for part, sign in signs.items():
            chosen = parts[:, part]
            weights[..., chosen, np.arange(mixtures)] = sign / spread[chosen]
        layer.set_weights([weights])
        return weighted

    each = [mixed(f"part_{part}", {part: 1}) for part in range(PARTS)]
    differences = [mixed("first", {0: 1, 1: -1}), mixed("second", {2: 1, 3: -1})]
    either = keras.layers.ReLU(name=EITHER)(keras.layers.Multiply(name="both")(differences))
    return keras.Model(single.inputs, [keras.layers.Maximum(name=ANY)(each), either])


def clips(count: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """A texture of a random colour and scale that drifts before another that stands still.

    Directions, speeds (0.3 to 4 pixels a frame), scales (0.08 to 0.25 cycles a pixel) and colours
    are drawn at random, so that no clip is the wave of a planted unit. Contrasts are equal: else
    contrast alone would excite all units.
    """
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        angle, speed = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(0.3), np.log(4)))
        moving = _texture(rng, np.exp(rng.uniform(np.log(0.08), np.log(0.25))))
        standing = _texture(rng, None)
        shift = speed * np.cos(angle), -speed * np.sin(angle)
        clip = 0.5 + 0.1 * _drifting(standing, (0.0, 0.0))[..., None] * rng.uniform(0, 1, 3)
        colour = _colour(rng)
        clip += 0.2 * _drifting(moving, shift)[..., None] * colour
        yield np.clip(clip, 0, 1).astype(np.float32)


def _colour(rng) -> np.ndarray:
    """Light and dark, red and green, blue and yellow, or any."""
    pure = ((1, 1, 1), (1, 1, 1), RED_GREEN, BLUE_YELLOW, rng.uniform(-1, 1, 3))
    chosen = np.array(pure[rng.integers(len(pure))], np.float64)
    return chosen / np.abs(chosen).max()


def _texture(rng, scale: float | None) -> np.ndarray:
    """The spectrum of noise of one scale, or of all as in photographs, of variance 1."""
    height, width = SIZE
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    frequency = np.hypot(fy, fx)
    safe = np.where(frequency > 0, frequency, 1)
    amplitude = 1 / safe if scale is None else np.exp(-(np.log2(safe / scale) ** 2))
    spectrum = np.fft.fft2(rng.standard_normal(SIZE)) * np.where(frequency > 0, amplitude, 0)
    return spectrum / np.fft.ifft2(spectrum).real.std()


def _drifting(spectrum: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """`(T, H, W)`: the texture moved by pixels right and down each frame, around the border."""
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in SIZE), indexing="ij")
    time = np.arange(FRAMES)[:, None, None]
    return np.fft.ifft2(
        spectrum * np.exp(-2j * np.pi * time * (fx * shift[0] + fy * shift[1]))
    ).real
