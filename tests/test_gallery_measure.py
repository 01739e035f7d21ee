"""What is measured on synthetic clips, on clips whose colour and motion are known."""

import numpy as np
import pytest
from gallery_folder import stripes

from c3dvis.gallery.measure import Measures, measure


def wave(right, down, *, frames=8, size=48):
    """Two crossed waves, 24 pixels long, that drift."""
    time, row, column = np.meshgrid(*map(np.arange, (frames, size, size)), indexing="ij")
    phases = (column - right * time, row - down * time)
    luminance = 0.5 + 0.2 * sum(np.sin(2 * np.pi * phase / 24) for phase in phases)
    return np.repeat(luminance[..., None], 3, axis=-1)


@pytest.mark.parametrize("drift", [(0.9, 0.0), (-0.5, 0.3), (0.0, -1.2)])
def test_a_drift_is_found_in_pixels_a_frame(drift):
    measured = measure(wave(*drift))
    np.testing.assert_allclose(measured.drift, drift, atol=0.05)
    assert measured.drift_share > 0.98 and measured.plain_color is None


def test_stripes_drift_across_themselves():
    assert measure(wave(0.5, 0.0)[:, :1].repeat(48, axis=1)).drift == pytest.approx(
        (0.5, 0), abs=0.02
    )


@pytest.mark.parametrize("degrees", [30, 60, 120, 250])
def test_oblique_stripes_drift_across_themselves(degrees):
    right, down = measure(stripes(degrees)).drift
    assert np.degrees(np.arctan2(-down, right)) % 360 == pytest.approx(degrees, abs=3)


def test_noise_that_flickers_drifts_nowhere():
    noise = measure(np.random.default_rng(0).random((8, 32, 32, 3)))
    assert noise.drift_share < 0.05 and noise.change == pytest.approx(2**0.5, rel=0.02)


def test_a_clip_of_one_colour_is_plain_and_one_that_stands_still_has_no_drift():
    plain = np.full((4, 8, 8, 3), [1.0, 0.502, 0.0]) - 0.001 * np.eye(8)[..., None]
    assert measure(plain.clip(0, 1)).plain_color == "#ff8000"
    still = measure(wave(0, 0))
    assert still == Measures(change=0.0)


def test_a_clip_of_one_frame_has_no_drift():
    assert measure(wave(1, 1, frames=1)).drift is None
    assert measure(wave(1, 1)[..., :1]).drift == measure(wave(1, 1)).drift
