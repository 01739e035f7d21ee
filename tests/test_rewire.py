"""A network computed another way gives the same, with a gradient that is exact."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from c3dvis import autodiff, objectives, rewire
from c3dvis.attribution.scorer import Scorer
from c3dvis.maximize import maximize
from c3dvis.pooling import max_pool

# (lengths, window, strides): odd and even, overlapping, with gaps, one axis alone.
POOLS = [
    ((5, 6, 7), (3, 3, 3), (1, 1, 1)),
    ((8, 9, 4), (3, 3, 3), (2, 2, 2)),
    ((4, 7, 8), (1, 3, 3), (1, 2, 2)),
    ((6, 5, 4), (2, 2, 2), (2, 2, 2)),
    ((7, 5, 5), (2, 1, 1), (3, 1, 1)),
]


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_pools_give_what_keras_gives(padding):
    for lengths, window, strides in POOLS:
        x = np.random.default_rng(0).normal(size=(2, *lengths, 3)).astype("float32")
        expected = ops.max_pool(x, window, strides, padding)
        got = max_pool(ops.convert_to_tensor(x), window, strides, padding)
        np.testing.assert_array_equal(got, expected, err_msg=f"{lengths} {window} {strides}")


def test_the_gradient_of_a_pool_goes_to_the_greatest_of_each_window_alone():
    """Worked out by a loop over windows in NumPy; values of one window lie within 1e-6."""
    rng = np.random.default_rng(1)
    x = (1 + 1e-6 * rng.permutation(4 * 6 * 5).reshape(1, 4, 6, 5, 1)).astype("float32")
    upstream = rng.normal(size=(1, 2, 3, 3, 1)).astype("float32")
    expected = np.zeros_like(x)
    for t, y, z in np.ndindex(2, 3, 3):
        # "same" with windows of 2, 3, 3 and strides of 2, 2, 2 pads one row and one column.
        low = np.array([2 * t, 2 * y, 2 * z - 1])
        box = tuple(slice(max(a, 0), a + n) for a, n in zip(low, (2, 3, 3), strict=True))
        part = x[0, ..., 0][box]
        place = np.unravel_index(part.argmax(), part.shape)
        expected[0, ..., 0][box][place] += upstream[0, t, y, z, 0]
    run = autodiff.value_and_gradient(
        lambda x: ops.sum(max_pool(x, (2, 3, 3), (2, 2, 2), "same") * upstream)
    )
    np.testing.assert_allclose(run(x)[1], expected, rtol=1e-6)


def network() -> keras.Model:
    """A network with a pool of its own and one in a model inside."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((4, 6, 6, 4)), layers.Conv3D(5, 3, activation="relu", padding="same")]
    )
    inner.add(layers.MaxPooling3D(2, name="inner_pool"))
    clip = keras.Input((4, 12, 12, 3))
    x = layers.Conv3D(4, 3, padding="same")(clip)
    x = layers.MaxPooling3D((1, 2, 2), name="pool")(x)
    x = ops.relu(inner(x))
    return keras.Model(clip, layers.GlobalAveragePooling3D()(x))


