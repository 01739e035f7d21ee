"""Planted truth: the Gabors are what they say, the measures are right, the optima are optima."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, rewire
from c3dvis.maximize import parametrizations, scores, transforms
from c3dvis.maximize.optimizers import ClipwiseAdam
from c3dvis.motion import DriftingGabor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import measures
import planted
import planted_judge
import planted_maco
import planted_networks
import planted_report
import planted_runs

EXTENT = {"frames": 16, "size": (32, 32)}
WINDOW = (12, 16, 16)
WAVES = [(1 / 5, 0.1), (1 / 7, 0.2), (1 / 9, 0.35), (0.15, 0.0)]


@pytest.fixture(scope="module")
def networks():
    return {case.units[0].kind: case for case in planted_networks.all_networks()}


# The stimuli


@pytest.mark.parametrize(
    ("direction", "before", "after"),
    [
        (0, np.s_[:-1, :, :-1], np.s_[1:, :, 1:]),
        (90, np.s_[:-1, 1:], np.s_[1:, :-1]),
        (180, np.s_[:-1, :, 1:], np.s_[1:, :, :-1]),
        (270, np.s_[:-1, :-1], np.s_[1:, 1:]),
        (45, np.s_[:-1, 1:, :-1], np.s_[1:, :-1, 1:]),
    ],
)
def test_a_wave_of_one_pixel_a_frame_is_its_last_frame_moved_by_a_pixel(direction, before, after):
    """A step right and one up together are sqrt(2) pixels along 45 degrees."""
    speed = np.sqrt(2) if direction == 45 else 1
    gabor = DriftingGabor(direction, spatial_frequency=0.1, temporal_frequency=0.1 * speed, phase=9)
    wave = gabor.wave(**EXTENT)
    np.testing.assert_allclose(wave[after], wave[before], atol=1e-5)
    assert np.abs(wave[1:] - wave[:-1]).max() > 0.1


def test_flicker_is_two_waves_that_drift_against_each_other():
    right = DriftingGabor(0, phase=40)
    both = right.wave(**EXTENT) + replace(right, direction=180, phase=-40).wave(**EXTENT)
    np.testing.assert_allclose(replace(right, flicker=True).wave(**EXTENT), both / 2, atol=1e-6)


def test_the_window_is_gaussian_in_space_and_time():
    wide = DriftingGabor(spatial_frequency=1e-6, temporal_frequency=0.0, width=4.0, duration=3.0)
    wave = wide.wave(frames=15, size=(31, 31))
    half = np.exp(-0.5)
    values = wave[7, 15, 15], wave[7, 15, 19], wave[7, 11, 15], wave[10, 15, 15]
    np.testing.assert_allclose(values, [1, half, half, half], rtol=1e-5)


def test_the_clip_is_the_wave_in_its_colour_around_grey():
    gabor = DriftingGabor(30, colour=(2.0, -2.0, 0.0))
    clip, wave = gabor.clip(**EXTENT), gabor.wave(**EXTENT)
    assert clip.shape == (16, 32, 32, 3) and clip.dtype == np.float32
    np.testing.assert_allclose(clip[..., 0], 0.5 + 0.5 * wave, atol=1e-6)
    np.testing.assert_allclose(clip[..., 1], 0.5 - 0.5 * wave, atol=1e-6)
    assert (clip[..., 2] == 0.5).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"spatial_frequency": 0.0},
        {"spatial_frequency": 0.6},
        {"temporal_frequency": -0.1},
        {"temporal_frequency": 0.51},
        {"temporal_frequency": float("nan")},
        {"direction": float("inf")},
        {"phase": float("nan")},
        {"colour": (0.0, 0.0, 0.0)},
        {"colour": (1.0, 1.0)},
        {"colour": 1.0},
        {"colour": (1.0, float("nan"), 0.0)},
        {"width": 0.0},
        {"duration": -1.0},
    ],
)
def test_wrong_waves_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected .* Received"):
        DriftingGabor(**wrong)


def test_a_clip_of_no_frames_is_refused():
    with pytest.raises(ValueError, match="Expected .* Received"):
        DriftingGabor().clip(frames=0, size=(4, 4))


# The measures


@pytest.mark.parametrize("direction", [0, 20, 45, 90, 160, 225, 300])
@pytest.mark.parametrize(("spatial", "temporal"), WAVES)
def test_the_measures_read_a_wave(direction, spatial, temporal):
    gabor = DriftingGabor(direction, spatial, temporal, phase=33)
    for clip in (gabor.clip(**EXTENT), planted_networks.square(gabor)):
        measured = measures.motion(0.4 * clip + 0.1, WINDOW)
        turn = 360 if temporal else 180
        assert measures.angle_between(measured.direction, direction, turn=turn) < 1
        assert measured.spatial_frequency == pytest.approx(spatial, rel=0.02)
        assert measured.temporal_frequency == pytest.approx(temporal, rel=0.02, abs=1e-3)
        assert measured.speed == pytest.approx(gabor.speed, rel=0.03, abs=1e-2)
        assert measured.flicker < 0.1 if temporal else measured.flicker == pytest.approx(1)


@pytest.mark.parametrize("direction", [0, 45, 135])
def test_the_measures_tell_flicker_from_drift(direction):
    still = DriftingGabor(direction, 1 / 7, 0.2, flicker=True, phase=12)
    measured = measures.motion(still.clip(**EXTENT), WINDOW)
    assert measured.flicker == pytest.approx(1, abs=1e-3)
    assert measures.angle_between(measured.direction, direction, turn=180) < 1
    assert measured.temporal_frequency == pytest.approx(0.2, rel=0.05)


def test_a_wave_whose_phase_jumps_is_the_same_wave():
    """Its halves are in opposite phase, so the spectrum of the whole clip has two peaks beside."""
    clip = DriftingGabor(90, 1 / 9, 0.35).clip(**EXTENT)
    clip[:, :16] = 1 - clip[:, :16]
    measured = measures.motion(clip, WINDOW)
    assert measured.spatial_frequency == pytest.approx(1 / 9, rel=0.05)
    assert measured.speed == pytest.approx(3.15, rel=0.05)


def test_a_red_and_green_wave_moves_though_its_brightness_does_not():
    clip = DriftingGabor(270, 0.15, 0.15, colour=(1, -1, 0)).clip(**EXTENT)
    assert np.ptp(clip.sum(axis=-1)) < 1e-5
    assert measures.motion(clip, WINDOW).direction == pytest.approx(270, abs=0.5)


@pytest.mark.parametrize("colour", [(1, 1, 1), (1, -1, 0), (-1, -1, 1), (0.2, 0.5, -1)])
def test_the_measures_read_a_colour(colour):
    clip = DriftingGabor(colour=colour).clip(**EXTENT)
    assert measures.colours_between(measures.colour(clip), colour) < 1e-3
    grey = measures.colours_between(measures.colour(clip), (1, 1, 1))
    expected = np.degrees(np.arccos(min(abs(sum(colour)) / np.sqrt(3 * np.dot(colour, colour)), 1)))
    assert grey == pytest.approx(expected, abs=1e-3)


def test_angles_between_directions_and_orientations():
    assert measures.angle_between(350, 10) == pytest.approx(20)
    assert measures.angle_between(10, 190) == pytest.approx(180)
    assert measures.angle_between(10, 190, turn=180) == pytest.approx(0)
    assert measures.colours_between((1, -1, 0), (-1, 1, 0)) == pytest.approx(0, abs=1e-5)
    assert measures.colours_between((1, 0, 0), (0, 3, 0)) == pytest.approx(90)


def _spectrum(**changes):
    gabor = replace(DriftingGabor(45, 1 / 7, 0.2), **changes)
    return measures.spectrum(gabor.clip(**EXTENT), WINDOW)


def test_a_spectrum_overlaps_itself_in_any_phase_and_contrast():
    assert _spectrum().sum() == pytest.approx(1)
    assert measures.overlap(_spectrum(), _spectrum(phase=77)) > 0.99
    assert measures.shared(_spectrum(), _spectrum(phase=77)) > 0.95
    faint = 0.1 * DriftingGabor(45, 1 / 7, 0.2).clip(**EXTENT) + 0.7
    assert measures.overlap(_spectrum(), measures.spectrum(faint, WINDOW)) > 0.999


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": 65},
        {"direction": 225},
        {"temporal_frequency": 0.25},
        {"spatial_frequency": 1 / 5},
        {"flicker": True},
    ],
)
def test_the_spectrum_of_another_wave_does_not_overlap(changes):
    assert measures.overlap(_spectrum(), _spectrum(**changes)) < 0.8
    assert measures.shared(_spectrum(), _spectrum(**changes)) < 0.7


def test_noise_in_a_clip_is_power_not_shared():
    """Power of noise that equals the wave's leaves about half of the power at its frequencies."""
    wave = DriftingGabor(45, 1 / 7, 0.2).wave(**EXTENT)[..., None]
    noise = np.random.default_rng(0).standard_normal(wave.shape)
    clip = wave / wave.std() + noise / noise.std()
    spectrum = measures.spectrum(clip, WINDOW)
    assert measures.shared(_spectrum(), spectrum) == pytest.approx(0.5, abs=0.1)
    assert measures.overlap(_spectrum(), spectrum) > 0.9


