"""Maximization: clips rise, agree whatever the batching, and trouble is told."""

import copy
import pickle

import keras
import numpy as np
import pytest
from brightness_network import brightness_network
from keras import ops
from same_bits import assert_same

from c3dvis import objectives
from c3dvis.attribution import attribute
from c3dvis.maximize import Maximizer, maximize, scores
from c3dvis.maximize.regularizers import TotalVariation
from c3dvis.maximize.transforms import Jitter

SHAPE = (8, 16, 20, 3)


def small_network(shape=SHAPE, *, activation="softmax") -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    clip = layers.Input(shape)
    x = layers.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(clip)
    x = layers.MaxPooling3D(2)(x)
    x = layers.Conv3D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Dense(8, activation="relu", name="fc")(layers.Flatten()(x))
    x = layers.Dense(3, activation=activation, name="classes")(x)
    return keras.Model(clip, x)


@pytest.fixture(scope="module")
def network():
    return small_network()


OBJECTIVES = {
    "channel": objectives.channel("conv2", range(3)),
    "neuron": objectives.neuron("conv1", range(3)),
    "logit": objectives.logit(range(3)),
    "sum": objectives.logit(range(3)) + 2 * objectives.channel("conv1", 0),
}


def test_the_score_is_that_of_the_clip(network):
    objective = OBJECTIVES["channel"]
    results = list(Maximizer(network, objective).make(steps=3))
    again = scores(network, objective, np.stack([one.clip for one in results]))
    np.testing.assert_allclose([one.score for one in results], np.diag(again), rtol=1e-4)


@pytest.mark.parametrize("kind", ["channel", "logit"])
def test_the_same_bits_whatever_the_batching_and_order(network, kind):
    objective = OBJECTIVES[kind]
    maximizer = Maximizer(network, objective, batch_size=4)

    def clips(seed):
        return np.stack([one.clip for one in maximizer.make(steps=5, seed=seed)])

    together = clips(3)
    alone = maximize(network, objective[2], steps=5, seed=3, batch_size=1)
    pairs = maximize(network, objective, steps=5, seed=3, batch_size=2)
    assert_same(together[2], alone[0])
    assert_same(together, pairs)
    assert not np.array_equal(together, clips(4))


def test_one_trace_for_all_filters_of_a_layer(network):
    maximizer = Maximizer(network, objectives.channel("conv2", range(6)), batch_size=2)
    assert len(list(maximizer.make(steps=2))) == 6
    assert len(list(maximizer.make(objectives.channel("conv2", [5, 1]), steps=4))) == 2
    assert maximizer.traces == 1


def test_logits_are_read_before_the_softmax(network):
    clips = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    got = scores(network, objectives.logit(range(3)), clips)
    np.testing.assert_allclose(ops.softmax(got), network.predict(clips, verbose=0), rtol=1e-4)
    assert network.get_layer("classes").activation is keras.activations.softmax


@pytest.mark.parametrize("last", [keras.layers.Softmax, lambda: keras.layers.Activation("softmax")])
def test_logits_before_a_softmax_layer(last):
    linear = small_network(activation=None)
    network = keras.Model(linear.inputs, last()(linear.output))
    clips = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    got = scores(network, objectives.logit(range(3)), clips)
    np.testing.assert_allclose(got, linear.predict(clips, verbose=0), rtol=1e-5)


def test_the_network_is_left_as_it_was(network):
    before = [np.array(w) for w in network.get_weights()]
    flags = [layer.trainable for layer in network.layers]
    maximize(network, OBJECTIVES["sum"], steps=3)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [layer.trainable for layer in network.layers] == flags
    assert len(network.trainable_weights) == len(before)


def test_a_dead_filter_is_told():
    network = small_network()
    kernel, bias = network.get_layer("conv2").get_weights()
    kernel[..., 1], bias[1] = 0, -1
    network.get_layer("conv2").set_weights([kernel, bias])
    results = list(Maximizer(network, objectives.channel("conv2", [0, 1])).make(steps=3))
    assert [one.status for one in results] == ["ok", "no gradient"]