def test_the_quicker_network_has_the_same_weights_and_outputs_and_leaves_the_other_alone():
    plain = network()
    config = plain.get_config()
    quick = rewire.Shadow(plain)
    assert {id(v) for v in quick.variables} == {id(v) for v in plain.variables}
    x = np.random.default_rng(0).random((2, 4, 12, 12, 3), "float32")
    np.testing.assert_allclose(quick(x), plain(x), rtol=1e-6, atol=1e-7)
    assert plain.get_config() == config
    gradients = [
        np.asarray(autodiff.value_and_gradient(lambda x, m=m: ops.sum(m(x), -1))(x)[1])
        for m in (plain, quick)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_pools_of_unknown_size_or_long_windows_are_the_backend_s(monkeypatch):
    used = []
    monkeypatch.setattr(rewire, "max_pool", lambda *given: used.append(given) or max_pool(*given))
    clips = np.random.default_rng(0).random((2, 8, 8, 8, 3), np.float32)
    for size, length, expected in [(2, 8, 1), (2, None, 0), (8, 8, 0)]:
        clip = keras.Input((length, length, length, 3))
        network = keras.Model(clip, layers.MaxPooling3D(size)(clip))
        used.clear()
        symbolic = rewire.Shadow(network)(clip)
        assert len(used) == expected and symbolic.shape == network.output.shape
        np.testing.assert_array_equal(rewire.Shadow(network)(clips), network(clips))


def test_a_variant_shares_the_weights_and_changes_nothing_of_the_layer():
    layer = layers.Dense(2, activation="relu", kernel_initializer="ones")
    x = np.array([[-1.0, -2.0]], np.float32)
    layer(x)
    before = dict(vars(layer))
    other = rewire.variant(layer, activation=keras.activations.linear)
    np.testing.assert_array_equal(other(x), [[-3, -3]])
    layer.set_weights([2 * np.ones((2, 2)), np.ones(2)])
    np.testing.assert_array_equal(other(x), [[-5, -5]])
    np.testing.assert_array_equal(layer(x), [[0, 0]])
    assert vars(layer) == before and other.kernel is layer.kernel


def test_a_variant_with_what_is_another_layer_s_is_refused():
    """A recurrent layer only passes on its cell's activation, which would go on to be computed."""
    layer = layers.LSTM(2, name="lstm")
    with pytest.raises(ValueError, match="activation of its own. Received: layer 'lstm', a LSTM"):
        rewire.variant(layer, activation=keras.activations.linear)


def exchanged(kind: str) -> keras.Model:
    """A Dense layer and a ReLU, however it is spelled; weights of 1 and the input below 0."""
    clip = keras.Input((1, 2))
    dense = layers.Dense(1, kernel_initializer="ones")
    relu = layers.Dense(1, kernel_initializer="ones", activation="relu")
    x = {
        "activation": lambda x: relu(x),
        "layer": lambda x: layers.ReLU()(dense(x)),
        "Activation": lambda x: layers.Activation("relu")(dense(x)),
        "function": lambda x: ops.relu(dense(x)),
        "of keras.activations": lambda x: keras.activations.relu(dense(x)),
        "wrapped": lambda x: layers.TimeDistributed(relu)(x),
        "wrapped layer": lambda x: layers.TimeDistributed(layers.ReLU())(dense(x)),
        "nested": lambda x: keras.Sequential([keras.Input((1, 2)), relu])(x),
        "called twice": lambda x: relu(ops.concatenate([relu(x), relu(x)], axis=-1)),
    }[kind](clip)
    return keras.Model(clip, x)


@pytest.mark.parametrize(
    "kind",
    ["activation", "layer", "Activation", "function", "of keras.activations"]
    + ["wrapped", "wrapped layer", "nested", "called twice"],
)
def test_every_plain_relu_is_exchanged(kind):
    network = exchanged(kind)
    x = np.array([[[-1, -2]]], np.float32)
    plain = np.array(network(x))

    def call(layer, *arguments, **options):
        return rewire.quick_call(layer, *arguments, relu=lambda x: x + 1, **options)

    expected = -2 if kind != "called twice" else -2 - 2 + 1
    np.testing.assert_array_equal(rewire.Shadow(network)(x, call=call), [[[expected]]])
    np.testing.assert_array_equal(network(x), plain)
    assert rewire.relu_count(network) == 1


def test_relus_with_a_slope_or_a_limit_are_left():
    clip = keras.Input((3,))
    x = layers.ReLU(max_value=6)(layers.ReLU(negative_slope=0.1)(layers.ReLU(threshold=1)(clip)))
    assert rewire.relu_count(keras.Model(clip, x)) == 0


def test_training_is_what_the_shadow_is_told():
    """Also where a call inside was recorded with another, and in a step that trains."""
    clip = keras.Input((8, 4))
    network = keras.Model(clip, layers.Dropout(0.5)(clip, training=True))
    x = np.ones((1, 8, 4), np.float32)
    np.testing.assert_array_equal(rewire.Shadow(network)(x, training=False), x)
    assert (np.array(rewire.Shadow(network)(x, training=True)) == 0).any()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_mixed_precision_is_the_network_s_own(policy):
    keras.utils.set_random_seed(0)
    clip = keras.Input((4, 6, 6, 3))
    conv = layers.Conv3D(3, 3, activation="relu", dtype=policy)
    x = layers.MaxPooling3D(2, dtype=policy)(conv(clip))
    network = keras.Model(clip, layers.Dense(2, dtype=policy)(x))
    clips = np.random.default_rng(0).random((2, 4, 6, 6, 3), np.float32)
    shadow, plain = rewire.Shadow(network)(clips), network(clips)
    assert shadow.dtype == plain.dtype
    close = {"rtol": 1e-5, "atol": 1e-6} if policy == "float32" else {"rtol": 0.02, "atol": 0.02}
    arrays = [ops.convert_to_numpy(ops.cast(one, "float32")) for one in (shadow, plain)]
    np.testing.assert_allclose(*arrays, **close)


def test_a_leaking_relu_is_a_relu_whose_gradient_leaks_for_its_own_clip():
    x = np.array([[-2.0, -1.0, 3.0], [-1.0, -4.0, 5.0]], np.float32)
    relu = rewire.leaking_relu(ops.convert_to_tensor(np.array([0.0, 0.1], np.float32)))
    # A factor that differs from place to place shows that the arriving gradient is passed on.
    factors = np.array([1.0, 2.0, 3.0], np.float32)
    values, gradient = autodiff.value_and_gradient(lambda x: relu(x) * factors)(x)
    np.testing.assert_array_equal(values, np.maximum(x, 0) * factors)
    expected = [[0.0, 0.0, 3.0], [0.1, 0.2, 3.0]]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_logits_of_a_quantized_network_are_those_of_its_outputs(mode):
    network = keras.Sequential(
        [layers.Input((2, 4, 4, 3)), layers.Flatten(), layers.Dense(4, activation="softmax")]
    )
    network.quantize(mode)
    clips = np.random.default_rng(0).random((3, 2, 4, 4, 3), np.float32)
    scorer = Scorer(network, objectives.logit(1))
    expected = network.predict(clips, verbose=0)
    np.testing.assert_allclose(ops.softmax(scorer.class_scores(clips)), expected, atol=1e-6)
    assert np.isfinite(maximize(network, 1, steps=2)).all()
