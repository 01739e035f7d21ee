"""C3D: the published shapes, parity with a NumPy reading of Caffe's network, and its options."""

import keras
import numpy as np
import pytest
from residual_reference import activations, convolve

from c3dvis import models
from c3dvis.models.c3d import SPORTS1M_MEANS, CaffeInput

SMALL = {"width": 0.02, "input_shape": (16, 16, 16, 3), "classes": 4}

# Table 1 of facts published on the network: output (T, H, W, C) or (units,), and parameters.
PUBLISHED = {
    "conv1": ((16, 112, 112, 64), 5_248),
    "pool1": ((16, 56, 56, 64), 0),
    "conv2": ((16, 56, 56, 128), 221_312),
    "pool2": ((8, 28, 28, 128), 0),
    "conv3a": ((8, 28, 28, 256), 884_992),
    "conv3b": ((8, 28, 28, 256), 1_769_728),
    "pool3": ((4, 14, 14, 256), 0),
    "conv4a": ((4, 14, 14, 512), 3_539_456),
    "conv4b": ((4, 14, 14, 512), 7_078_400),
    "pool4": ((2, 7, 7, 512), 0),
    "conv5a": ((2, 7, 7, 512), 7_078_400),
    "conv5b": ((2, 7, 7, 512), 7_078_400),
    "zeropad5": ((2, 8, 8, 512), 0),
    "pool5": ((1, 4, 4, 512), 0),
    "flatten": ((8192,), 0),
    "fc6": ((4096,), 33_558_528),
    "dropout6": ((4096,), 0),
    "fc7": ((4096,), 16_781_312),
    "dropout7": ((4096,), 0),
    "fc8": ((487,), 1_995_239),
}


def randomize(network: keras.Model, seed: int = 0) -> keras.Model:
    """Gives every weight, biases too, a value that keeps activations alive and of order one."""
    draw = np.random.default_rng(seed)
    for layer in network.layers:
        values = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if weight.name == "moving_variance":
                value = draw.uniform(0.5, 2.0, shape)
            elif weight.name == "kernel":
                value = draw.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
            else:
                value = draw.uniform(0.1, 0.5, shape)
            values.append(value)
        layer.set_weights(values)
    return network


def clips_for(network: keras.Model, count: int = 2, seed: int = 1) -> np.ndarray:
    shape = (count, *network.input_shape[1:])
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


# Caffe's C3D in NumPy, written from the paper and Caffe's rules alone.


def caffe_input(clips: np.ndarray) -> np.ndarray:
    blue, green, red = clips[..., 2] * 255, clips[..., 1] * 255, clips[..., 0] * 255
    return np.stack([blue - 95.13, green - 102.86, red - 107.75], axis=-1)


def conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.maximum(convolve(x, kernel) + bias, 0)