def test_nan_stops_one_clip_and_not_the_others():
    network = brightness_network((9, -9), breaks_above=0.6)
    objective = objectives.channel("out", [0, 1])
    options = {"parametrization": "pixels", "transforms": []}
    broken, sound = Maximizer(network, objective, **options).make(steps=40)
    assert broken.status == "failed" and 0 < broken.failed_step < 40
    assert np.isfinite(broken.clip).all() and np.isfinite(broken.score)
    assert sound.status == "ok" and np.isfinite(sound.score)
    alone = next(Maximizer(network, objective[1], **options).make(steps=40))
    np.testing.assert_array_equal(sound.clip, alone.clip)


def test_temporal_variation_slows_a_clip(network):
    def change(weight):
        still = [TotalVariation(temporal=weight)]
        clips = maximize(network, OBJECTIVES["channel"], steps=30, regularizers=still)
        return np.abs(np.diff(clips, axis=1)).mean()

    assert change(10.0) < 0.5 * change(0.0)


def test_a_network_of_any_size_needs_a_size():
    network = keras.Sequential(
        [keras.layers.Input((None, None, None, 1)), keras.layers.Conv3D(2, 3, name="conv")]
    )
    objective = objectives.channel("conv", [0, 1])
    clips = maximize(network, objective, frames=4, size=(8, 10), steps=2)
    assert clips.shape == (2, 4, 8, 10, 1)
    with pytest.raises(ValueError, match="a number for frames"):
        maximize(network, objective, size=(8, 10))


def test_preprocess_gives_the_network_its_own_range(network):
    objective = OBJECTIVES["channel"]
    clips = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    got = scores(network, objective, clips, preprocess=lambda x: x / 2 + 0.5)
    np.testing.assert_allclose(got, scores(network, objective, clips / 2 + 0.5), rtol=1e-5)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (np.zeros(SHAPE, np.float32), "N, T, H, W, C"),
        (np.zeros((1, *SHAPE), np.uint8), "uint8"),
        (np.full((1, *SHAPE), 255.0), "values from 255.0"),
        (np.full((1, *SHAPE), np.nan), "values from nan"),
        ([], "at least one batch"),
    ],
)
def test_scores_of_wrong_clips_are_refused(network, clips, message):
    with pytest.raises(ValueError, match=message):
        scores(network, OBJECTIVES["channel"], clips)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (16, 16)}, "width 20.*Received: 16"),
        ({"frames": 9}, "frames 8.*Received: 9"),
        ({"batch_size": 0}, "batch_size to be a whole number from 1. Received: 0"),
        ({"batch_size": 2.5}, "whole number from 1. Received: 2.5"),
        ({"steps_per_execution": "8"}, "steps_per_execution.*Received: '8'"),
        (
            {"transforms": Jitter(4)},
            "a list of layers.*Received: <Jitter",
        ),
        ({"transforms": [Jitter]}, "a list of layers.*Received: .<class"),
        ({"regularizers": TotalVariation()}, "a list of regularizers.*Received: TotalVariation"),
        ({"preprocess": "caffe"}, "a function of clips.*Received: 'caffe'"),
        ({"parametrization": "furrier"}, "'fourier'.*Received: 'furrier'"),
        ({"steps": 0}, "1 step or more"),
        ({"seed": -1}, "seed of 0 or more"),
        ({"steps": 1.5}, "whole number of steps"),
        ({"steps": 10**10}, "1,000,000 steps at most"),
        ({"size": 8}, r"\(height, width\), such as \(64, 64\). Received: 8"),
        ({"frames": 2.5}, "frames as a whole number"),
    ],
)
def test_wrong_options_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        maximize(network, OBJECTIVES["channel"], **{"steps": 1, **options})


def test_no_regularizers_may_be_told_as_none(network):
    objective = OBJECTIVES["channel"][0]
    one, other = (maximize(network, objective, steps=1, regularizers=r) for r in (None, ()))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="a function of clips.*Received: 'caffe'"):
        scores(network, objective, np.zeros((1, *SHAPE), "float32"), preprocess="caffe")


def test_unknown_layers_are_refused_with_the_nearest(network):
    with pytest.raises(ValueError, match="'conv1'.*Received: 'conv3'"):
        maximize(network, objectives.channel("conv3", 0))


