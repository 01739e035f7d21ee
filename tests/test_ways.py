"""Clips that drift in a direction and in the opposite one: what is in them, and their scores."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from c3dvis import objectives
from c3dvis.maximize import BothWays, MaximizedClip, both_ways, scores
from c3dvis.maximize.parametrizations import Fourier
from c3dvis.motion import DriftingGabor
from c3dvis.responses import motion_tuning

EXTENT = (8, 16, 16)


def drift_shares(clip, direction):
    """Of the power of all waves that move, the shares about a direction and about the opposite.

    By the transform over all axes, not halved, and a loop over angles of its own.
    """
    waves = np.fft.fftn(clip.mean(axis=-1) - clip.mean())
    power = np.abs(waves) ** 2
    t, y, x = np.meshgrid(*map(np.fft.fftfreq, clip.shape[:3]), indexing="ij")
    moving = (t != 0) & ((x != 0) | (y != 0))
    # exp(i(x f + t h)) is at rest for one who goes at -h / f; rows go down.
    way = np.degrees(np.arctan2(np.sign(t) * y, -np.sign(t) * x))
    off = np.abs((way - direction + 180) % 360 - 180)
    total = power[moving].sum()
    return [power[moving & where].sum() / total for where in (off <= 46, off >= 134)]


@pytest.mark.parametrize("direction", [0.0, 90.0, 200.0])
def test_a_grating_is_kept_where_it_drifts_that_way(direction):
    """The known answer: the grating of `c3dvis.motion`, whose direction is documented there."""
    clip = DriftingGabor(direction, spatial_frequency=0.125, temporal_frequency=0.125)
    layer = Fourier(directions=(direction, direction + 180))
    layer.build((2, *EXTENT, 3))
    clip = 0.5 + 0.4 * (clip.clip(frames=8, size=(16, 16)) - 0.5)
    layer.start_from(np.stack([clip, clip]))
    along, against = np.asarray(layer.decode())
    assert np.corrcoef(along.ravel(), clip.ravel())[0, 1] > 0.9
    assert against.std() < 0.3 * along.std()


def test_the_start_drifts_with_the_usual_contrast():
    rngs = [np.random.default_rng(0) for _ in range(2)]
    layer, usual = Fourier(directions=(30, 210)), Fourier()
    for each in (layer, usual):
        each.build((2, *EXTENT, 3))
        each.restart(rngs)
    clips = np.asarray(layer.decode())
    for clip, direction in zip(clips, (30, 210), strict=True):
        along, against = drift_shares(clip, direction)
        assert along > 0.9 and against < 0.05
    # One clip, played forward and backward.
    np.testing.assert_allclose(clips[1], clips[0][::-1], atol=1e-5)
    assert 0.5 < clips.std() / np.asarray(usual.decode()).std() < 2
    assert Fourier.from_config(layer.get_config()).directions == (30.0, 210.0)


@pytest.fixture(scope="module")
def network():
    """Units 0 and 1: motion energy to the right and upward. Unit 2: energy of either way.

    Unit 3: energy to the right, and twenty times as much for light of any kind.
    """
    clip = keras.Input((*EXTENT, 3))
    pairs = [
        DriftingGabor(way, spatial_frequency=0.2, temporal_frequency=0.2, phase=phase)
        for way in (0, 90, 180)
        for phase in (0, 90)
    ]
    conv = layers.Conv3D(6, (5, 7, 7), use_bias=False, name="pairs")
    waves = conv(clip)
    energy = ops.sum(ops.reshape(waves, (-1, *waves.shape[1:4], 3, 2)) ** 2, axis=-1)
    right, up, left = (energy[..., i] for i in range(3))
    light = ops.mean(clip[:, :4, :10, :10], axis=-1)
    units = ops.stack([right, up, right + left, right + 20 * light], axis=-1)
    units = layers.Identity(name="units")(units)
    kernels = [np.repeat(p.wave(frames=5, size=(7, 7))[..., None], 3, -1) / 100 for p in pairs]
    conv.set_weights([np.stack(kernels, axis=-1)])
    return keras.Model(clip, layers.GlobalAveragePooling3D()(units))


def test_units_of_a_direction_prefer_it_and_units_of_an_axis_do_not(network):
    one, up, axis = both_ways(network, "units:0-2", [0, 90, 0], steps=24)
    for both in (one, up):
        assert both.against.score < 0.3 * both.along.score
    assert 0.7 < axis.against.score / axis.along.score < 1.4
    for both in (one, up, axis):
        for result, direction in (
            (both.along, both.direction),
            (both.against, both.direction + 180),
        ):
            along, against = drift_shares(result.clip, direction)
            assert result.status == "ok" and along > 0.8 and against < 0.1
    assert one.selectivity > 0.6 and up.selectivity > 0.6 and abs(axis.selectivity) < 0.1
    turned = scores(network, "units:1", np.stack([up.along.clip[::-1], up.against.clip[::-1]]))
    np.testing.assert_allclose([up.along_backward, up.against_backward], turned[:, 0], rtol=1e-3)
    assert repr(up).startswith("BothWays(90 degrees: ")
    (again,) = both_ways(network, objectives.channel("units", 1), [90], steps=24)
    np.testing.assert_allclose(again.along.clip, up.along.clip, atol=1e-5)


def test_gratings_select_where_appearance_outweighs_the_direction_in_made_clips(network):
    """A grating's light is the grey's, so that the card tells of the direction alone."""
    tuning = motion_tuning(
        network,
        "units",
        channels=[3],
        directions=(0, 90, 180, 270),
        spatial_frequencies=[0.2],
        temporal_frequencies=[0.2],
    )
    (both,) = both_ways(network, "units:3", [0], steps=24)
    assert np.cos(np.radians(tuning.best[0].direction)) > np.cos(np.radians(5))
    assert tuning.direction_selectivity[0] > 0.8
    assert abs(both.selectivity) < 0.1 < both.along.score


def test_selectivity_is_of_the_same_frames_played_either_way():
    clip = MaximizedClip(np.zeros((3, 4, 4, 3), np.float32), 3.0, "ok")
    # 3 + 5 the one way, 4 + 1 the other; a score below 0 counts as 0.
    both = BothWays(0.0, clip, replace(clip, score=4.0), 1.0, 5.0)
    assert both.selectivity == pytest.approx((8 - 5) / 13)
    assert replace(both, along_backward=-9.0).selectivity == pytest.approx((8 - 4) / 12)
    dark = replace(clip, score=-1.0)
    assert np.isnan(BothWays(0.0, dark, dark, -1.0, -2.0).selectivity)


def test_what_does_not_fit_is_refused(network):
    for directions in ([0], 90.0, ["up", "down"], [0, np.nan]):
        with pytest.raises(ValueError, match="direction in degrees for each of the 2 units"):
            both_ways(network, "units:0-1", directions, steps=1)
    layer = Fourier(directions=(0, 180))
    with pytest.raises(ValueError, match="3 frames.*Received: 2 frames of 16 x 16"):
        layer.build((2, 2, 16, 16, 3))
    layer = Fourier(directions=(0, 180))
    with pytest.raises(ValueError, match="a direction for each of 3 clips. Received: 2"):
        layer.build((3, *EXTENT, 3))
    with pytest.raises(ValueError, match="Expected a Fourier with directions"):
        Fourier().turn((0, 180))
