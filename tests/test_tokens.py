"""Tokens as places: a moving dot, whose response must follow it however tokens are laid out."""

import keras
import numpy as np
import pytest
from architectures import divided_attention, factorized_encoder, shifted_windows, vivit
from architectures.divided_attention import ClassToken, fold, unfold

from c3dvis import graph, objectives, responses
from c3dvis.attribution import attribute, cam
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import tokens

L, ops = keras.layers, keras.ops
WIDTH = 16


def bright(network):
    """The same network whose patches are as bright as the clip, in each channel."""
    patches = network.get_layer("patches")
    patches.set_weights([np.ones(w.shape) for w in patches.get_weights()])
    classes = network.get_layer("classes")
    classes.set_weights([np.ones(w.shape) for w in classes.get_weights()])
    return network


def with_class_and_register_tokens():
    clip = keras.Input((4, 8, 8, 1))
    x = L.Conv3D(WIDTH, (1, 2, 2), (1, 2, 2), use_bias=False, name="patches")(clip)
    x = L.Reshape((64, WIDTH))(x)
    x = L.ReLU(name="tokens")(ClassToken()(ClassToken()(x)))
    return keras.Model(clip, L.Dense(2, name="classes")(L.GlobalAveragePooling1D()(x)))


def places_in_the_batch():
    clip = keras.Input((4, 8, 8, 1))
    x = L.Conv3D(WIDTH, (1, 2, 2), (1, 2, 2), use_bias=False, name="patches")(clip)
    x = fold(ClassToken()(L.Reshape((64, WIDTH))(x)), over_time=True)
    x = unfold(L.ReLU(name="tokens")(x), over_time=True)
    return keras.Model(clip, L.Dense(2, name="classes")(L.GlobalAveragePooling1D()(x)))


def frames_in_the_batch():
    clip = keras.Input((4, 8, 8, 1))
    x = L.Conv2D(WIDTH, 2, 2, use_bias=False, name="patches")(ops.reshape(clip, (-1, 8, 8, 1)))
    x = L.ReLU(name="tokens")(ClassToken()(L.Reshape((16, WIDTH))(x)))
    x = ops.reshape(x, (-1, 68, WIDTH))
    return keras.Model(clip, L.Dense(2, name="classes")(L.GlobalAveragePooling1D()(x)))


def shifted_in_windows():
    clip = keras.Input((2, 8, 8, 1))
    x = L.Conv3D(WIDTH, (1, 2, 2), (1, 2, 2), use_bias=False, name="patches")(clip)
    x = shifted_windows.windows(ops.roll(x, (0, -1, -1), axis=(1, 2, 3)))
    x = shifted_windows.whole(L.ReLU(name="tokens")(x))
    return keras.Model(clip, L.Dense(2, name="classes")(L.GlobalAveragePooling3D()(x)))


def after_a_stem():
    clip = keras.Input((4, 8, 8, 1))
    half = keras.initializers.Constant(0.5)
    x = L.Conv3D(2, 1, use_bias=False, kernel_initializer=half)(clip)
    x = L.Conv3D(WIDTH, (1, 2, 2), (1, 2, 2), use_bias=False, name="patches")(x)
    x = L.ReLU(name="tokens")(ClassToken()(L.Reshape((64, WIDTH))(x)))
    return keras.Model(clip, L.Dense(2, name="classes")(L.GlobalAveragePooling1D()(x)))


BUILDS = (
    after_a_stem,
    with_class_and_register_tokens,
    places_in_the_batch,
    frames_in_the_batch,
    shifted_in_windows,
)


@pytest.fixture(scope="module", params=BUILDS, ids=lambda build: build.__name__)
def network(request):
    return bright(request.param())