def test_a_maximizer_refuses_another_kind_of_objective(network):
    maximizer = Maximizer(network, OBJECTIVES["channel"])
    with pytest.raises(ValueError, match="kind"):
        next(maximizer.make(objectives.channel("conv1", 0)))


def test_several_objectives_are_scored_in_one_pass(network):
    clips = np.random.default_rng(0).random((5, *SHAPE), np.float32)
    several = [OBJECTIVES["channel"], OBJECTIVES["sum"], OBJECTIVES["neuron"]]
    together = scores(network, several, [clips[:3], clips[3:]])
    for one, got in zip(several, together, strict=True):
        assert got.shape == (5, len(one))
        np.testing.assert_allclose(got, scores(network, one, clips), rtol=1e-5)


@pytest.mark.slow
def test_a_full_size_c3d():
    from c3dvis import models

    keras.utils.set_random_seed(0)
    full = models.build("c3d", weights=None)
    maximizer = Maximizer(full, objectives.channel("conv3b", 7))
    first = next(maximizer.make(steps=1))
    later = next(maximizer.make(steps=4))
    assert later.clip.shape == (16, 112, 112, 3) and later.score > first.score


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_any_dtype_policy(policy):
    """But float16, in which TensorFlow has no 3-D pools on a CPU."""
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        clips = maximize(small_network(), OBJECTIVES["channel"], steps=2)
    finally:
        keras.config.set_dtype_policy(before)
    assert clips.dtype == np.float32 and np.isfinite(clips).all()


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "ftrl", "sgd"])
def test_any_optimizer_starts_afresh_for_each_group(network, optimizer):
    objective = OBJECTIVES["channel"]
    maximizer = Maximizer(network, objective, batch_size=1, optimizer=optimizer)
    together = [result.clip for result in maximizer.make(steps=3)]
    (alone,) = maximizer.make(objective[2], steps=3)
    assert maximizer.traces == 1
    np.testing.assert_array_equal(together[2], alone.clip)


def test_a_schedule_of_the_learning_rate_begins_anew_with_each_batch(network):
    def clips(steps, rate, **options):
        return maximize(network, OBJECTIVES["channel"], steps=steps, learning_rate=rate, **options)

    ends = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    plain, scheduled = clips(2, 0.1), clips(6, ends)
    np.testing.assert_allclose(scheduled, plain, atol=1e-5)
    np.testing.assert_allclose(clips(6, ends, batch_size=1), plain, atol=1e-5)
    assert np.abs(plain - clips(1, 0.1)).max() > 1e-3


@pytest.mark.parametrize(
    "ask",
    [
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        keras.models.clone_model,
        lambda model: model.save("maximizer.keras"),
        lambda model: model.to_json(),
    ],
    ids=["copy", "deepcopy", "pickle", "clone", "save", "json"],
)
def test_a_maximizer_is_neither_copied_nor_saved(network, tmp_path, monkeypatch, ask):
    monkeypatch.chdir(tmp_path)
    maximizer = Maximizer(network, OBJECTIVES["channel"][0])
    with pytest.raises(ValueError, match="Expected a new Maximizer from the arguments .* Received"):
        ask(maximizer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a check of TensorFlow's")
def test_tensorflow_may_check_all_numbers():
    import tensorflow as tf

    layers = keras.layers
    clip = layers.Input((4, 8, 8, 3))
    x = layers.Conv3D(2, 3, padding="same", name="conv1")(clip)
    x = layers.MaxPooling3D(3, 2, padding="same")(x)
    x = layers.Conv3D(2, 3, padding="same", name="conv2")(x)
    network = keras.Model(clip, layers.Dense(2)(layers.GlobalAveragePooling3D()(x)))
    tf.debugging.enable_check_numerics()
    try:
        optimized = maximize(network, objectives.neuron("conv2", 0), steps=2)
        heatmap = attribute(network, optimized[0], 0, method="freeze", steps=2).heatmap
    finally:
        tf.debugging.disable_check_numerics()
    assert np.isfinite(optimized).all() and np.isfinite(heatmap).all()
