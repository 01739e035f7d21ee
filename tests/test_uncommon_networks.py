"""Networks of uncommon kinds: scores, gradients and maps are those of the network itself."""

from __future__ import annotations

import argparse

import keras
import numpy as np
import pytest
from keras import layers, ops

from c3dvis import autodiff, clips, objectives, responses
from c3dvis.attribution import attribute
from c3dvis.command_line import read_windows
from c3dvis.maximize import maximize
from c3dvis.models import layers as described

SHAPE = (4, 8, 8, 3)
DIFFERENCE = objectives.logit(0) - objectives.logit(1)


def classes(x):
    return layers.Dense(2, activation="softmax", name="classes")(x)


def frames_in_segments():
    """`TimeDistributed` in `TimeDistributed`."""
    segment = keras.Input((2, *SHAPE[1:]))
    frame = keras.Sequential(
        [keras.Input(SHAPE[1:]), layers.Conv2D(3, 3, name="conv"), layers.GlobalAveragePooling2D()],
        name="frame",
    )
    x = layers.GlobalAveragePooling1D()(layers.TimeDistributed(frame, name="inner")(segment))
    model = keras.Model(segment, x, name="segment")
    clip = keras.Input(SHAPE)
    x = layers.TimeDistributed(model, name="outer")(layers.Reshape((2, 2, *SHAPE[1:]))(clip))
    return keras.Model(clip, classes(layers.GlobalAveragePooling1D()(x)))


def encoder_and_decoder():
    """The states of a ConvLSTM are where another begins."""
    clip = keras.Input(SHAPE)
    encoder = layers.ConvLSTM2D(2, 3, padding="same", return_state=True)
    x, *states = encoder(clip)
    x = layers.Concatenate(axis=1)([layers.Reshape((1, *x.shape[1:]))(x)] * 2)
    decoder = layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True)
    x = decoder(x, initial_state=states)
    return keras.Model(clip, classes(layers.GlobalAveragePooling3D()(x)))


def dropout_while_predicting():
    clip = keras.Input(SHAPE)
    x = layers.Conv3D(3, 3, activation="softplus")(clip)
    x = layers.Dropout(0.5)(x, training=True)
    return keras.Model(clip, classes(layers.GlobalAveragePooling3D()(x)))


def without_dropout(network):
    clip = keras.Input(SHAPE)
    x = clip
    for layer in network.layers[1:]:
        x = x if isinstance(layer, layers.Dropout) else layer(x)
    return keras.Model(clip, x)


def masked_frames():
    clip = keras.Input(SHAPE)
    x = layers.TimeDistributed(layers.Flatten())(layers.Conv3D(2, 3, activation="relu")(clip))
    return keras.Model(clip, classes(layers.LSTM(3)(layers.Masking()(x))))


def last_memory():
    """A layer whose output has places and no frames."""
    clip = keras.Input(SHAPE)
    memory = layers.ConvLSTM2D(2, 3, padding="same", name="memory")
    return keras.Model(clip, classes(layers.GlobalAveragePooling2D()(memory(clip))))


def streamed(stateful=True):
    clip = keras.Input(batch_shape=(1 if stateful else None, *SHAPE))
    x = layers.TimeDistributed(layers.Flatten())(clip)
    return keras.Model(clip, classes(layers.LSTM(2, stateful=stateful, name="memory")(x)))


@pytest.fixture
def clip():
    return np.random.default_rng(0).random(SHAPE, np.float32)


@pytest.mark.parametrize(
    "build",
    [
        frames_in_segments,
        encoder_and_decoder,
        dropout_while_predicting,
        masked_frames,
    ],
)
def test_scores_and_gradients_are_the_networks_own(build, clip):
    keras.utils.set_random_seed(0)
    network = build()
    plain = without_dropout(network) if build is dropout_while_predicting else network

    def odds(x):
        log = ops.log(plain(x, training=False))
        return log[:, 0] - log[:, 1]

    scores, gradients = autodiff.value_and_gradient(odds, variables=plain.variables)(clip[None])
    answer = attribute(network, clip, DIFFERENCE, method="gradient")
    assert answer.score == pytest.approx(float(scores[0]), abs=1e-5)
    expected = np.asarray(gradients)[0].sum(axis=-1)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(answer.heatmap, expected, atol=1e-4 * np.abs(expected).max())


def test_a_layer_without_time_has_maps_of_one_frame(clip):
    network = last_memory()
    feature_maps = responses.feature_maps(network, clip, "memory")
    expected = keras.Model(network.input, network.get_layer("memory").output)(clip[None])
    np.testing.assert_allclose(feature_maps.maps, np.asarray(expected), atol=1e-6)
    assert feature_maps.maps.shape == (1, 8, 8, 2)
    assert feature_maps.scaled().shape == (2, *SHAPE[:3], 1)  # it covers all frames


def test_what_a_stateful_network_remembers_is_neither_read_nor_changed(clip):
    network, forgetful = streamed(), streamed(stateful=False)
    forgetful.set_weights([np.array(weight) for weight in network.weights])
    network.predict(clip[None], verbose=0)  # so that it has something to remember
    before = [np.array(variable) for variable in network.variables]
    expected = attribute(forgetful, clip, DIFFERENCE, method="gradient")
    for _ in range(2):
        answer = attribute(network, clip, DIFFERENCE, method="gradient")
        assert answer.score == pytest.approx(expected.score, abs=1e-6)
        np.testing.assert_allclose(answer.heatmap, expected.heatmap, atol=1e-6)
    clips = maximize(network, "memory:0-1", steps=1, steps_per_execution=1)
    assert clips.shape == (2, *SHAPE)
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


