"""Units in words: the words are those of what was measured, and are taken back where they fail."""

import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import tunings

from c3dvis import responses
from c3dvis.responses import description

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import planted_mixtures
import planted_networks

GRID = {
    "directions": range(0, 360, 45),
    "spatial_frequencies": [0.1, 1 / 7, 0.2],
    "temporal_frequencies": [0.1, 0.2, 0.3],
}


@pytest.fixture(scope="module")
def clips():
    return np.stack(list(planted_mixtures.clips(60, seed=4)))


@pytest.fixture(scope="module")
def planted():
    """Motion energies of leftward light and dark, and of upward red and green."""
    light = planted_networks._waves("medium", [180])["medium 180"]
    red = dataclasses.replace(light, direction=90.0, colour=planted_networks.RED_GREEN)
    return planted_networks.energy("medium", {"light": light, "red": red}).network


by_hand = functools.partial(tunings.of_one_unit, layer="energy")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "leftward motion at 2 px per frame, red against green, stripes of 10 px"),
        (
            {"opposite": np.full(1, 0.5, np.float32)},
            "leftward or rightward motion at 2 px per frame, red against green, stripes of 10 px",
        ),
        (
            {"responses": np.ones((1, 4, 1, 2), np.float32)},
            "any motion at 2 px per frame, red against green, stripes of 10 px",
        ),
        (
            {"standing": np.full(1, 0.95, np.float32)},
            "upright static stripes, red against green, stripes of 10 px",
        ),
        (
            {"to_colour": np.array([[1, 0, 0, 0]], np.float32)},
            "leftward motion at 2 px per frame, light against dark, stripes of 10 px",
        ),
    ],
)
def test_words_say_what_was_measured(changed, words):
    assert description._Preference.from_tuning(by_hand(**changed), 0).words == words


@pytest.fixture
def coarse(monkeypatch):
    """Tuning that is measured on few gratings."""
    tuned = functools.partial(responses.motion_tuning, **GRID)
    monkeypatch.setattr(description, "motion_tuning", tuned)


def test_planted_units_are_told(planted, clips, coarse):
    """The second unit answers to no grating of light and dark."""
    light, red = responses.describe(planted, "energy", clips)
    assert "leftward motion at 1.4 px per frame, light against dark" in str(light)
    assert "upward motion at 1.4 px per frame, red against green" in str(red)
    for unit in (light, red):
        assert unit.tells and unit.auc >= 0.9 and str(unit).startswith("Prefers ")


def test_words_of_another_unit_are_taken_back(planted, clips):
    tuning = responses.motion_tuning(planted, "energy", **GRID)
    opposite = [dataclasses.replace(one, direction=one.direction + 180) for one in tuning.best]
    wrong = dataclasses.replace(tuning, best=tuple(opposite))
    (unit,) = responses.describe(planted, "energy", clips, tuning=wrong, channels=[0])
    assert not unit.tells and str(unit).startswith("Can't tell what it prefers; the best guess is")


def test_generated_clips_are_what_the_words_say():
    """Their energy is at the direction and speed of the words, that of contrary ones is not."""
    preference = description._Preference.from_tuning(by_hand(), 0)
    shape = (16, 32, 32)
    generated = list(description._generated(preference, shape, np.random.default_rng(0)))
    energy = description._predicted([preference], generated)[:, 0]
    assert len(generated) == 16 and energy[:8].min() > 2 * energy[8:].max()
    assert all(clip.min() >= 0 and clip.max() <= 1 for clip in generated)


def test_rank_correlation_by_hand():
    """Ranks 1, 2, 3, 4 and 1, 2.5, 2.5, 4: 4.5 over the root of 5 and 4.5."""
    ours = description._rank_correlation(np.array([1, 2, 3, 9]), np.array([0, 5, 5, 6]))
    assert ours == pytest.approx(4.5 / np.sqrt(5 * 4.5))
    assert np.isnan(description._rank_correlation(np.ones(3), np.arange(3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"clips": np.zeros((9, 16, 32, 32, 3), np.float32)},
        {"clips": np.zeros((10, 16, 32, 30, 3), np.float32)},
        {"layer": "filters"},
        {"channels": [1]},
    ],
)
def test_what_does_not_fit_is_refused(planted, clips, wrong):
    given = {"layer": "energy", "clips": clips, "tuning": by_hand(), **wrong}
    with pytest.raises(ValueError, match="Expected .*Received"):
        responses.describe(planted, **given)


@pytest.mark.parametrize(
    ("correlation", "auc", "generated"),
    [(0.49, 1.0, 1.0), (1.0, 0.89, 1.0), (1.0, 1.0, 0.7), (float("nan"), 1.0, 1.0)],
)
def test_one_low_number_is_enough_for_not_telling(correlation, auc, generated):
    assert not responses.Description("conv", 3, "motion", correlation, auc, generated).tells


def test_description_prints_as_one_line():
    unit = responses.Description("conv", 3, "leftward motion", 0.8, 0.9, 1.0)
    assert repr(unit) == (
        "Description(conv:3, 'Prefers leftward motion (correlation 0.80 over all clips, "
        "strongest clips found 90%, generated clips 100%).')"
    )
