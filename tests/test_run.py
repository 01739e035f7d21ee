"""Batches that memory does not hold are halved; the batch size is chosen."""

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, memory, objectives
from c3dvis.maximize import Maximizer, maximize, parametrizations
from c3dvis.maximize.subnetwork import Subnetwork, batch_size

SHAPE = (4, 12, 12, 3)


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


@keras.saving.register_keras_serializable(package="tests")
class Hungry(keras.layers.Layer):
    """Has no memory for more than some clips at once."""

    most = 2

    def call(self, clips):
        if clips.shape[0] is not None and clips.shape[0] > self.most:
            raise ResourceExhaustedError("OOM when allocating tensor")
        return clips


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    clip = keras.layers.Input(SHAPE)
    x = keras.layers.Conv3D(5, 3, activation="relu", name="conv")(Hungry()(clip))
    return keras.Model(clip, x)


def test_a_batch_that_memory_does_not_hold_is_halved(network):
    objective = objectives.channel("conv", range(5))
    with_room = maximize(network, objective, steps=2, batch_size=2)
    maximizer = Maximizer(network, objective, batch_size=5)
    np.testing.assert_array_equal([m.clip for m in maximizer.make(steps=2)], with_room)
    again = list(maximizer.make(objective[3], steps=2))  # the smaller one is used at once
    np.testing.assert_array_equal(again[0].clip, with_room[3])


@pytest.mark.parametrize("method", ["restart", "build"])
def test_memory_may_run_out_before_the_first_step(network, monkeypatch, method):
    """`restart` fills the weights of the clips; `build` makes them, in the constructor."""
    objective, inner = (
        objectives.channel("conv", range(5)),
        getattr(parametrizations.Pixels, method),
    )

    def hungry(self, given):
        clips = len(given) if method == "restart" else given[0]
        if clips > 2:
            raise ResourceExhaustedError("OOM when allocating tensor")
        return inner(self, given)

    options = {"steps": 2, "parametrization": "pixels"}
    with_room = maximize(network, objective, batch_size=2, **options)
    monkeypatch.setattr(parametrizations.Pixels, method, hungry)
    np.testing.assert_array_equal(maximize(network, objective, batch_size=5, **options), with_room)


def test_a_smaller_batch_leaves_no_weights_of_the_larger_one(network):
    objective = objectives.channel("conv", range(4))
    halved, small = (
        Maximizer(network, objective, batch_size=size, parametrization="alpha") for size in (4, 2)
    )
    halved.allocate(2)
    shapes = [[tuple(v.shape) for v in maximizer.variables] for maximizer in (halved, small)]
    assert halved.batch_size == 2 and sorted(shapes[0]) == sorted(shapes[1])


def test_memory_for_not_even_one_clip_is_told_with_advice(network, monkeypatch):
    monkeypatch.setattr(Hungry, "most", 0)
    with pytest.raises(MemoryError, match=r"1 clips of shape \(4, 12, 12, 3\).*size="):
        maximize(network, objectives.channel("conv", range(5)), steps=2)


def test_other_errors_are_not_taken_for_it(network, monkeypatch):
    def broken(self, clips):
        if clips.shape[0] is not None:
            raise RuntimeError("something else")
        return clips

    monkeypatch.setattr(Hungry, "call", broken)
    with pytest.raises(RuntimeError, match="something else"):
        maximize(network, objectives.channel("conv", [0, 1]), steps=2)


class XlaRuntimeError(RuntimeError):
    """As JAX names it."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ResourceExhaustedError("OOM"), True),
        (XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), True),
        (XlaRuntimeError("INVALID_ARGUMENT"), False),
        (MemoryError(), True),
        (ValueError("RESOURCE_EXHAUSTED"), False),
    ],
)
def test_out_of_memory_is_known_by_name(error, expected):
    assert memory.is_out_of_memory(error) is expected


def test_tensorflow_s_own_error_is_known():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the error is TensorFlow's, and another backend runs")
    from tensorflow.errors import ResourceExhaustedError

    assert memory.is_out_of_memory(ResourceExhaustedError(None, None, "OOM"))


def big(recurrent=False):
    clip = keras.layers.Input((8, 64, 64, 3))
    x = keras.layers.Conv3D(4, 3, padding="same", name="conv")(clip)
    if recurrent:
        x = keras.layers.ConvLSTM2D(4, 3, return_sequences=True, name="lstm")(x)
    return keras.Model(clip, x)


def chosen(network, objective):
    return batch_size.choose_batch_size(Subnetwork(network, objective, (8, 64, 64)), (8, 64, 64, 3))


def test_small_work_and_loops_are_done_in_larger_batches(monkeypatch):
    monkeypatch.setattr(autodiff, "gpu_count", lambda: 0)
    monkeypatch.setattr(batch_size, "free_memory", lambda: 2**40)
    assert chosen(big(), objectives.channel("conv", 0)) == 5
    assert chosen(big(), objectives.neuron("conv", 0)) == 16
    assert chosen(big(recurrent=True), objectives.channel("lstm", 0)) == 16


def test_a_small_memory_makes_small_batches(monkeypatch):
    monkeypatch.setattr(autodiff, "gpu_count", lambda: 0)
    objective = objectives.channel("conv", 0)
    # Clip and activations: 8 * 64 * 64 positions of 3 + 3 + 4 float32 numbers, each four times.
    clip = 8 * 64 * 64 * 10 * 4 * 4
    monkeypatch.setattr(batch_size, "free_memory", lambda: 2 * 2 * clip)
    assert chosen(big(), objective) == 2
    monkeypatch.setattr(batch_size, "free_memory", lambda: 1)
    assert chosen(big(), objective) == 1
    monkeypatch.setattr(batch_size, "free_memory", lambda: None)
    assert chosen(big(), objective) == 5


def test_free_memory_is_a_plausible_number():
    free = batch_size.free_memory()
    assert free is None or 2**20 < free < 2**50


def test_one_trace_for_any_number_of_steps():
    network = big()
    maximizer = Maximizer(
        network,
        objectives.channel("conv", range(2)),
        steps_per_execution=4,
        parametrization="pixels",
    )
    seen = []

    def count(step, logs):
        seen.append(int(maximizer.optimizer.iterations))

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=count)
    for steps in (1, 4, 6):
        list(maximizer.make(steps=steps, callbacks=[watch]))
        assert int(maximizer.optimizer.iterations) == steps
    assert maximizer.traces == 1
    assert seen == [1, 4, 4, 6]
    with pytest.raises(ValueError, match="steps_per_execution to be a whole number from 1"):
        Maximizer(network, objectives.channel("conv", 0), steps_per_execution=0)


def test_steps_in_one_execution_are_the_same_steps():
    network, objective = big(), objectives.channel("conv", [1])
    each = [maximize(network, objective, steps=5, steps_per_execution=n) for n in (1, 3)]
    np.testing.assert_allclose(*each, atol=1e-5)
    assert ops.any(each[0] != 0.5)
