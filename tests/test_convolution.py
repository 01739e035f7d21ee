"""The quicker gradient of convolutions for what they read is the backend's."""

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, convolution, rewire

DRAW = np.random.default_rng(0)
# Odd and even lengths, some of them shorter than a kernel.
SHAPES = {
    1: (2, 5, 6, 9),
    2: (1, 7, 7, 8),
    3: (2, 4, 9, 8),
    4: (1, 4, 5, 4),
    10: (2, 8, 5, 7),
    20: (2, 6, 5, 7),
}
KERNELS = [(1, 1, 1), (2, 2, 2), (3, 3, 3), (1, 4, 5), (5, 2, 3)]


def clips(channels: int):
    return DRAW.random((*SHAPES[channels], channels), np.float32)


def gradients(functions, given):
    """What functions make of clips, and gradients of scores that weigh that; compiled at once."""
    sizes = [clip.size for clip in given]

    def score(flat):
        values, scores, first = [], [], 0
        for function, clip, size in zip(functions, given, sizes, strict=True):
            output = function(ops.reshape(flat[first : first + size], clip.shape))
            weights = np.random.default_rng(1).normal(size=output.shape).astype(np.float32)
            scores.append(ops.sum(output * weights))
            values.append(output)
            first += size
        return ops.stack(scores), *values

    together = np.concatenate([clip.ravel() for clip in given])
    (_, *values), gradient = autodiff.value_and_gradient(score)(together)
    parts = np.split(ops.convert_to_numpy(gradient), np.cumsum(sizes)[:-1])
    return [ops.convert_to_numpy(value) for value in values], parts


def gradient(function, given):
    return gradients([function], [given])[1][0]


def assert_close(quick, plain, case, most=1e-5):
    error = np.abs(quick - plain).max() / np.abs(plain).max()
    assert error < most, (case, error)


def noting_restated(monkeypatch):
    """A list that grows whenever a gradient is computed as restated."""
    used, own = [], convolution._gradient

    def noted(*arguments):
        used.append(arguments)
        return own(*arguments)

    monkeypatch.setattr(convolution, "_gradient", noted)
    return used


def case(size, channels: int, outputs: int, strides, padding: str):
    """The convolution by the backend, the quicker one, and clips."""
    kernel = DRAW.normal(size=(*size, channels, outputs)).astype(np.float32)

    def plain(x):
        return ops.conv(x, kernel, strides, padding, "channels_last")

    def quick(x):
        return convolution.conv(x, kernel, strides, padding, (1, 1, 1))

    return plain, quick, clips(channels)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("turn", "strides"),
    list(enumerate([(1, 1, 1), (2, 2, 2), (1, 2, 2), (2, 1, 1), (3, 2, 1)])),
)
def test_values_and_gradient_are_those_of_the_plain_convolution(
    padding, turn, strides, monkeypatch
):
    cases, expected = [], 0
    for i, size in enumerate(KERNELS):
        channels = list(SHAPES)[(i + turn) % len(SHAPES)]
        if padding == "same" or np.all(np.less_equal(size, SHAPES[channels][1:])):
            cases.append(case(size, channels, (1, 3, 12)[i % 3], strides, padding))
            expected += channels <= 16 or size[0] > 1 or strides != (1, 1, 1)
    plain, quick, given = zip(*cases, strict=True)
    values, parts = gradients(plain, given)
    used = noting_restated(monkeypatch)
    quick_values, quick_parts = gradients(quick, given)
    assert len(used) == expected
    for i in range(len(cases)):
        assert_close(quick_values[i], values[i], i)
        assert_close(quick_parts[i], parts[i], i)


def test_the_backend_s_own_where_it_moves_a_kernel_shorter_than_its_stride(monkeypatch):
    used = noting_restated(monkeypatch)
    kernel = DRAW.normal(size=(1, 1, 1, 2, 3)).astype(np.float32)
    given = DRAW.random((1, 6, 5, 5, 2), np.float32)
    output = convolution.conv(given, kernel, (3, 1, 1), "same", (1, 1, 1))
    np.testing.assert_array_equal(
        output, ops.conv(given, kernel, (3, 1, 1), "same", "channels_last")
    )
    assert not used


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1),
        ({"strides": 2}, 2),
        ({"strides": (1, 2, 2), "kernel_size": (1, 5, 4), "padding": "valid"}, 2),
        ({"dilation_rate": 2}, 0),
        ({"groups": 3}, 0),
        ({"filters": 4}, 2),
    ],
)
def test_a_network_s_layers_have_it_where_it_is_quicker(options, expected, monkeypatch):
    first = {"filters": 21, "kernel_size": 3, "padding": "same", "activation": "relu", **options}
    second = keras.layers.Conv3D(2, (1, 3, 3), options.get("strides", 1), padding="same")
    network = keras.Sequential(
        [keras.layers.Input((6, 9, 8, 3)), keras.layers.Conv3D(**first), second]
    )
    given = DRAW.random((2, 6, 9, 8, 3), np.float32)
    plain = gradient(network, given)
    used = noting_restated(monkeypatch)
    assert_close(gradient(rewire.Shadow(network), given), plain, options)
    assert len(used) == expected
    # The network's own layers are as they were.
    used.clear()
    gradient(network, given)
    assert not used


def test_bfloat16_is_kept():
    for strides in ((1, 1, 1), (2, 2, 2)):
        kernel = ops.cast(DRAW.normal(size=(3, 3, 3, 3, 2)), "bfloat16")
        given = clips(3)

        def convolved(x, kernel=kernel, strides=strides):
            output = convolution.conv(ops.cast(x, "bfloat16"), kernel, strides, "same", (1, 1, 1))
            assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
            return ops.cast(output, "float32")

        def plain(x, kernel=kernel, strides=strides):
            return ops.conv(x, ops.cast(kernel, "float32"), strides, "same", "channels_last")

        assert_close(gradient(convolved, given), gradient(plain, given), strides, most=0.02)
