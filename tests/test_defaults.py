"""Filters and classes have defaults of their own, and what is asked for goes before them."""

import keras
from keras import layers

from c3dvis import objectives
from c3dvis.maximize import Maximizer, defaults, parametrizations, transforms

SHAPE = (4, 16, 16, 3)


def network() -> keras.Model:
    clip = keras.Input(SHAPE)
    x = layers.Conv3D(4, 3, activation="relu", name="conv")(clip)
    x = layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, layers.Dense(3, activation="softmax", name="classes")(x))


def taken(maximizer: Maximizer) -> defaults.Defaults:
    """What a maximizer has taken."""
    (scale,) = (t for t in maximizer.transforms if isinstance(t, transforms.Scale))
    return defaults.Defaults(
        (scale.smallest, scale.largest),
        maximizer.optimizer.weight_decay,
        maximizer.parametrization.spatial_exponent,
    )


def test_classes_and_filters_have_defaults_of_their_own():
    built = network()
    classes = objectives.logit([0, 1]) + objectives.log_odds([0, 1])
    assert taken(Maximizer(built, classes)) == defaults.CLASSES
    assert taken(Maximizer(built, objectives.channel("conv", [0, 1]))) == defaults.FILTERS
    both = objectives.logit(0) + objectives.channel("conv", 0)
    assert taken(Maximizer(built, both)) == defaults.FILTERS
    assert defaults.CLASSES != defaults.FILTERS


def test_what_is_asked_for_goes_before_the_defaults():
    maximizer = Maximizer(
        network(),
        objectives.logit([0, 1]),
        parametrization=parametrizations.Fourier(spatial_exponent=2.0),
        transforms=[transforms.Scale(0.5, 2.0)],
        optimizer=keras.optimizers.Adam(weight_decay=0.1),
    )
    assert taken(maximizer) == defaults.Defaults((0.5, 2.0), 0.1, 2.0)
