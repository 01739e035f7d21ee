"""Tuning to motion: what was planted is read off, indices are those worked out by hand."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tunings

from c3dvis import responses
from c3dvis.motion import DriftingGabor
from c3dvis.responses import tuning

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import planted_networks


@pytest.fixture(scope="module", params=["slow", "medium", "fast"])
def planted(request):
    """Units of motion energy, of directions that are not those of the grid."""
    spatial, temporal = planted_networks.SPEEDS[request.param]
    waves = {
        f"{angle}": DriftingGabor(
            angle, spatial_frequency=spatial, temporal_frequency=temporal, phase=8.0
        )
        for angle in (10.0, 52.0, 143.0, 200.0, 347.0)
    }
    planted = planted_networks.energy(request.param, waves)
    return planted, responses.motion_tuning(planted.network, "energy")


def test_direction_and_speed_of_planted_units(planted):
    """The optimum among waves of a filter of finite length is near its own wave, not on it."""
    network, tuned = planted
    for unit, best in zip(network.units, tuned.best, strict=True):
        (wave,) = unit.events
        turn = (best.direction - wave.direction + 180) % 360 - 180
        assert abs(turn) < 5, unit.name
        assert best.speed == pytest.approx(wave.speed, rel=0.05), unit.name


def test_opposite_and_standing_gratings_excite_planted_units_less(planted):
    _, tuned = planted
    assert (tuned.direction_selectivity > 0.8).all() and (tuned.direction_selectivity <= 1).all()
    assert (tuned.standing < tuned.best_response).all()
    assert (tuned.best_response >= tuned.responses.max(axis=(1, 2, 3)) * 0.999).all()
    assert (np.diff(tuned.to_contrast, axis=1) > 0).all()
    np.testing.assert_allclose(tuned.to_contrast[:, 3] / tuned.to_contrast[:, 4], 0.25, rtol=0.02)
    assert (tuned.to_colour.argmax(axis=1) == 0).all()  # the filters are of light and dark


def by_hand(curve, opposite, best):
    """A tuning of one unit whose curve of four directions is given."""
    shown = np.zeros((1, 4, 1, 2), np.float32)
    shown[0, :, 0, 1] = curve
    return tunings.of_one_unit(
        responses=shown,
        best_response=np.array([best], np.float32),
        opposite=np.array([opposite], np.float32),
    )


def test_indices_by_hand():
    """(3 - 1) / (3 + 1); of orientations 4 and 2 the mean vector is (4 - 2) / 6 long."""
    tuned = by_hand([3, 1, 1, 1], opposite=1, best=3)
    assert tuned.direction_selectivity == pytest.approx([0.5])
    assert tuned.circular_variance == pytest.approx([1 - 2 / 6])
    assert tuned.bandwidth == pytest.approx([135], abs=2)  # 3 falls to 1.5 after 67.5 degrees
    assert by_hand([2, 2, 2, 2], opposite=2, best=2).circular_variance == pytest.approx([1])
    assert np.isnan(by_hand([0, 0, 0, 0], opposite=-1, best=0).direction_selectivity)


def test_the_vertex_of_a_parabola():
    curve = [1 - (x - 0.3) ** 2 for x in (-1, 0, 1)]
    assert tuning._vertex(*curve) == pytest.approx(0.3)
    assert tuning._vertex(0, 1, 3) == 1 and tuning._vertex(2, 1, 0) == -1
    assert tuning._vertex(1, 1, 1) == 0


def test_a_unit_in_the_centre_sees_a_windowed_grating():
    """A convolution that reads one pixel answers as its centre does, wherever the window ends."""
    clip = keras.Input((8, 24, 24, 3))
    conv = keras.layers.Conv3D(2, (1, 3, 3), padding="same", activation="relu", name="conv")
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(conv(clip)))
    conv.set_weights([np.ones((1, 3, 3, 3, 2), np.float32) * [1, -1], np.array([0, 30], "float32")])
    tuned = responses.motion_tuning(
        network, "conv", place="receptive field", directions=(0, 180), spatial_frequencies=[0.05]
    )
    # Both units respond to slow waves of that size; light minus grey, and grey minus dark.
    assert (tuned.best_response > 2).all()
    assert tuned.direction_selectivity == pytest.approx([0, 0], abs=0.2)


def test_the_plot_names_direction_and_speed(planted):
    _, tuned = planted
    figure = tuned.plot(0)
    best = tuned.best[0]
    assert f"{best.direction:.0f}°, {best.speed:.2g} px per frame" in figure.axes[0].get_title()
    assert len(figure.axes) == 3  # with the bar of colours
    with pytest.raises(ValueError, match="Expected one of the units .* Received: 9"):
        tuned.plot(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"place": "centre"}, "Expected place 'field' or 'receptive field'. Received: 'centre'"),
        ({"channels": [5]}, "Expected channels from 0 to 4. Received: 5"),
        ({"channels": []}, "Received: none"),
        ({"directions": []}, r"at least one direction.* Received: directions \[\]"),
        ({"temporal_frequencies": [0]}, r"above 0. Received: .*temporal frequencies \[0\]"),
        ({"frames": 8}, "16"),
        ({"spatial_frequencies": [0.7]}, "up to 0.5 cycles per pixel. Received: 0.7"),
    ],
)
def test_wrong_arguments_are_refused(planted, options, message):
    with pytest.raises(ValueError, match=message):
        responses.motion_tuning(planted[0].network, "energy", **options)