@pytest.mark.parametrize(
    ("clip", "window"),
    [
        (np.zeros((16, 32, 32)), WINDOW),
        (np.zeros((3, 32, 32, 3)), (2, 16, 16)),
        (np.full((16, 32, 32, 3), np.nan), WINDOW),
        (np.ones((16, 32, 32, 3)), WINDOW),
        (np.eye(32)[None, :, :, None].repeat(16, 0), (18, 16, 16)),
        (np.eye(32)[None, :, :, None].repeat(16, 0), (12, 15, 16)),
        (np.eye(32)[None, :, :, None].repeat(16, 0), (12, 16)),
    ],
)
@pytest.mark.parametrize("measure", [measures.motion, measures.spectrum])
def test_wrong_clips_and_windows_are_refused(measure, clip, window):
    with pytest.raises(ValueError, match="Expected .* Received"):
        measure(clip, window)


# The networks


def test_the_optimum_of_every_unit_is_judged_recovered_and_noise_is_not(networks):
    judged = planted_runs.controls(list(networks.values()))
    for one in judged["(planted optimum)"]:
        assert not one.misses and one.direction < 1 and one.overlap > 0.999, one.unit.name
        assert abs(one.speed) < 0.05 and one.colour < 1e-3 and one.score == pytest.approx(1)
    for one in judged["(white noise)"]:
        assert "overlap" in one.misses and one.overlap < 0.5 and one.score < 0.1, one.unit.name


