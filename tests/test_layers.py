"""Tapping layers of all kinds of models, and saying why a layer can't be visualised."""

import keras
import numpy as np
import pytest

from c3dvis import objectives
from c3dvis.attribution.scorer import Scorer
from c3dvis.maximize import maximize, scores
from c3dvis.models import layers

SHAPE = (4, 8, 8, 3)
L = keras.layers


def backbone(name="backbone"):
    clip = L.Input(SHAPE)
    x = L.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(clip)
    x = L.Conv3D(5, 3, padding="same", name="conv2")(x)
    return keras.Model(clip, x, name=name)


def nested():
    keras.utils.set_random_seed(0)
    inner = backbone()
    clip = L.Input(SHAPE)
    x = L.GlobalAveragePooling3D()(inner(L.Rescaling(2.0, -1.0)(clip)))
    return keras.Model(clip, L.Dense(3, activation="softmax", name="classes")(x)), inner


@pytest.fixture
def clips():
    return np.random.default_rng(0).random((2, *SHAPE), np.float32)


def test_a_layer_inside_a_nested_model_sees_what_the_outer_network_feeds_it(clips):
    network, inner = nested()
    first = keras.Model(inner.inputs, inner.get_layer("conv1").output)
    expected = first.predict(clips * 2 - 1, verbose=0)
    for name in ("backbone/conv1", "conv1"):
        got = layers.tap(network, [name]).predict(clips, verbose=0)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_nested_model_in_a_sequential_one_and_logits_at_its_end(clips):
    keras.utils.set_random_seed(0)
    head = keras.Sequential(
        [L.GlobalAveragePooling3D(), L.Dense(3, activation="softmax", name="classes")], name="head"
    )
    network = keras.Sequential([L.Input(SHAPE), backbone(), head])
    logits = scores(network, objectives.logit(range(3)), clips)
    np.testing.assert_allclose(
        keras.ops.softmax(logits), network.predict(clips, verbose=0), rtol=1e-4
    )
    assert scores(network, objectives.channel("conv2", [4]), clips).shape == (2, 1)
    maximized = maximize(network, objectives.channel("backbone/conv2", [0, 1]), steps=2)
    assert maximized.shape == (2, *SHAPE)


def test_equal_names_in_two_nested_models_need_a_path():
    clip = L.Input(SHAPE)
    network = keras.Model(clip, L.Add()([backbone("slow")(clip), backbone("fast")(clip)]))
    with pytest.raises(ValueError, match="'slow/conv1' or 'fast/conv1'"):
        layers.tap(network, ["conv1"])
    assert layers.tap(network, ["fast/conv1"]).outputs[0].shape[-1] == 4


def test_two_outputs_are_told_apart(clips):
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    x = L.GlobalAveragePooling3D()(L.Conv3D(4, 3, name="conv")(clip))
    heads = [
        L.Dense(n, activation="softmax", name=name)(x) for name, n in (("verb", 2), ("noun", 5))
    ]
    network = keras.Model(clip, heads)
    assert scores(network, objectives.logit(4, output=network.output_names[1]), clips).shape == (
        2,
        1,
    )
    with pytest.raises(ValueError, match="output= one of"):
        scores(network, objectives.logit(0), clips)
    with pytest.raises(ValueError, match="Received: 'adverb'"):
        scores(network, objectives.logit(0, output="adverb"), clips)


def test_layers_of_tokens_and_other_channel_counts():
    keras.utils.set_random_seed(0)
    clip = L.Input((4, 8, 8, 2))
    patches = L.Conv3D(6, (2, 4, 4), strides=(2, 4, 4), name="patches")(clip)
    tokens = L.Reshape((8, 6), name="tokens")(patches)
    attended = L.MultiHeadAttention(2, 3, name="attention")(tokens, tokens)
    normed = L.LayerNormalization(name="norm")(tokens + attended)
    network = keras.Model(clip, L.Dense(3, name="classes")(normed[:, 0]))
    assert {"patches", "attention", "norm"} <= {i.name for i in layers.visualizable(network)}
    for objective in (objectives.channel("norm", [5]), objectives.neuron("norm", 1, position=(7,))):
        assert maximize(network, objective, steps=2).shape == (1, 4, 8, 8, 2)


