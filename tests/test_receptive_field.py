"""The part of a clip that a unit sees, against published fields and against gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, models, receptive_field
from c3dvis.receptive_field import Window

L = keras.layers
SHAPE = (7, 15, 14, 2)

# (T, H, W) of C3D's units, worked out by hand from kernels of 3 and pools of 2.
C3D = {
    "conv1": (3, 3, 3),
    "conv2": (5, 8, 8),
    "conv3a": (10, 18, 18),
    "conv3b": (14, 26, 26),
    "conv4a": (24, 46, 46),
    "conv4b": (32, 62, 62),
    "conv5a": (52, 102, 102),
    "conv5b": (68, 134, 134),
}


@pytest.fixture(scope="module")
def c3d():
    return models.build("c3d", weights=None, width=0.0625, input_shape=(80, 144, 144, 3))


@pytest.mark.parametrize("layer", C3D)
def test_fields_of_c3d(c3d, layer):
    assert receptive_field.of(c3d, layer).shape == C3D[layer]


def test_a_field_ends_where_the_clip_does(c3d):
    field = receptive_field.of(c3d, "conv3b", (0, 0, 35))
    # Rows back to the clip: 1, then 2, 3, pooled 6, 7, pooled 14, 15.
    assert (field.time, field.height, field.width) == ((0, 8), (0, 15), (129, 144))
    assert np.zeros((80, 144, 144, 3))[field.slices].shape == (8, 15, 15, 3)


def windows():
    clip = L.Input(SHAPE)
    x = L.Conv3D(3, 3, strides=(1, 2, 1), padding="same", name="strided")(clip)
    x = L.Conv3D(3, (1, 2, 3), padding="same", dilation_rate=(1, 1, 2), name="dilated")(x)
    x = L.AveragePooling3D(2, padding="same", name="pool")(x)
    x = L.ZeroPadding3D(((1, 0), (0, 0), (2, 1)), name="padded")(x)
    y = L.Conv3D(3, 1, name="narrow")(x)
    x = L.Conv3D(3, 3, padding="same", name="wide")(x)
    x = L.Cropping3D(((0, 1), (1, 0), (0, 0)), name="cropped")(L.Add(name="sum")([x, y]))
    return keras.Model(clip, L.Dense(2, name="out")(L.Flatten()(x)))


@pytest.mark.parametrize(
    "layer", ["strided", "dilated", "pool", "padded", "wide", "sum", "cropped"]
)
def test_exactly_what_has_a_gradient_is_seen(layer):
    """Positive weights let no path cancel another; no layer in between turns any off."""
    network = windows()
    for weight in network.weights:
        weight.assign(np.abs(np.random.default_rng(0).random(weight.shape)) + 0.1)
    part = keras.Model(network.inputs[0], network.get_layer(layer).output)
    clip = np.random.default_rng(1).random((1, *SHAPE), np.float32)
    extent = part.output.shape[1:4]
    for position in (tuple(n // 2 for n in extent), (1, 0, 2), tuple(n - 1 for n in extent)):
        where = (slice(None), *position)
        _, gradient = autodiff.value_and_gradient(lambda x, at=where: ops.sum(part(x)[at]))(clip)
        seen = np.argwhere(np.abs(ops.convert_to_numpy(gradient)[0]).sum(-1) > 0)
        if layer == "padded" and not len(seen):
            continue  # this place is padding
        field = receptive_field.of(network, layer, position)
        expected = tuple(zip(seen.min(0).tolist(), (seen.max(0) + 1).tolist(), strict=True))
        assert (field.time, field.height, field.width) == expected
        assert field.reason is None


def test_a_layer_that_mixes_all_positions_sees_all_and_says_so():
    network = windows()
    field = receptive_field.of(network, "out")
    assert field.shape == SHAPE[:3] and "'flatten" in field.reason
    clip = L.Input(SHAPE)
    x = L.ConvLSTM2D(3, 3, return_sequences=True, name="lstm")(clip)
    network = keras.Model(clip, L.Conv3D(3, 1, name="behind")(x))
    field = receptive_field.of(network, "behind")
    assert field.shape == SHAPE[:3] and "'lstm', a ConvLSTM2D" in field.reason


def test_layers_of_models_inside_and_networks_of_any_size():
    inner = keras.Sequential(
        [L.Input((None, None, None, 3)), L.Conv3D(2, 3, padding="same", name="conv")], name="inner"
    )
    clip = L.Input((None, None, None, 3))
    network = keras.Model(clip, inner(L.MaxPooling3D(2)(clip)))
    for name in ("conv", "inner/conv"):
        assert receptive_field.of(network, name, shape=(12, 12, 16)).shape == (6, 6, 6)
    with pytest.raises(ValueError, match=r"shape=\(T, H, W\).*Received: None"):
        receptive_field.of(network, "conv")


class Shifts(L.Layer):
    """A layer of one's own, of which nothing is known."""

    def call(self, x):
        return ops.roll(x, 1, axis=1)


class Brightens(Shifts):
    positionwise = True

    def call(self, x):
        return x + 1


def test_layers_of_ones_own_are_followed_where_they_say_so():
    for own, reason in ((Shifts(name="own"), "'own', a Shifts"), (Brightens(), None)):
        clip = L.Input(SHAPE)
        network = keras.Model(clip, L.Conv3D(2, 3, name="conv")(own(clip)))
        field = receptive_field.of(network, "conv")
        assert (field.reason or "").count(reason or "-") == bool(reason)
        assert field.shape == (SHAPE[:3] if reason else (3, 3, 3))


def test_wrong_questions_are_refused():
    network = windows()
    with pytest.raises(ValueError, match="'strided'.*Received: 'strides'"):
        receptive_field.of(network, "strides")
    with pytest.raises(ValueError, match=r"inside \(7, 8, 14\).*Received: \(7, 0, 0\)"):
        receptive_field.of(network, "strided", (7, 0, 0))
    with pytest.raises(ValueError, match=r"inside \(7, 8, 14\).*Received: 3"):
        receptive_field.of(network, "strided", 3)
    with pytest.raises(ValueError, match="fits.*Received: 64"):
        receptive_field.of(network, "strided", shape=64)
    with pytest.raises(ValueError, match=r"fits.*Received: \(7, 15, 15\)"):
        receptive_field.of(network, "strided", shape=(7, 15, 15))


def test_a_window_of_stride_and_dilation():
    window = Window(kernel=3, stride=2, dilation=4, before=1, after=2)
    assert window.reach == 9 and window.length(10) == 3
    assert window.read((1, 3)) == (1, 12)
