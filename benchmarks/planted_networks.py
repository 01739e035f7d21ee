"""Networks whose best stimulus is known before a clip is made: their filters are drifting Gabors.

Nothing in them is trained. All are of layers that Keras has: convolutions, products, crops, means.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import keras
import numpy as np

from c3dvis import objectives
from c3dvis.motion import DriftingGabor
from c3dvis.objectives import Objective

FRAMES, SIZE = 16, (32, 32)
# Lengths of a filter in frames, rows and columns, and its steps, which reach every pixel.
KERNEL, STRIDES = (12, 16, 16), (2, 4, 4)
# An order of two events needs shorter filters: three positions of them cover half the clip.
SHORT_KERNEL, SHORT_STRIDES = (6, 16, 16), (1, 4, 4)

SPEEDS = {  # spatial and temporal frequency: 0.5, 1.4 and 3.15 pixels a frame
    "slow": (1 / 5, 0.10),
    "medium": (1 / 7, 0.20),
    "fast": (1 / 9, 0.35),
}
# Degrees at which no pixel of these waves is a zero, so that each has a best value.
_PHASE = 8.0
RED_GREEN, BLUE_YELLOW = (1.0, -1.0, 0.0), (-1.0, -1.0, 1.0)
KINDS = (*SPEEDS, "colour", "flicker", *(f"linear {speed}" for speed in SPEEDS), "order")
ORDERS = {"right then left": (0.0, 180.0), "left then right": (180.0, 0.0)}


@dataclass(frozen=True)
class Unit:
    """A unit of a planted network and the clip that excites it most.

    Attributes:
        name: Such as "slow 45".
        kind: Its group in the tables.
        events: The wave that it looks for, or two waves of which the first comes first.
        best: The planted optimum, float32 `(T, H, W, 3)` in [0, 1].
        window: Frames, rows and columns that its filters see.
    """

    name: str
    kind: str
    events: tuple[DriftingGabor, ...]
    best: np.ndarray
    window: tuple[int, int, int]


@dataclass(frozen=True)
class Planted:
    """A network, the objective that asks for its units, and what these look for."""

    network: keras.Model
    objective: Objective
    units: tuple[Unit, ...]


def all_networks() -> list[Planted]:
    """Every planted network, with 52 units in all."""
    return [
        *(energy(speed, _waves(speed, range(0, 360, 45))) for speed in SPEEDS),
        energy("colour", _coloured(RED_GREEN, "red-green") | _coloured(BLUE_YELLOW, "blue-yellow")),
        # Of slow flicker 16 frames show too little to tell its frequency.
        flicker(_waves("medium", (0, 90, 135)) | _waves("fast", (0, 45, 90))),
        *(linear(f"linear {speed}", _waves(speed, (0, 90, 225, 315))) for speed in SPEEDS),
        order(),
    ]


def energy(kind: str, waves: dict[str, DriftingGabor]) -> Planted:
    """Units of motion energy, `x^2 + y^2` of two filters a quarter of a wave apart.

    The mean over all positions weighs the power spectrum of the clip by that of the filters, which
    is greatest at the frequency of their wave: the best clip is that wave all over, in any phase
    (Adelson and Bergen 1985, https://doi.org/10.1364/JOSAA.2.000284).
    """
    clip, power = _energies(waves.values(), KERNEL, STRIDES)
    units = [Unit(name, kind, (one,), square(one), KERNEL) for name, one in waves.items()]
    network = keras.Model(clip, power)
    return Planted(network, objectives.channel("energy", range(len(units))), tuple(units))


def flicker(waves: dict[str, DriftingGabor]) -> Planted:
    """Units that want as much drift one way as the other: the product of two motion energies.

    `sqrt(power one way * power the other)` is at most the mean of the amplitudes squared, and their
    sum is greatest for the wave that flickers on the spot, in which the two are equal.
    """
    ways = [replace(w, direction=w.direction + turn) for w in waves.values() for turn in (0, 180)]
    clip, power = _energies(ways, KERNEL, STRIDES)
    ways_apart = [_select("toward", power, 0), _select("away", power, 1)]
    network = keras.Model(clip, keras.layers.Multiply(name="flicker")(ways_apart))
    units = []
    for name, one in waves.items():
        still = replace(one, flicker=True)
        units.append(Unit(f"flicker {name}", "flicker", (still,), square(still), KERNEL))
    return Planted(network, objectives.channel("flicker", range(len(units))), tuple(units))


def linear(kind: str, waves: dict[str, DriftingGabor]) -> Planted:
    """Plain filters at one position: the best clip is 1 where the filter is positive, else 0.

    What the filter does not reach does not matter; the planted optimum is grey there.
    """
    clip = keras.layers.Input((FRAMES, *SIZE, 3))
    network = keras.Model(clip, _filtered(clip, list(waves.values()), KERNEL, STRIDES))
    units = []
    for name, one in waves.items():
        best = np.full((FRAMES, *SIZE, 3), 0.5, np.float32)
        seen = square(one, frames=KERNEL[0], size=KERNEL[1:])
        best[2:-2, 8:-8, 8:-8] = seen  # the filter at the middle of its 3 x 5 x 5 positions
        units.append(Unit(f"linear {name}", kind, (one,), best, KERNEL))
    return Planted(network, objectives.neuron("filters", range(len(units))), tuple(units))


def order() -> Planted:
    """Classes that are an order: motion energy one way, times that of the other way 8 frames later.

    A filter sees 6 frames at 11 positions. The first 3 meet the last 3, so the product reads the
    first event from frames 0 to 7 and the second from frames 8 to 15.
    """
    delay, speed = FRAMES // 2, "medium"
    right, left = (_waves(speed, [way])[f"{speed} {way}"] for way in (0, 180))
    clip, power = _energies([right, left], SHORT_KERNEL, SHORT_STRIDES)
    early = keras.layers.Cropping3D(((0, delay), 0, 0), name="early")(power)
    late = keras.layers.Cropping3D(((delay, 0), 0, 0), name="late")(power)
    swapped = keras.layers.Conv3D(2, 1, use_bias=False, name="other_way")
    late = swapped(late)
    swapped.set_weights([np.eye(2)[::-1].reshape(1, 1, 1, 2, 2)])
    both = keras.layers.Multiply(name="one_then_the_other")([early, late])
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D(name="orders")(both))
    network.class_names = list(ORDERS)
    units = []
    for name, ways in ORDERS.items():
        events = tuple(replace(right, direction=way) for way in ways)
        best = np.concatenate([square(event, frames=delay) for event in events])
        units.append(Unit(name, "order", events, best, SHORT_KERNEL))
    return Planted(network, objectives.logit(list(ORDERS)), tuple(units))


def square(gabor: DriftingGabor, *, frames: int = FRAMES, size=SIZE) -> np.ndarray:
    """The wave at full contrast, 1 where it is above grey and 0 where it is below.

    What is linear or convex in a clip is greatest where all pixels are at the ends of [0, 1].
    """
    return (0.5 + 0.5 * np.sign(gabor.clip(frames=frames, size=size) - 0.5)).astype(np.float32)


def _waves(speed: str, directions: Iterable[float]) -> dict[str, DriftingGabor]:
    spatial, temporal = SPEEDS[speed]
    return {
        f"{speed} {way}": DriftingGabor(
            float(way), spatial_frequency=spatial, temporal_frequency=temporal, phase=_PHASE
        )
        for way in directions
    }


def _coloured(colour, name: str) -> dict[str, DriftingGabor]:
    waves = _waves("medium", (0, 90, 225, 315))
    return {f"{name} {key}": replace(one, colour=colour) for key, one in waves.items()}


def _energies(waves: Iterable[DriftingGabor], kernel, strides):
    """The clip, and the motion energy of each wave at each position."""
    pairs = [replace(wave, phase=phase) for wave in waves for phase in (0.0, 90.0)]
    clip = keras.layers.Input((FRAMES, *SIZE, 3))
    response = _filtered(clip, pairs, kernel, strides)
    squares = keras.layers.Multiply(name="squares")([response, response])
    return clip, _sum_of("energy", squares, [(2 * i, 2 * i + 1) for i in range(len(pairs) // 2)])


def _filtered(clip, waves: list[DriftingGabor], kernel, strides):
    """Responses of one filter a wave: a Gabor, of norm 1 as the filters of trained networks."""
    centred = keras.layers.Rescaling(2.0, -1.0, name="around_grey")(clip)
    layer = keras.layers.Conv3D(len(waves), kernel, strides, use_bias=False, name="filters")
    response = layer(centred)
    filters = []
    for wave in waves:
        window = replace(wave, width=kernel[1] / 4, duration=kernel[0] / 4)
        gabor = 2 * window.clip(frames=kernel[0], size=kernel[1:]) - 1
        filters.append(gabor / np.linalg.norm(gabor))
    layer.set_weights([np.stack(filters, axis=-1)])
    return response


def _select(name: str, channels, first: int):
    """Every second channel."""
    return _sum_of(name, channels, [(i,) for i in range(first, channels.shape[-1], 2)])


def _sum_of(name: str, channels, groups: list[tuple[int, ...]]):
    """Sums of some channels, position by position."""
    layer = keras.layers.Conv3D(len(groups), 1, use_bias=False, name=name)
    sums = layer(channels)
    weights = np.zeros((1, 1, 1, channels.shape[-1], len(groups)), np.float32)
    for i, group in enumerate(groups):
        weights[..., list(group), i] = 1
    layer.set_weights([weights])
    return sums