def test_published_names_with_slashes_find_layers_with_dots():
    network = keras.Sequential([L.Input(SHAPE), L.Conv3D(2, 1, name="Mixed_3b.Branch_0.conv")])
    assert layers.tap(network, ["Mixed_3b/Branch_0/conv"]).outputs[0].shape[-1] == 2


def test_unfit_layers_say_why():
    clip = L.Input(SHAPE)
    x = L.Conv3D(2, 3, name="conv")(clip)
    total = L.Lambda(lambda t: keras.ops.sum(t, axis=(1, 2, 3, 4)), output_shape=(), name="total")(
        x
    )
    halves = L.Identity(name="both")([x, x])
    network = keras.Model(clip, [total, *halves])
    reasons = {info.name: info.reason for info in layers.describe(network)}
    assert reasons["conv"] is None
    assert "channel axis" in reasons["total"] and "several outputs" in reasons["both"]
    for name in ("total", "both"):
        with pytest.raises(ValueError, match=f"'{name}' can't be visualised"):
            layers.tap(network, [name])


def units():
    """Convolution, batch normalization and ReLU apart, as in I3D."""
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    x = L.Conv3D(4, 3, use_bias=False, name="unit.conv")(clip)
    x = L.BatchNormalization(name="unit.norm")(x)
    x = L.ReLU(name="unit")(x)
    x = L.Activation("tanh", name="tanh")(L.MaxPooling3D((1, 2, 2), name="pool")(x))
    network = keras.Model(clip, L.Concatenate(name="block")([x, x]))
    network.get_layer("unit.norm").set_weights([np.ones(4), np.full(4, -1.0), *np.zeros((2, 4))])
    return network


def test_before_a_layer_that_is_an_activation_is_what_goes_into_it(clips):
    network = units()
    for name, source in (("unit", "unit.norm"), ("tanh", "pool")):
        before = layers.tap(network, [name + objectives.BEFORE_ACTIVATION])
        assert before.outputs[0] is network.get_layer(source).output
        expected = layers.tap(network, [source]).predict(clips, verbose=0)
        np.testing.assert_array_equal(before.predict(clips, verbose=0), expected)
    # One that can be told from the ReLU's own output: the batch normalization shifts below zero.
    before = layers.tap(network, ["unit" + objectives.BEFORE_ACTIVATION])
    assert before.predict(clips, verbose=0).min() < 0


def test_before_activation_of_a_layer_without_any_is_its_output(clips):
    network = units()
    for name in ("pool", "block", "unit.conv"):
        both = layers.tap(network, [name + objectives.BEFORE_ACTIVATION, name])
        np.testing.assert_array_equal(*both.predict(clips, verbose=0))


def test_layers_without_weights_are_listed_where_asked_for():
    network = units()
    with_weights = [info.name for info in layers.visualizable(network)]
    assert with_weights == ["unit.conv", "unit.norm"]
    every = [info.name for info in layers.visualizable(network, weightless=True)]
    assert every == ["unit.conv", "unit.norm", "unit", "pool", "tanh", "block"]
    assert maximize(network, objectives.channel("block", [7]), steps=2).shape == (1, *SHAPE)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = L.Conv3D(2, 3, padding="same", name="conv")

    def call(self, clips):
        return keras.ops.mean(self.conv(clips), axis=(1, 2, 3))


def test_a_subclassed_model_is_told_what_to_do():
    with pytest.raises(ValueError, match="wrap a subclassed model.*Received: Subclassed"):
        layers.tap(Subclassed(), ["conv"])
    clip = L.Input(SHAPE)
    wrapped = keras.Model(clip, Subclassed()(clip))
    assert maximize(wrapped, objectives.logit([0, 1]), steps=2).shape == (2, *SHAPE)