def test_the_optimum_of_another_unit_is_not_judged_recovered(networks):
    for kind in ("medium", "colour", "flicker", "order"):
        units = networks[kind].units[:3]
        for unit in units:
            for other in units:
                assert (not planted_judge.judge(unit, other.best, 1.0).misses) == (unit is other)


def test_a_unit_gives_its_own_optimum_more_than_any_other_units(networks):
    for case in networks.values():
        table = scores(case.network, case.objective, np.stack([unit.best for unit in case.units]))
        np.testing.assert_array_equal(table.argmax(axis=0), range(len(case.units)))


@pytest.mark.parametrize("kind", ["slow", "medium", "fast", "flicker"])
def test_a_unit_gives_less_to_waves_near_its_own(networks, kind):
    case = networks[kind]
    unit = case.units[1]
    (event,) = unit.events
    near = [
        replace(event, direction=event.direction + 10),
        replace(event, direction=event.direction - 10),
        *(replace(event, temporal_frequency=f * event.temporal_frequency) for f in (0.8, 1.2)),
        *(replace(event, spatial_frequency=f * event.spatial_frequency) for f in (0.85, 1.15)),
    ]
    clips = np.stack([unit.best, *map(planted_networks.square, near)])
    table = scores(case.network, case.objective[1], clips)[:, 0]
    assert (table[1:] < 0.97 * table[0]).all()


