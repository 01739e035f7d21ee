"""What tells settings and networks from others."""

import json

import keras
import numpy as np
import pytest

from c3dvis import identity
from c3dvis.maximize.parametrizations import Fourier


def network(*, units=2, activation="relu", seed=0, name=None):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((4, 8, 8, 3))
    x = keras.layers.Conv3D(units, 3, activation=activation)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling3D()(x), name=name)


def scaled(factor):
    return lambda clips: clips * factor


@pytest.mark.parametrize(
    "one, other",
    [
        (Fourier(spatial_exponent=3.0), Fourier(spatial_exponent=0.5)),
        (scaled(2), scaled(3)),
        (lambda clips: clips + 1, lambda clips: clips - 1),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3), np.ones(3)),
        (keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.2)),
        (np.sin, np.cos),
        (1, 2),
        ("a", None),
    ],
)
def test_settings_that_differ_are_described_differently(one, other):
    first, second = (json.dumps(identity.described({"setting": x})) for x in (one, other))
    assert first != second
    assert identity.sha256(one) != identity.sha256(other)


@pytest.mark.parametrize(
    "make",
    [
        Fourier,
        lambda: scaled(2),
        lambda: np.zeros(3),
        lambda: {"size": (1, 2.5, None, float("inf"))},
    ],
)
def test_equal_settings_are_described_alike_and_survive_json(make):
    described = identity.described(make())
    assert described == identity.described(make())
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_an_object_that_cannot_be_told_from_others_is_refused():
    with pytest.raises(ValueError, match="distinguished from others of its class"):
        identity.described({"setting": object()})


def test_weights_and_architecture_are_told_apart():
    first, again, other = network(), network(name="other"), network(seed=1)
    assert identity.weights_sha256(first) == identity.weights_sha256(again)
    assert identity.weights_sha256(first) != identity.weights_sha256(other)
    assert identity.architecture_sha256(first) == identity.architecture_sha256(again)
    tanh = network(activation="tanh")
    assert identity.weights_sha256(first) == identity.weights_sha256(tanh)
    assert identity.architecture_sha256(first) != identity.architecture_sha256(tanh)