def pool_up(x: np.ndarray, window: tuple[int, int, int], first: int = 0) -> np.ndarray:
    """Max pooling whose count of windows is rounded up; in space they start at row `first`."""
    starts = (0, first, first)
    counts = [
        -(-(length - begin - size) // size) + 1
        for length, size, begin in zip(x.shape[1:4], window, starts, strict=True)
    ]
    pooled = np.empty((x.shape[0], *counts, x.shape[4]))
    for place in np.ndindex(*counts):
        lows = [begin + n * size for begin, n, size in zip(starts, place, window, strict=True)]
        t, i, j = (slice(max(low, 0), low + size) for low, size in zip(lows, window, strict=True))
        pooled[(slice(None), *place)] = x[:, t, i, j].max(axis=(1, 2, 3))
    return pooled


def caffe_c3d(network: keras.Model, clips: np.ndarray) -> np.ndarray:
    weights = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    x = conv(caffe_input(clips), *weights["conv1"])
    x = pool_up(x, (1, 2, 2))
    x = pool_up(conv(x, *weights["conv2"]), (2, 2, 2))
    for stage in "345":
        x = conv(x, *weights[f"conv{stage}a"])
        x = pool_up(conv(x, *weights[f"conv{stage}b"]), (2, 2, 2))
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7"):
        x = np.maximum(x @ weights[name][0] + weights[name][1], 0)
    return x @ weights["fc8"][0] + weights["fc8"][1]


def test_parity_with_caffe_in_numpy():
    # 48 x 80 leaves 3 x 5 before pool5: rounding up and down differ in both.
    network = models.C3D(
        width=0.03, input_shape=(16, 48, 80, 3), classes=7, fc=11, classifier_activation=None
    )
    randomize(network)
    clips = clips_for(network)
    expected = caffe_c3d(network, clips)
    assert expected.std() > 0.1  # a network of dead units would agree with anything
    np.testing.assert_allclose(network.predict(clips, verbose=0), expected, rtol=2e-5, atol=2e-3)


@pytest.mark.parametrize("pool5, first", [("caffe", 0), ("symmetric", -1)])
@pytest.mark.parametrize("size", [(112, 112), (64, 48)])
def test_pool5_windows(pool5, first, size):
    network = models.C3D(width=0.02, input_shape=(16, *size, 3), include_top=False, pool5=pool5)
    before, after = activations(
        randomize(network), ["conv5b", "pool5"], clips_for(network, count=1)
    )
    assert (before > 0).mean() > 0.2
    np.testing.assert_array_equal(after, pool_up(before, (2, 2, 2), first))


def test_the_pools_differ():
    outputs = {}
    for pool5 in ("caffe", "symmetric"):
        network = randomize(
            models.C3D(width=0.02, input_shape=(16, 112, 112, 3), classes=2, pool5=pool5)
        )
        outputs[pool5] = activations(network, ["pool5"], clips_for(network, count=1))[0]
    assert outputs["caffe"].shape == outputs["symmetric"].shape == (1, 1, 4, 4, 10)
    assert np.abs(outputs["caffe"] - outputs["symmetric"]).max() > 0.01


@pytest.fixture(scope="module")
def full():
    return models.C3D()


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_layers_are_as_published(full, name):
    shape, parameters = PUBLISHED[name]
    layer = full.get_layer(name)
    assert layer.output.shape[1:] == shape
    assert layer.count_params() == parameters


def test_full_size_network_is_as_published(full):
    assert full.count_params() == 79_991_015
    ours = [layer.name for layer in full.layers]
    assert ours == ["clip", "caffe_input", *PUBLISHED]
    assert full.input_shape == (None, 16, 112, 112, 3)


def test_input_is_exactly_caffes():
    pixels = np.arange(256 * 3, dtype=np.uint8).reshape(1, 1, 16, 16, 3)
    out = np.asarray(CaffeInput()(pixels.astype(np.float32) / 255))
    expected = pixels[..., ::-1].astype(np.float64) - [95.13, 102.86, 107.75]
    np.testing.assert_allclose(out, expected, atol=5e-5)
    assert SPORTS1M_MEANS == (95.13, 102.86, 107.75)


def test_without_preprocessing_the_network_takes_caffes_input():
    whole, bare = (
        randomize(models.C3D(**SMALL, include_preprocessing=included)) for included in (True, False)
    )
    clips = clips_for(whole)
    np.testing.assert_allclose(
        whole.predict(clips, verbose=0),
        bare.predict(caffe_input(clips), verbose=0),
        rtol=1e-4,
        atol=1e-6,
    )
    assert (
        models.C3D(
            width=0.02, input_shape=(16, 16, 16, 1), include_preprocessing=False
        ).input_shape[-1]
        == 1
    )


@pytest.mark.parametrize(
    "width, conv, units",
    [
        (0.125, (8, 16, 32, 32, 64, 64, 64, 64), 512),
        (0.5, (32, 64, 128, 128, 256, 256, 256, 256), 2048),
        (0.001, (1, 1, 1, 1, 1, 1, 1, 1), 4),
    ],
)
def test_width_scales_channels_and_units(width, conv, units):
    network = models.C3D(width=width, input_shape=(16, 16, 16, 3), classes=3)
    channels = [layer.filters for layer in network.layers if "conv" in layer.name]
    assert tuple(channels) == conv
    assert [network.get_layer(name).units for name in ("fc6", "fc7", "fc8")] == [units, units, 3]


def test_options_of_the_top():
    network = models.C3D(**SMALL, fc=6, dropout=0.25, classifier_activation=None, name="mine")
    assert network.name == "mine"
    assert network.get_layer("fc6").units == network.get_layer("fc7").units == 6
    assert network.get_layer("dropout7").rate == 0.25
    scores = randomize(network).predict(clips_for(network), verbose=0)
    assert np.abs(scores.sum(axis=-1) - 1).max() > 0.1
    softmax = randomize(models.C3D(**SMALL)).predict(clips_for(network), verbose=0)
    np.testing.assert_allclose(softmax.sum(axis=-1), 1, atol=1e-5)


def test_without_the_top_sizes_may_be_open():
    network = models.C3D(width=0.02, input_shape=(None, None, None, 3), include_top=False)
    assert network.output_shape == (None, None, None, None, 10)
    clips = np.zeros((1, 32, 48, 16, 3), np.float32)
    # 32 frames make 2 windows; 48 rows make 3 before pool5, which rounds up; 16 columns make 1.
    assert network.predict(clips, verbose=0).shape == (1, 2, 2, 1, 10)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (8, 112, 112, 3)}, "at least 16 frames of 16 x 16"),
        ({"input_shape": (16, 112, 15, 3)}, "at least 16 frames of 16 x 16"),
        ({"input_shape": (16, None, 112, 3)}, "include_top=False"),
        ({"pool5": "floor"}, "'caffe' or 'symmetric'"),
        ({"fc": 0}, "at least 1 unit"),
        ({"fc": 2.5}, "at least 1 unit"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        models.C3D(**{"width": 0.02, **arguments})
    assert "Received: " in str(refused.value)


def test_the_smallest_size_works_and_a_smaller_would_not():
    for pool5 in ("caffe", "symmetric"):
        network = models.C3D(width=0.02, input_shape=(16, 16, 16, 3), classes=2, pool5=pool5)
        assert network.get_layer("pool5").output.shape == (None, 1, 1, 1, 10)


def test_folding_batch_normalization_changes_no_output():
    trained = randomize(
        models.C3D(**SMALL, batch_normalization=True, classifier_activation=None), seed=3
    )
    plain = models.C3D(**SMALL, classifier_activation=None)
    clips = clips_for(trained, count=4)
    expected = trained.predict(clips, verbose=0)
    assert expected.std() > 0.05
    assert np.abs(plain.predict(clips, verbose=0) - expected).max() > 0.05
    models.fold_batch_normalization(trained, plain)
    np.testing.assert_allclose(plain.predict(clips, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_batch_normalization_follows_each_convolution():
    network = models.C3D(**SMALL, batch_normalization=True)
    names = [layer.name for layer in network.layers]
    at = names.index("conv3b")
    assert names[at : at + 3] == ["conv3b", "conv3b_bn", "conv3b_relu"]
    assert not network.get_layer("conv3b").use_bias


@pytest.mark.parametrize(
    "trained, plain, message",
    [
        ({}, {}, "which has none"),
        ({"batch_normalization": True}, {"classes": 5}, "shapes .* for layer 'fc8'"),
        ({"batch_normalization": True, "include_top": False}, {}, "a layer 'fc6'"),
    ],
)
def test_folding_what_does_not_belong_together_is_refused(trained, plain, message):
    plain = models.C3D(**{**SMALL, **plain})
    before = plain.get_weights()
    with pytest.raises(ValueError, match=message):
        models.fold_batch_normalization(models.C3D(**{**SMALL, **trained}), plain)
    for old, new in zip(before, plain.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