@pytest.mark.parametrize("kind", planted_networks.KINDS)
def test_no_climb_finds_a_better_clip_than_the_planted_one(networks, kind):
    """Steps to the limits of [0, 1] along the gradient, which never fall on what is convex."""
    case = networks[kind]
    count = min(len(case.units), 2)
    objective = case.objective[:count]
    quicker = rewire.Shadow(case.network)  # many times on some processors

    def score(clips):
        activation = quicker(clips)
        if kind.startswith("linear"):
            activation = activation[:, 1, 2, 2]
        axes = tuple(range(1, len(activation.shape) - 1))
        each = ops.mean(activation, axis=axes) if axes else activation
        return ops.sum(each * ops.eye(len(case.units))[:count], axis=-1)

    climb = autodiff.value_and_gradient(score, variables=case.network.variables)
    best = np.stack([unit.best for unit in case.units[:count]])
    planted_score = np.diag(scores(case.network, objective, best))
    noise = np.random.default_rng(0).random(best.shape, np.float32)
    for clips in (best, noise):
        for _ in range(20):
            _, gradient = climb(clips)
            gradient = ops.convert_to_numpy(gradient)
            clips = np.where(gradient == 0, clips, 0.5 + 0.5 * np.sign(gradient)).astype("float32")
        reached = np.diag(scores(case.network, objective, clips))
        assert (reached <= 1.01 * planted_score).all()


# What is made


def test_fourier_recovers_two_units_in_a_short_run(networks):
    case = networks["medium"]
    few = replace(case, objective=case.objective[2:4], units=case.units[2:4])
    for one in planted_runs.recover(few, steps=48, parametrization="fourier"):
        assert not one.misses


@pytest.mark.parametrize("kind", ["colour", "linear fast"])
def test_opponent_colours_and_neurons_are_recovered_by_default(networks, kind):
    case = networks[kind]
    few = replace(case, objective=case.objective[1:3], units=case.units[1:3])
    for one in planted_runs.recover(few, steps=96):
        assert not one.misses


def test_the_clip_of_an_order_shows_both_events_in_order(networks):
    # With the defaults of filters: those of classes show them at many sizes, so at many speeds.
    options = {
        "parametrization": parametrizations.Fourier(),
        "optimizer": ClipwiseAdam(),
        "transforms": transforms.default(*networks["order"].units[0].best.shape[:3]),
    }
    for one in planted_runs.recover(networks["order"], **options):
        # The worse event: in the wrong order it would be 180 degrees off.
        assert not one.misses


def test_the_page_names_what_failed(networks):
    judged = planted_runs.controls([networks["order"]])
    failed = judged["(white noise)"]
    knob = [(1.0, failed, 0.5, 0.9)]
    others = [("(white noise)", "more of it", "order", judged["(planted optimum)"])]
    settings = {"options": "", "frames": 16, "size": (32, 32)}
    text = planted_report.page(judged, knob=knob, others=others, settings=settings)
    assert "| (planted optimum) | 2 of 2 |" in text
    assert "| (white noise) | 0 of 2 |" in text
    assert "| (white noise) | more of it | order | 2 (0) of 2 | 1.00 (" in text
    failures = text.split("## Failures")[1]
    assert failures.count("(white noise)") == 2 and "planted optimum)" not in failures


@pytest.mark.parametrize("wrong", [["--parametrizations", "fuorier"], ["--kinds", "slowly"]])
def test_the_command_refuses_names_that_are_not_there(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        planted.main(wrong)
    assert stopped.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


# What MaCo can reach


def test_the_most_overlap_is_that_of_the_best_shares_in_time():
    """One wave is wanted, all frequencies in space hold alike: the others spread out in time."""
    wanted = np.zeros((8, 4, 4))
    wanted[3, 1, 2] = 1.0
    most = planted_maco.most_overlap(np.ones((4, 4)), wanted)
    np.testing.assert_allclose(most, 1 / np.sqrt(1 + 15 / 8), rtol=1e-3)


def test_what_holds_the_wanted_power_can_be_the_wanted():
    wanted = np.random.default_rng(0).random((8, 4, 4)) ** 3
    most = planted_maco.most_overlap(wanted.sum(axis=0), wanted)
    np.testing.assert_allclose(most, 1, rtol=1e-3)
