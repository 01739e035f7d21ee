"""Networks with channels first, as ones with channels last on the same weights."""

import keras
import numpy as np
import pytest

from c3dvis import models, objectives
from c3dvis.attribution import attribute
from c3dvis.gallery.__main__ import main as gallery
from c3dvis.maximize import maximize
from c3dvis.models import layers

L = keras.layers
SHAPE = (4, 8, 8, 3)


def build(order, flatten=None) -> keras.Model:
    """Convolutions, a shortcut, a model inside, a concatenation and classes."""
    first = order == "channels_first"
    own, axis = {"data_format": order}, 1 if first else -1
    clip = keras.Input((3, 4, 8, 8) if first else SHAPE)
    x = L.Conv3D(4, 3, padding="same", name="conv_1", **own)(clip)
    x = L.ReLU(name="relu_1")(L.BatchNormalization(axis=axis, name="norm_1")(x))
    start = keras.Input(x.shape[1:])
    y = L.Conv3D(4, (1, 3, 3), padding="same", activation="relu", name="conv_2", **own)(start)
    inner = keras.Model(start, L.Add(name="sum")([y, start]), name="inner")
    x = L.Concatenate(axis=axis, name="both")([inner(x), x])
    x = L.MaxPool3D(2, name="pool", **own)(L.ZeroPadding3D(1, **own)(x))
    x = L.Flatten(**(own if flatten is None else {"data_format": flatten}))(x)
    return keras.Model(clip, L.Dense(3, activation="softmax", name="classes")(x))


@pytest.fixture(scope="module")
def pair():
    """A network with channels first, and what it is with channels last."""
    keras.utils.set_random_seed(0)
    last, first = build("channels_last"), build("channels_first")
    draw = np.random.default_rng(0)
    values = [0.1 + 0.3 * draw.random(weight.shape) for weight in last.get_weights()]
    for network in (last, first):
        network.set_weights(values)
    return first, last


def clips(count=2):
    return np.random.default_rng(1).random((count, *SHAPE), np.float32)


def test_it_is_the_network_built_with_channels_last(pair):
    first, last = pair
    moved = models.channels_last(first)
    assert moved.input_shape == (None, *SHAPE)
    expected, got = (
        {info.name: info.shape for info in layers.describe(network)} for network in (last, moved)
    )
    names = ["conv_1", "norm_1", "relu_1", "inner/conv_2", "inner/sum", "both", "pool", "classes"]
    assert {name: got[name] for name in names} == {name: expected[name] for name in names}
    for name in names:
        outputs = [layers.tap(one, [name]).predict(clips(), verbose=0) for one in (last, moved)]
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4, atol=1e-5, err_msg=name)
    assert moved.get_layer("conv_1").kernel is first.get_layer("conv_1").kernel
    assert first.get_layer("conv_1").data_format == "channels_first"


def test_what_a_refusal_advises_works(pair):
    first, last = pair
    with pytest.raises(ValueError, match=r"models.channels_last\(network\).*'conv_1'"):
        maximize(first, "conv_1:0")
    moved = models.channels_last(first)
    assert maximize(moved, "inner/conv_2:0", steps=1).shape == (1, *SHAPE)
    expected, got = (
        attribute(one, clips()[0], objectives.logit(1), method="grad_cam", layer="both")
        for one in (last, moved)
    )
    np.testing.assert_allclose(got.heatmap, expected.heatmap, rtol=1e-3, atol=1e-6)


def test_layers_that_need_their_input_as_it_was_get_it():
    """A Flatten that knows of no order keeps channels before frames, rows and columns."""
    keras.utils.set_random_seed(1)
    network = build("channels_first", flatten="channels_last")
    moved = models.channels_last(network)
    pool = layers.tap(moved, ["pool"]).predict(clips(), verbose=0)
    kernel, bias = network.get_layer("classes").get_weights()
    expected = np.moveaxis(pool, -1, 1).reshape(2, -1) @ kernel + bias
    got = layers.tap(moved, [objectives.LOGITS]).predict(clips(), verbose=0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_clip_with_channels_last_before_layers_with_channels_first():
    keras.utils.set_random_seed(2)
    clip = keras.Input(SHAPE)
    x = L.Permute((4, 1, 2, 3))(clip)
    x = L.Conv3D(2, 3, data_format="channels_first", name="conv")(x)
    network = keras.Model(clip, L.GlobalAveragePooling3D(data_format="channels_first")(x))
    moved = models.channels_last(network)
    conv = L.Conv3D(2, 3)
    conv.build((None, *SHAPE))
    conv.set_weights(network.get_layer("conv").get_weights())
    expected = np.mean(conv(clips()), axis=(1, 2, 3))
    np.testing.assert_allclose(moved.predict(clips(), verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_channels_first_in_a_wrapper_is_refused():
    clip = keras.Input((4, 3, 8, 8))
    conv = L.Conv2D(2, 3, data_format="channels_first", name="conv")
    network = keras.Model(clip, L.TimeDistributed(conv, name="frames")(clip))
    with pytest.raises(ValueError, match=r"'frames', a TimeDistributed, with conv; build the"):
        models.channels_last(network)
    unbuilt = keras.Sequential([keras.layers.Conv3D(2, 3, data_format="channels_first")])
    with pytest.raises(ValueError, match="Sequential Keras model that has been built"):
        models.channels_last(unbuilt)


def test_a_network_with_channels_last_stays_as_it_is(pair):
    assert models.channels_last(pair[1]) is pair[1]


@pytest.mark.slow
def test_a_command_reads_it_with_channels_last(pair, tmp_path):
    pair[0].save(tmp_path / "first.keras")
    units = ["--filters", "0", "--layers", "conv_1", "--steps", "1", "--compare", "0"]
    own = ["--keras-model", str(tmp_path / "first.keras"), "--out", str(tmp_path / "made")]
    assert gallery([*own, *units]) == 0