def test_a_dead_unit_s_relus_stay_as_they_are_in_nested_models():
    """Two readings of one nested model share its layers; a ReLU layer has no `call` of its own."""
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    x = L.ReLU(name="r1")(L.Conv3D(3, 3, name="c1")(clip))
    inner = keras.Model(clip, L.ReLU(name="r2")(L.Conv3D(3, 1, name="c2")(x)), name="inner")
    outer = L.Input(SHAPE)
    network = keras.Model(outer, L.GlobalAveragePooling3D()(inner(outer)))
    clips = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    before = network.predict(clips, verbose=0)
    both = objectives.channel("inner/r1", 0) + objectives.channel("inner/r2", 0)
    assert maximize(network, both, steps=2).shape == (1, *SHAPE)
    assert "call" not in vars(inner.get_layer("r1"))
    np.testing.assert_array_equal(network.predict(clips, verbose=0), before)


def test_layers_that_another_network_calls_too_are_read_in_this_one(clips):
    base = backbone()
    network = keras.Sequential([L.Input(SHAPE), L.Rescaling(2.0), *base.layers[1:]])
    got = layers.tap(network, ["conv1"]).predict(clips, verbose=0)
    first = keras.Model(base.inputs, base.get_layer("conv1").output)
    np.testing.assert_allclose(got, first.predict(2 * clips, verbose=0), atol=1e-5)


@pytest.fixture(scope="module")
def shared_encoder():
    """An encoder of the clip and of its every other frame, and a scale called twice on the way."""
    keras.utils.set_random_seed(0)
    some = L.Input((None, *SHAPE[1:]))
    encoder = keras.Model(some, L.Conv3D(3, 3, padding="same", name="conv")(some), name="encoder")
    clip, double = L.Input(SHAPE), L.Rescaling(2.0, name="double")
    means = [L.GlobalAveragePooling3D()(encoder(x)) for x in (double(double(clip)), clip[:, ::2])]
    return keras.Model(clip, L.Dense(2, name="scores")(L.Concatenate()(means)))


def test_each_call_of_a_layer_that_is_called_twice_has_a_name(shared_encoder, clips):
    names = [info.name for info in layers.describe(shared_encoder)]
    assert {"double@1", "double@2", "encoder@1/conv", "encoder@2/conv"} <= set(names)
    conv = shared_encoder.get_layer("encoder").get_layer("conv")
    expected = {
        "double@1": 2 * clips,
        "double@2": 4 * clips,
        "encoder@1/conv": conv(4 * clips),
        "encoder@2/conv": conv(clips[:, ::2]),
    }
    for name, got in zip(
        expected, layers.tap(shared_encoder, list(expected)).predict(clips, verbose=0), strict=True
    ):
        np.testing.assert_allclose(got, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    shapes = {info.name: info.shape for info in layers.visualizable(shared_encoder)}
    assert shapes["encoder@1/conv"] == shapes["encoder@2/conv"] == (None, *SHAPE[1:3], 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("double", "Expected 'double@1' or 'double@2', as the network calls that layer 2 times"),
        ("encoder/conv", "Expected 'encoder@1/conv' or 'encoder@2/conv'"),
        ("conv", "Several layers have this name. Expected 'encoder@1/conv' or 'encoder@2/conv'"),
        ("encoder@3/conv", "such as 'encoder@2/conv', 'encoder@1/conv'"),
    ],
)
def test_which_of_two_calls_has_to_be_said(shared_encoder, name, words):
    with pytest.raises(ValueError, match=words):
        layers.tap(shared_encoder, [name])


def test_a_heatmap_and_a_clip_are_of_the_call_that_was_named(shared_encoder, clips):
    conv = shared_encoder.get_layer("encoder").get_layer("conv")
    scorer = Scorer(shared_encoder, objectives.logit(0))
    kernel = shared_encoder.get_layer("scores").get_weights()[0]
    for name, own, rows in (
        ("encoder@1/conv", 4 * clips[:1], kernel[:3]),
        ("encoder@2/conv", clips[:1, ::2], kernel[3:]),
    ):
        _, activations, gradients = scorer.layer_gradient(clips[:1], name)
        np.testing.assert_allclose(activations, conv(own), rtol=1e-4, atol=1e-4, err_msg=name)
        places = np.prod(own.shape[1:4])
        expected = np.broadcast_to(rows[:, 0] / places, gradients.shape)
        np.testing.assert_allclose(gradients, expected, rtol=1e-4, atol=1e-8, err_msg=name)
    # The second call never sees frame 1, so a clip made for it stays there as it began.
    start = np.full(SHAPE, 0.5, np.float32)
    maximized = maximize(
        shared_encoder, "encoder@2/conv:0", start=start, steps=2, parametrization="pixels"
    )
    assert np.abs(maximized[0, 1] - 0.5).max() < 1e-6 < np.abs(maximized[0, 0] - 0.5).max()


