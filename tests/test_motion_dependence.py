"""What motion adds to a unit's responses: indices by hand, shares of planted units."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from c3dvis import responses
from c3dvis.responses import factors

SHAPE = (6, 16, 16, 3)


@pytest.fixture(scope="module")
def network():
    """Unit 0: brightness. Unit 1: change from frame to frame. Unit 2: brightening."""
    clip = keras.Input(SHAPE)
    conv = layers.Conv3D(3, (2, 1, 1), use_bias=False, name="conv")
    bent = ops.stack([conv(clip)[..., 0], ops.abs(conv(clip)[..., 1]), conv(clip)[..., 2]], axis=-1)
    units = layers.Identity(name="units")(bent)
    conv.set_weights([np.array([[0.5, -1, -1], [0.5, 1, 1]]).reshape(2, 1, 1, 1, 3) / 3 * ones()])
    return keras.Model(clip, layers.GlobalAveragePooling3D()(units))


def ones():
    return np.ones((1, 1, 1, 3, 1), np.float32)


def ramps(count=4):
    """Clips that brighten at a steady pace."""
    levels = np.linspace(0.1, 0.6, SHAPE[0])[None] * np.linspace(0.8, 1.2, count)[:, None]
    return np.broadcast_to(levels[:, :, None, None, None], (count, *SHAPE)).astype(np.float32)


def test_indices_by_hand(network):
    """Frozen, brightness stays and all change is gone; backwards, brightening is its negative."""
    dependence = responses.motion_dependence(network, "units", ramps(), draws=3)
    brightness = [dependence.index(0, change).mean for change in ("freeze", "shuffle", "reverse")]
    assert brightness == pytest.approx([0, 0, 0], abs=0.15) and brightness[2] == pytest.approx(
        0, abs=1e-4
    )
    lost = dependence.index(1, "freeze")
    assert lost.mean == pytest.approx(1) and 0.8 < lost.low < 1 < lost.high < 1.2  # as the ramps
    assert dependence.index(1, "reverse") == pytest.approx((0, 0, 0), abs=1e-6)
    assert dependence.index(2, "reverse").mean == pytest.approx(2, rel=1e-4)
    np.testing.assert_allclose(dependence.original[2], 0.1 * np.linspace(0.8, 1.2, 4), rtol=1e-4)
    assert repr(dependence) == "MotionDependence('units', 3 units, 4 clips)"


def test_a_unit_that_does_not_respond_has_no_index(network):
    dependence = responses.motion_dependence(network, "units", ramps()[:, ::-1], channels=[2])
    assert np.isnan(dependence.index(2).mean)


@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        (ramps(1), {}, "two clips or more.*Received: 1 clips"),
        (ramps(), {"draws": 0}, "draws=0"),
        (ramps(), {"channels": [3]}, "from 0 to 2. Received: 3"),
        (ramps()[:, :5], {}, "Expected a clip of 6 frames"),
    ],
)
def test_wrong_arguments_are_refused(network, clips, options, message):
    with pytest.raises(ValueError, match=message):
        responses.motion_dependence(network, "units", clips, **options)


def test_unknown_changes_and_units_are_refused(network):
    dependence = responses.motion_dependence(network, "units", ramps(2), channels=[1], draws=1)
    with pytest.raises(ValueError, match="'freeze'"):
        dependence.index(1, "frezee")
    for of_unit in (lambda: dependence.index(0), lambda: dependence.only(0, [1])):
        with pytest.raises(ValueError, match="one of the units .* Received: 0"):
            of_unit()


def planted():
    """Ten units of a colour, ten of a direction, and ten of a colour that goes in a direction.

    A unit of a direction is the share of its motion energy in that of all directions, so that
    contrast and size of what moves do not matter; a joint unit is the product of a colour and a
    direction, both 0 on average, so that neither tells anything alone (weights of
    a hue add up to 0).
    """
    clip = keras.Input((8, 24, 24, 3))
    grey = layers.Conv3D(1, 1, use_bias=False, trainable=False, name="grey")(clip)
    angles = np.arange(10) * 36.0
    pairs = layers.Conv3D(40, (6, 11, 11), strides=(1, 3, 3), use_bias=False, name="pairs")
    energy = ops.square(pairs(grey))
    by_wave = ops.reshape(ops.mean(energy, axis=(1, 2, 3)), (-1, 20, 2))
    toward, away = ops.split(ops.sum(by_wave, axis=-1), 2, axis=-1)
    direction = (toward - away) / (toward + away + 1e-6)
    hues = layers.Dense(10, use_bias=False, name="hues")
    colour = hues(ops.mean(clip, axis=(1, 2, 3)))
    both = ops.concatenate([colour, direction, colour * direction], axis=-1)
    network = keras.Model(clip, layers.Identity(name="units")(both))
    network.get_layer("grey").set_weights([np.full((1, 1, 1, 3, 1), 1 / 3, np.float32)])
    hue = np.stack([np.cos(np.radians(angles + shift)) for shift in (0, 120, 240)])
    hues.set_weights([hue.astype(np.float32)])
    t, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (6, 11, 11)), indexing="ij")
    window = np.exp(-(x**2 + y**2) / 18 - t**2 / 8)
    waves = []
    for turn, angle, phase in itertools.product((0, 180), angles, (0, np.pi / 2)):
        along = x * np.cos(np.radians(angle + turn)) - y * np.sin(np.radians(angle + turn))
        wave = window * np.cos(2 * np.pi * (along / 8 - 1.5 * t / 8) + phase)
        waves.append(wave - window * wave.sum() / window.sum())
    pairs.set_weights([np.stack(waves, axis=-1)[..., None, :].astype(np.float32)])
    return network


def test_planted_units_are_told_apart():
    factors_of_units = responses.appearance_and_motion(
        planted(), "units", textures=12, clips_each=3
    )
    assert factors_of_units.kinds == ["static"] * 10 + ["dynamic"] * 10 + ["joint"] * 10
    np.testing.assert_allclose(factors_of_units.shares.sum(axis=1), 1, rtol=1e-5)
    assert (factors_of_units.shares[:10, 0] > 0.99).all()


def test_shares_of_tables_worked_out_by_hand():
    """1, 3 | 5, 3: rows 2 and 4, columns 3 and 3; what is left is 1 in each."""
    table = np.array([[[1.0, 3.0], [5.0, 3.0]]])
    assert factors.shares(table)[0] == pytest.approx([0.5, 0, 0.5])
    assert np.isnan(factors.shares(np.full((1, 2, 2), 0.3))).all()


def test_textures_drift_as_they_should():
    """A texture that goes right by a pixel a frame is the frame before, rolled by a pixel."""
    clips = list(factors._clips(1, [(0.0, 0.0), (1.0, 0.0), (0.0, -1.0)], 1, (4, 12, 12), seed=1))
    still, right, up = clips
    np.testing.assert_allclose(still[1:], still[:-1], atol=1e-5)
    np.testing.assert_allclose(right[1:], np.roll(right[:-1], 1, axis=2), atol=1e-5)
    np.testing.assert_allclose(up[1:], np.roll(up[:-1], -1, axis=1), atol=1e-5)
    assert all(clip.min() >= 0 and clip.max() <= 1 for clip in clips) and right.std() > 0.05


@pytest.mark.parametrize("options", [{"textures": 1}, {"clips_each": 0}, {"speed": 0}])
def test_wrong_options_are_refused(network, options):
    with pytest.raises(ValueError, match="Expected two textures or more"):
        responses.appearance_and_motion(network, "units", **options)