def moving_dot(frames):
    """A dot of one patch, and its row and column in each frame."""
    clip, path = np.zeros((frames, 8, 8, 1), np.float32), []
    for t in range(frames):
        y, x = (3 * t + 1) % 4, (t + 2) % 4
        clip[t, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 1 - 0.1 * t
        path.append((y, x))
    return clip, path


def peaks(volume):
    return [tuple(map(int, np.unravel_index(v.argmax(), v.shape))) for v in volume]


def test_feature_maps_follow_the_dot(network):
    clip, path = moving_dot(network.inputs[0].shape[1])
    maps = responses.feature_maps(network, clip, "tokens", channels=[3]).maps[..., 0]
    assert maps.shape == (len(path), 4, 4) and peaks(maps) == path
    np.testing.assert_allclose(maps.max(axis=(1, 2)), 4 * clip.max(axis=(1, 2, 3)), rtol=1e-6)
    assert np.count_nonzero(maps) == len(path)


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam"])
def test_class_activation_maps_follow_the_dot(network, method):
    clip, path = moving_dot(network.inputs[0].shape[1])
    answer = attribute(network, clip, objectives.logit(0), method=method, layer="tokens")
    assert answer.settings["grid"] == [len(path), 4, 4]
    assert [(y // 2, x // 2) for y, x in peaks(answer.heatmap)] == path


def test_clips_of_a_batch_keep_to_themselves(network):
    clip, _ = moving_dot(network.inputs[0].shape[1])
    scorer = Scorer(network, objectives.logit(0))
    _, both, slopes = scorer.layer_gradient(np.stack([clip, clip[::-1]]), "tokens")
    _, second, slope = scorer.layer_gradient(clip[::-1][None], "tokens")
    np.testing.assert_allclose(both[1], second[0], rtol=1e-6)
    np.testing.assert_allclose(slopes[1], slope[0], rtol=1e-6)
    assert not np.array_equal(both[0], both[1])


def test_a_neuron_is_read_at_a_place():
    network = bright(with_class_and_register_tokens())
    clip, path = moving_dot(4)
    layout = tokens.layout(network, "tokens", clip.shape)
    for place, score in [((2, *path[2]), 3.2), ((2, *path[1]), 0.0)]:
        position = layout.position(place)
        objective = objectives.neuron("tokens", 5, position=position, before_activation=False)
        assert Scorer(network, objective).scores(clip[None])[0] == pytest.approx(score)


@pytest.mark.parametrize("build", [vivit.build, shifted_windows.build, factorized_encoder.build])
def test_the_default_layer_is_what_the_last_attention_reads(build):
    network = build()
    scorer = Scorer(network, objectives.logit(0))
    name = cam.default_layer(scorer, network.inputs[0].shape[1:])
    attends = [layer for layer in network.layers if isinstance(layer, L.MultiHeadAttention)]
    read = network.layers[network.layers.index(attends[-1]) - 1]
    assert name == read.name


def test_divided_attention_is_followed_through_every_block():
    network = divided_attention.build()
    layout = tokens.layout(network, "norm", network.inputs[0].shape[1:])
    assert layout.grid == (4, 4, 4)
    np.testing.assert_array_equal(layout.ids[0, 1:], np.arange(64))
    assert layout.ids[0, 0] >= 64
    ids_by_key, _ = tokens.follow(graph.flattened(network), network, (4, 24, 24, 3))
    token = {int(ids[0, 0]) for ids in ids_by_key.values() if ids.shape == (1, 65)}
    assert token == {layout.ids[0, 0]}  # the same through repeats and means
    in_time = tokens.layout(network, "time_1", network.inputs[0].shape[1:])
    np.testing.assert_array_equal(in_time.ids, np.arange(64).reshape(1, 4, 16).swapaxes(1, 2))
    assert in_time.position((2, 1, 3)) == (7, 2)  # of place and frame


def without_convolution():
    clip = keras.Input((4, 8, 8, 1))
    x = ops.transpose(ops.reshape(clip, (-1, 2, 2, 2, 4, 2, 4, 1)), (0, 1, 3, 5, 2, 4, 6, 7))
    x = L.Dense(3, name="tokens")(ops.reshape(x, (-1, 8, 32)))
    x = L.MaxPooling1D(2, name="pooled")(x)
    return keras.Model(clip, L.Dense(2)(L.Flatten()(x)))


def test_a_grid_can_be_given():
    network = without_convolution()
    clip = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    options = {"layer": "tokens", "grid": (2, 2, 2)}
    answer = attribute(network, clip, objectives.logit(0), method="layer_cam", **options)
    assert answer.settings["grid"] == [2, 2, 2]


def test_what_is_made_of_each_frame_has_a_grid_of_frames():
    clip = keras.Input((4, 8, 8, 1))
    frames = L.TimeDistributed(L.GlobalMaxPooling2D())(clip)
    network = keras.Model(clip, L.GRU(3, return_sequences=True, name="gru")(frames))
    film = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match=r"give grid=\(t, h, w\)"):
        responses.feature_maps(network, film, "gru")
    maps = responses.feature_maps(network, film, "gru", grid=(4, 1, 1)).maps
    np.testing.assert_allclose(maps[:, 0, 0], network(film[None])[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "grid", "message"),
    [
        ("tokens", None, r"Expected one patch embedding.*grid=\(t, h, w\)"),
        ("pooled", (2, 2, 2), "layer 'pooled' of shape"),
        ("tokens", (2, 3, 2), "can't be followed"),
        ("tokens", (8, 1), "three numbers"),
        ("tokens", (0, 2, 2), "above 0"),
        ("tokns", (2, 2, 2), "tokens"),
    ],
)
def test_tokens_without_places_are_refused(layer, grid, message):
    with pytest.raises(ValueError, match=message):
        tokens.layout(without_convolution(), layer, (4, 8, 8, 1), grid=grid)


def test_a_place_outside_is_refused():
    layout = tokens.Layout((1, 2, 2), np.arange(4)[None])
    assert layout.position((0, 1, 0)) == (2,)
    for place in [(1, 0, 0), (0, 0), (0, -1, 0)]:
        with pytest.raises(ValueError, match="inside"):
            layout.position(place)
    with pytest.raises(ValueError, match="in one row"):
        tokens.Layout((1, 2, 2), np.arange(4).reshape(2, 2)).position((0, 0, 0))


@pytest.mark.parametrize("axis", [0, 1, (1, 2), -1, None])
def test_a_mean_of_different_tokens_is_none_of_them(axis):
    clip = keras.Input((2, 4, 4, 1))
    x = L.Conv3D(3, (1, 2, 2), (1, 2, 2), name="patches")(clip)
    network = keras.Model(clip, ops.mean(x, axis=axis, keepdims=True))
    steps = graph.flattened(network)
    ids_by_key, _ = tokens.follow(steps, network, (2, 4, 4, 1))
    assert steps.outputs[0] not in ids_by_key and len(ids_by_key) == 1