class InTensorFlow(keras.layers.Layer):
    """Calls TensorFlow itself, and ends in a softmax."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv3D(2, 3, name="conv")

    def call(self, x):
        import tensorflow as tf

        return tf.nn.softmax(tf.reduce_mean(self.conv(x), (1, 2, 3)))


def test_a_layer_that_calls_tensorflow_says_so_and_that_its_softmax_stays(clip):
    keras.utils.set_random_seed(0)
    given = keras.Input(SHAPE)
    network = keras.Model(given, InTensorFlow(name="closed")(given))
    (info,) = described.describe(network)
    assert info.closed == (
        "its code can't be followed, as it calls functions of TensorFlow, JAX or NumPy; those of "
        "keras.ops can be"
    )
    with pytest.raises(ValueError, match=f"inside 'closed' can't be reached: {info.closed}"):
        maximize(network, "closed/conv:0", steps=1)
    with pytest.warns(UserWarning, match="'closed' can't be reached.*probabilities are used"):
        answer = attribute(network, clip, objectives.logit(1), method="gradient")
    assert answer.score == pytest.approx(float(network(clip[None])[0, 1]), abs=1e-6)


class Centred(keras.layers.Layer):
    """A convolution with its kernel minus the mean, and a layer inside."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, 3, shape[-1], 4), name="kernel")
        self.norm = layers.LayerNormalization(name="norm")
        self.norm.build((*shape[:-1], 4))

    def call(self, x):
        return self.norm(ops.conv(x, self.kernel - ops.mean(self.kernel)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_weights_that_a_layer_computes_with_are_rounded_as_the_layer_does(policy, clip):
    def network(policy, shape=SHAPE):
        given = keras.Input(shape)
        x = layers.Conv3D(3, 3, padding="same", dtype=policy, name="first")(given)
        x = layers.GlobalAveragePooling3D(dtype=policy)(Centred(dtype=policy, name="own")(x))
        return keras.Model(given, layers.Dense(2, dtype="float32")(x))

    single = network("float32")
    expected = attribute(single, clip, 0, method="grad_cam", layer="own").heatmap
    assert expected.any()
    for half in (network(policy), network(policy, (None, None, None, 3))):
        half.set_weights(single.get_weights())
        in_half = attribute(half, clip, 0, method="grad_cam", layer="own").heatmap
        tolerance = 0.05 * np.abs(expected).max()
        np.testing.assert_allclose(in_half, expected, atol=tolerance)
        assert maximize(half, "own:0", frames=4, size=(8, 8), steps=1).shape == (1, *SHAPE)


@pytest.mark.parametrize("channels", [2, 10])
def test_commands_say_that_films_hold_other_channels(channels, tmp_path, clip):
    clips.write(tmp_path / "clip.gif", clip)
    asked = argparse.Namespace(start=0, step=None, short="hold")
    with pytest.raises(ValueError, match=f"{channels} channels, as the network.*np.save.*RGB"):
        read_windows(tmp_path / "clip.gif", asked, 1, frames=4, size=(8, 8), channels=channels)


def test_without_convolutions_a_cam_names_layers_or_methods_that_do(clip):
    given = keras.Input(SHAPE)
    dense = keras.Model(given, classes(layers.Flatten()(given)))
    with pytest.raises(ValueError, match="'occlusion' and 'rise' need no layer"):
        attribute(dense, clip, 0, method="grad_cam")
    assert attribute(dense, clip, 0, method="occlusion").heatmap.any()
    pooled = layers.AveragePooling3D(2, name="pool")(given)
    pooled = keras.Model(given, classes(layers.Flatten()(pooled)))
    with pytest.raises(ValueError, match="name a layer, such as 'pool'"):
        attribute(pooled, clip, 0, method="grad_cam")
    signed = {"method": "grad_cam", "layer": "pool", "signed": True}
    assert attribute(pooled, clip, 0, **signed).heatmap.any()


@pytest.mark.parametrize(
    "convolution",
    [
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        layers.SeparableConv2D(5, 3, depth_multiplier=2, use_bias=False),
        layers.Conv2DTranspose(5, 3, use_bias=False),
        layers.Conv2D(5, 3, use_bias=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_kernels_of_every_convolution_are_what_its_filters_answer_to(convolution):
    """A flat frame answers with the sum of each kernel, up to the scale that each has."""
    given = keras.Input(SHAPE)
    wrapped = layers.TimeDistributed(convolution, name="conv")
    network = keras.Model(given, wrapped(given))
    frames = np.ones((1, *SHAPE), np.float32) * [0.2, 0.5, 1.0]
    answers = np.asarray(network(frames))[0, 0, 4, 4]
    shown = responses.kernels(network, "conv") - 0.5
    assert shown.shape == (len(answers), 1, 3, 3, 3)
    sums = (shown * [0.2, 0.5, 1.0]).sum(axis=(1, 2, 3, 4))
    assert (np.sign(sums) == np.sign(answers)).all()
    assert np.abs(shown).max(axis=(1, 2, 3, 4)) == pytest.approx(0.5)
    if isinstance(convolution, layers.DepthwiseConv2D):  # each reads one colour
        assert (np.count_nonzero(shown, axis=(1, 2, 3)) == np.repeat(9 * np.eye(3), 2, 0)).all()
