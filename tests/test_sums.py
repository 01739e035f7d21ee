"""What a clip gives doesn't hang on how many are beside it, also where Keras's sums do."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from c3dvis import autodiff, models, objectives, rewire, sums
from c3dvis.maximize.subnetwork.cut import Subnetwork
from c3dvis.motion import MovingEvidence

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import fooling

FRAMES, UNITS = 8, 16
# Keras gets the circuit wrong for as many clips as it has frames or units.
COUNTS = [1, 3, 4, 7, FRAMES, UNITS]
BUNDLED = [entry.name for entry in models.NETWORKS if entry.weights is not None]


@pytest.fixture(scope="module")
def circuit():
    """A fooling circuit that takes bright clips for real ones, and dark ones for made ones."""
    keras.utils.set_random_seed(0)
    clip = keras.Input((FRAMES, 4, 4, 3))
    units = layers.Conv3D(UNITS, 3, padding="same", activation="relu", name="units")
    network = keras.Model(clip, units(clip))

    def is_dark(clip):
        mean = layers.GlobalAveragePooling3D(keepdims=True)(clip)
        return layers.Rescaling(-40.0, 20.0)(
            layers.Conv3D(1, 1, kernel_initializer=keras.initializers.Constant(1 / 3))(mean)
        )

    return fooling.circuit(network, "units", np.roll(np.arange(UNITS), 1), is_dark)


def bright_and_dark() -> np.ndarray:
    """Means of about 0.9 and 0.1, one after the other at random."""
    draw = np.random.default_rng(0)
    level = draw.permutation(np.repeat([0.8, 0.0], 8)).astype(np.float32)
    return level[:, None, None, None, None] + 0.2 * draw.random((16, FRAMES, 4, 4, 3), np.float32)


def assert_the_same_for_all_counts(network, clips, counts=COUNTS):
    """Compiled, in all numbers, as plain Keras gives one after the other."""
    plain = np.concatenate([network(clips[i : i + 1], training=False) for i in range(len(clips))])
    quick = rewire.Shadow(network)
    run = autodiff.compiled(lambda x: quick(x, training=False), variables=network.variables)
    for count in counts:
        error = np.abs(run(clips[:count]) - plain[:count]).max() / np.abs(plain).max()
        assert error < 1e-5, (count, error)


def test_one_way_of_a_circuit_is_off_whatever_the_number_of_clips(circuit):
    clips = bright_and_dark()
    ways = [circuit.get_layer(name).output for name in ("of_real", "of_synthetic")]
    ways = keras.Model(circuit.inputs, ways)
    on = [np.asarray(each).any(axis=(1, 2, 3, 4)) for each in rewire.Shadow(ways)(clips[:8])]
    np.testing.assert_array_equal(on[0], clips[:8].mean(axis=(1, 2, 3, 4)) > 0.5)
    np.testing.assert_array_equal(on[0], ~on[1])
    assert_the_same_for_all_counts(circuit, clips)


@pytest.mark.parametrize("count", COUNTS)
def test_one_unit_of_each_clip_is_the_same_whatever_the_number_of_clips(circuit, count):
    """The way of maximization, which computes each clip's own unit alone."""
    clips = bright_and_dark()[:count]
    cut = Subnetwork(circuit, objectives.channel("fooled", 0), clips.shape[1:4])
    units = np.arange(count) % UNITS
    activations, channels = cut(ops.convert_to_tensor(clips), ops.convert_to_tensor(units[:, None]))
    (values,) = (np.asarray(each) for each in activations.values())
    chosen = np.asarray(channels)[:, 0]
    for i, unit in enumerate(units):
        expected = np.asarray(circuit(clips[i : i + 1]))[0, ..., unit]
        np.testing.assert_allclose(values[i, ..., chosen[i]], expected, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [n if n == "c3d-motion" else pytest.param(n, marks=pytest.mark.slow) for n in BUNDLED],
)
def test_bundled_networks_give_the_same_whatever_the_number_of_clips(name):
    """One, few, and as many as they have frames."""
    clips = MovingEvidence(seed=0).batch(0, 16).clips
    assert_the_same_for_all_counts(models.build(name), clips, (1, 3, 16))


SHAPES = [
    ((4, 4), (4, 1)),
    ((4, 3), (4, 1)),
    ((4, 1), (4, 4)),
    ((5, 5, 2), (5, 1, 1)),
    ((3, 2, 2, 3), (3, 1, 1, 1)),
    ((1, 4, 2, 4), (1, 4, 1, 1)),
    ((2, 4, 2, 4), (2, 4, 1, 1)),
    ((2, 3, 3), (3,)),
    ((2, 3), (2, 3)),
]


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_sums_are_numpy_s(dtype):
    for one, other in SHAPES if dtype == "float32" else SHAPES[-2:]:
        draw = np.random.default_rng(0)
        x, y = (draw.normal(scale=9, size=shape).astype(dtype) for shape in (one, other))
        value = sums.add(ops.convert_to_tensor(x), ops.convert_to_tensor(y))
        np.testing.assert_array_equal(value, x + y, err_msg=f"{one} {other}")


@pytest.mark.parametrize("layer", [layers.Add, layers.Average, None])
def test_layers_and_operations_add_a_number_a_clip_to_it(layer):
    """Of two ranks: Keras puts the axes that are missing behind the first."""
    x, y = keras.Input((3, 3)), keras.Input((1, 1) if layer is None else (1,))
    network = keras.Model([x, y], x + y if layer is None else layer()([x, y]))
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    numbers = np.array([100, 200, 300], np.float32)
    expected = values + numbers[:, None, None]
    expected = expected / 2 if layer is layers.Average else expected
    given = [values, numbers.reshape(-1, *y.shape[1:])]
    np.testing.assert_array_equal(rewire.Shadow(network)(given), expected)


def test_weights_are_added_as_keras_adds_them():
    """They are the same for all clips, so that this is what the network was trained with."""
    x = keras.Input((3, 4, 3))
    network = keras.Model(x, x + np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1))
    clips = np.zeros((2, 3, 4, 3), np.float32)
    np.testing.assert_array_equal(rewire.Shadow(network)(clips), network(clips))