def test_a_call_that_does_not_lead_to_the_objective_is_refused(shared_encoder):
    scorer = Scorer(shared_encoder, objectives.channel("encoder@2/conv", 0))
    with pytest.raises(ValueError, match="that the objective depends on.*'encoder@1/conv'"):
        scorer.layer_gradient(np.zeros((1, *SHAPE), np.float32), "encoder@1/conv")


def test_recurrent_layers():
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    x = L.ConvLSTM2D(3, 3, activation="relu", return_sequences=True, name="lstm")(clip)
    network = keras.Model(clip, x)
    assert maximize(network, objectives.channel("lstm", 0), steps=2).shape == (1, *SHAPE)
    with pytest.raises(ValueError, match="use channel instead"):
        maximize(network, objectives.neuron("lstm", 0), steps=2)


def test_channels_first_is_refused():
    clip = L.Input((3, 4, 8, 8))
    network = keras.Model(clip, L.Conv3D(2, 3, data_format="channels_first", name="conv")(clip))
    with pytest.raises(ValueError, match="channels come last.*'conv'"):
        layers.tap(network, ["conv"])


@pytest.mark.parametrize(
    "softmax",
    [
        lambda x: L.Dense(3, activation=L.Softmax(), name="last")(x),
        lambda x: L.Activation(L.Softmax())(L.Dense(3, name="last")(x)),
        lambda x: keras.ops.softmax(L.Dense(3, name="last")(x)),
        lambda x: keras.activations.softmax(L.Dense(3, name="last")(x)),
    ],
)
def test_logits_before_a_softmax_however_it_is_spelled(softmax, clips):
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    network = keras.Model(clip, softmax(L.Flatten(name="flat")(clip)))
    kernel, bias = network.get_layer("last").get_weights()
    expected = clips.reshape(2, -1) @ kernel + bias
    got = scores(network, objectives.logit(range(3)), clips)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_logits_behind_a_lambda_are_refused():
    clip = L.Input(SHAPE)
    last = L.Dense(3, activation=lambda x: keras.ops.softmax(x), name="last")
    network = keras.Model(clip, last(L.Flatten()(clip)))
    with pytest.raises(ValueError, match="named function.*'last'"):
        layers.tap(network, [objectives.LOGITS])


def test_layers_frame_by_frame_are_read_before_their_activation():
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    conv, dense = L.Conv2D(2, 3, activation="relu"), L.Dense(3, activation="softmax")
    x = L.TimeDistributed(conv, name="conv")(clip)
    x = L.TimeDistributed(L.Flatten(), name="flat")(x)
    network = keras.Model(clip, L.TimeDistributed(dense, name="scores")(x))
    infos = {info.name: info for info in layers.visualizable(network)}
    assert infos["conv"].is_convolution and not infos["scores"].is_convolution
    clips = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    names = ["conv", "conv" + objectives.BEFORE_ACTIVATION, "flat", objectives.LOGITS, "scores"]
    after, before, flat, logits, scores = layers.tap(network, names).predict(clips, verbose=0)
    assert before.min() < 0
    np.testing.assert_allclose(np.maximum(before, 0), after, atol=1e-6)
    kernel, bias = dense.get_weights()
    np.testing.assert_allclose(logits, flat @ kernel + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(keras.ops.softmax(logits), scores, atol=1e-5)
    assert maximize(network, objectives.neuron("conv", 0), steps=1).shape == (1, *SHAPE)
