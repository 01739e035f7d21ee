"""Filters, neurons and classes have their own defaults, and what is asked for goes before them."""

import keras
import numpy as np
from keras import layers

from c3dvis import objectives
from c3dvis.maximize import Maximizer, defaults, parametrizations, transforms

SHAPE = (4, 16, 16, 3)


def network() -> keras.Model:
    clip = keras.Input(SHAPE)
    x = layers.Conv3D(4, 3, activation="relu", name="conv")(clip)
    x = layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, layers.Dense(3, activation="softmax", name="classes")(x))


def taken(maximizer: Maximizer) -> dict:
    """What a maximizer has taken."""
    (scale,) = (t for t in maximizer.transforms if isinstance(t, transforms.Scale))
    waves = maximizer.parametrization
    return {
        "sizes": (scale.smallest, scale.largest),
        "weight_decay": maximizer.optimizer.weight_decay,
        "spatial_exponent": waves.spatial_exponent,
        "temporal_exponent": waves.temporal_exponent,
        "colours": waves.colours,
    }


def told(usual: defaults.Defaults) -> dict:
    own = {name: getattr(usual, name) for name in ("sizes", "weight_decay", "colours")}
    return {**own, **usual.fourier}


def shift(maximizer: Maximizer) -> tuple[int, int]:
    """Most frames and pixels by which clips are moved."""
    (jitter,) = (t for t in maximizer.transforms if isinstance(t, transforms.Jitter))
    (later,) = (t for t in maximizer.transforms if isinstance(t, transforms.TemporalJitter))
    return later.frames, jitter.pixels // 2


def test_classes_filters_and_neurons_have_defaults_of_their_own():
    built = network()
    classes = objectives.logit([0, 1]) + objectives.log_odds([0, 1])
    assert taken(Maximizer(built, classes)) == told(defaults.CLASSES)
    channels, neurons = (kind("conv", [0, 1]) for kind in (objectives.channel, objectives.neuron))
    assert taken(Maximizer(built, channels)) == told(defaults.FILTERS)
    assert taken(Maximizer(built, neurons)) == told(defaults.NEURONS)
    toward = objectives.direction_neuron("conv", np.eye(4)[:1])
    assert taken(Maximizer(built, toward)) == told(defaults.NEURONS)
    both = objectives.logit(0) + objectives.channel("conv", 0)
    assert taken(Maximizer(built, both)) == told(defaults.FILTERS)
    mixed = objectives.neuron("conv", 0) - 0.1 * objectives.channel("conv", 1)
    assert taken(Maximizer(built, mixed)) == told(defaults.FILTERS)
    kinds = (told(one) for one in (defaults.CLASSES, defaults.FILTERS, defaults.NEURONS))
    assert len({str(kind) for kind in kinds}) == 3


def test_a_neuron_is_not_moved_off_its_place():
    clip = keras.Input((16, 64, 64, 3))
    early = layers.Conv3D(2, 3, padding="same", name="early")(clip)
    late = layers.Conv3D(2, 3, strides=(4, 16, 16), padding="same", name="late")(early)
    built = keras.Model(clip, layers.GlobalAveragePooling3D()(late))
    assert shift(Maximizer(built, objectives.channel("early", 0))) == (1, 4)
    assert shift(Maximizer(built, objectives.neuron("early", 0))) == (0, 1)
    assert shift(Maximizer(built, objectives.neuron("late", 0))) == (0, 4)
    small = keras.Input((4, 8, 8, 3))
    built = keras.Model(small, layers.Conv3D(2, 3, name="conv")(small))
    assert shift(Maximizer(built, objectives.neuron("conv", 0))) == (0, 0)


def test_what_is_asked_for_goes_before_the_defaults():
    maximizer = Maximizer(
        network(),
        objectives.logit([0, 1]),
        parametrization=parametrizations.Fourier(spatial_exponent=2.0),
        transforms=[transforms.Scale(0.5, 2.0)],
        optimizer=keras.optimizers.Adam(weight_decay=0.1),
    )
    waves = {"spatial_exponent": 2.0, "temporal_exponent": 1.25, "colours": "decorrelated"}
    assert taken(maximizer) == {"sizes": (0.5, 2.0), "weight_decay": 0.1, **waves}
    channels = objectives.channel("conv", [0, 1])
    for asked in ({"colours": "grey"}, {"colours": "grey", "parametrization": "pixels"}):
        assert Maximizer(network(), channels, **asked).parametrization.colours == "grey"
    pixels = Maximizer(network(), channels, parametrization="pixels")
    assert pixels.parametrization.colours == defaults.FILTERS.colours
