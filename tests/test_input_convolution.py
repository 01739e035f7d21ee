"""The quicker gradient of the convolution that reads the clip is the backend's."""

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff
from c3dvis.maximize import input_convolution

DRAW = np.random.default_rng(0)
CLIPS = DRAW.random((2, 6, 9, 8, 3), np.float32)


def gradient(convolved, kernel, clips=CLIPS):
    """Of a score that weighs every output differently."""
    made = convolved(ops.convert_to_tensor(clips))
    weights = np.random.default_rng(1).normal(size=made.shape).astype(np.float32)
    run = autodiff.value_and_gradient(lambda x: ops.sum(convolved(x) * weights, axis=(1, 2, 3, 4)))
    return ops.convert_to_numpy(run(clips)[1])


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [(3, 3, 3), (1, 5, 3), (5, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize("channels", [1, 4])
def test_values_and_gradient_are_those_of_the_plain_convolution(padding, size, channels):
    kernel = DRAW.normal(size=(*size, 3, channels)).astype(np.float32)
    plain = gradient(lambda x: ops.conv(x, kernel, 1, padding, "channels_last"), kernel)
    quick = gradient(lambda x: input_convolution.conv(x, kernel, 1, padding, 1), kernel)
    np.testing.assert_allclose(quick, plain, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        input_convolution.conv(CLIPS, kernel, 1, padding, 1),
        ops.conv(CLIPS, kernel, 1, padding, "channels_last"),
    )


@pytest.mark.parametrize(
    ("options", "restated"),
    [
        ({}, True),
        ({"strides": 2}, False),
        ({"strides": (1, 2, 2)}, False),
        ({"dilation_rate": 2}, False),
        ({"padding": "valid"}, True),
        ({"kernel_size": (4, 3, 3)}, False),
        ({"kernel_size": (2, 4, 2), "padding": "valid"}, True),
    ],
)
def test_a_network_s_layers_have_it_where_it_holds(options, restated, monkeypatch):
    network = keras.Sequential(
        [
            keras.layers.Input((6, 9, 8, 3)),
            keras.layers.Conv3D(
                5, **{"kernel_size": 3, "padding": "same", "activation": "relu", **options}
            ),
            keras.layers.Conv3D(2, 3, padding="same"),
        ]
    )
    plain = gradient(network, None)
    used = []
    own = input_convolution._gradient

    def noted(*arguments):
        used.append(arguments)
        return own(*arguments)

    monkeypatch.setattr(input_convolution, "_gradient", noted)
    with input_convolution.restated(network):
        quick = gradient(network, None)
    np.testing.assert_allclose(quick, plain, rtol=1e-4, atol=1e-5)
    assert bool(used) == restated
    # Outside the block the layer is as it was.
    used.clear()
    gradient(network, None)
    assert not used


def test_bfloat16_is_kept():
    kernel = ops.cast(DRAW.normal(size=(3, 3, 3, 3, 2)), "bfloat16")

    def convolved(x):
        made = input_convolution.conv(ops.cast(x, "bfloat16"), kernel, 1, "same", 1)
        return ops.cast(made, "float32")

    exact = gradient(lambda x: ops.conv(x, ops.cast(kernel, "float32"), 1, "same"), kernel)
    np.testing.assert_allclose(gradient(convolved, kernel), exact, atol=0.02 * np.abs(exact).max())
