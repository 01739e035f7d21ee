"""Attribution to a stated error: the error that is stated is that against the long-run heatmap."""

import keras
import numpy as np
import pytest
from linear_network import linear_network

from c3dvis import objectives
from c3dvis.attribution import attribute, mask_regression
from c3dvis.attribution.convergence import BatchSpread, relative_error
from c3dvis.attribution.scorer import Scorer

SHAPE = (4, 8, 8, 1)
CLASS = objectives.logit(0)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).normal(size=SHAPE)


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(1).random(SHAPE, np.float32)


@pytest.fixture(scope="module")
def squares(weights):
    return linear_network(weights, square=True)


@pytest.fixture(scope="module")
def linear(weights):
    return linear_network(weights)


@pytest.fixture
def passes(monkeypatch):
    """Counts the clips that a network is shown."""
    seen = []
    for name in ("scores", "gradients", "probabilities"):
        real = getattr(Scorer, name)

        def counted(self, clips, real=real):
            seen.append(len(clips))
            return real(self, clips)

        monkeypatch.setattr(Scorer, name, counted)
    return seen


# The measure


def test_the_error_is_relative_to_what_the_heatmap_varies():
    heatmap = np.array([[[1.0, 3.0]]])
    assert relative_error([[[0.1, -0.1]]], heatmap) == pytest.approx(0.1)
    assert relative_error([[[0.1, -0.1]]], heatmap + 100) == pytest.approx(0.1)
    assert relative_error([[[0.0]]], [[[5.0]]]) == 0 and relative_error([[[1.0]]], [[[5.0]]]) == 1


def test_the_spread_of_batches_is_the_standard_error_of_their_mean():
    maps = np.random.default_rng(0).normal(size=(6, 2, 3, 4))
    spread = BatchSpread(maps.shape[1:])
    spread.add(maps[0])
    assert spread.relative_error(maps[0]) is None
    for one in maps[1:]:
        spread.add(one)
    expected = maps.std(axis=0, ddof=1) / 6**0.5
    assert spread.relative_error(maps[1]) == pytest.approx(relative_error(expected, maps[1]))


# SmoothGrad


@pytest.mark.parametrize("kind", ["plain", "squared", "variance"])
def test_the_error_of_smooth_grad_is_that_against_endless_copies(squares, clip, weights, kind):
    # The gradient of w x x at x + n is 2 w (x + n).
    noise = 0.15 * np.ptp(clip)
    mean, variance = 2 * weights * clip, (2 * weights * noise) ** 2
    endless = {"plain": mean, "squared": mean**2 + variance, "variance": variance}[kind]
    answer = attribute(squares, clip, CLASS, method="smooth_grad", kind=kind, tolerance=0.2)
    error = relative_error(answer.heatmap - endless[..., 0], answer.heatmap)
    stated = answer.settings["standard_error"]
    assert stated <= 0.2 and answer.settings["within_tolerance"]
    assert stated / 2 < error < 2 * stated


def test_smooth_grad_takes_what_it_needs_and_says_so(squares, clip, passes):
    def samples(**options):
        passes.clear()
        answer = attribute(squares, clip, CLASS, method="smooth_grad", **options)
        assert sum(passes) == answer.settings["samples"] + 1  # the clip itself
        return answer

    loose, tight = (samples(tolerance=tolerance).settings for tolerance in (0.2, 0.05))
    assert loose["samples"] % 8 == 0 and tight["samples"] > loose["samples"]
    cut = samples(tolerance=1e-6, max_samples=16)
    assert cut.settings["samples"] == 16 and not cut.settings["within_tolerance"]
    assert "not within tolerance" in cut.caption
    assert samples().settings["samples"] == 25


def test_copies_for_a_tolerance_are_those_of_a_fixed_number(squares, clip):
    until = attribute(squares, clip, CLASS, method="smooth_grad", tolerance=0.1, batch_size=3)
    count = until.settings["samples"]
    fixed = attribute(squares, clip, CLASS, method="smooth_grad", samples=count)
    np.testing.assert_array_equal(until.heatmap, fixed.heatmap)
    assert fixed.settings["standard_error"] == until.settings["standard_error"]


# RISE


CELLS = (2, 4, 4)


def tents_overlap(distances):
    """The integral of two tents of half width 1, some distance apart, over that at distance 0."""
    places = np.linspace(-1, 1, 2001)
    other = np.maximum(1 - np.abs(places - np.abs(distances)[..., None]), 0)
    return ((1 - np.abs(places)) * other).mean(axis=-1) / np.mean((1 - np.abs(places)) ** 2)


@pytest.fixture(scope="module")
def endless_rise(weights, clip):
    """What RISE converges to on the linear network: of pixels as far as cells reach."""
    heat = (weights * clip)[..., 0]
    for axis, (length, count) in enumerate(zip(SHAPE, CELLS, strict=False)):
        places = np.arange(length) * count / length
        matrix = tents_overlap(places[:, None] - places)
        heat = np.moveaxis(np.tensordot(matrix, heat, axes=(1, axis)), 0, axis)
    return heat


@pytest.mark.parametrize("options", [{"count": 400}, {"tolerance": 0.25}, {"tolerance": 0.12}])
def test_the_error_of_rise_is_that_against_endless_masks(linear, clip, endless_rise, options):
    answer = attribute(
        linear, clip, CLASS, method="rise", cells=CELLS, perturbation="fade", **options
    )
    error = relative_error(answer.heatmap - endless_rise, answer.heatmap)
    stated = answer.settings["standard_error"]
    assert stated <= options.get("tolerance", 1)
    assert stated / 2 < error < 2 * stated


def test_a_regression_needs_fewer_masks_than_covariances(linear, clip, passes):
    options = {"method": "rise", "cells": CELLS, "perturbation": "fade"}
    until = attribute(linear, clip, CLASS, tolerance=0.25, **options)
    assert sum(passes) == until.settings["samples"] + 1
    fixed = attribute(linear, clip, CLASS, count=until.settings["samples"], **options)
    assert until.settings["standard_error"] < fixed.settings["standard_error"] / 1.5


def test_masks_that_are_cut_short_are_not_within_tolerance(linear, clip):
    answer = attribute(
        linear, clip, CLASS, method="rise", cells=CELLS, tolerance=1e-9, max_samples=70
    )
    assert answer.settings["samples"] == 70 and not answer.settings["within_tolerance"]


def test_what_a_point_tells_of_a_pixel_is_how_far_their_cells_overlap():
    *_, along = mask_regression._covariances((1, 1, 12), (1, 1, 4))
    distances = np.arange(12)[:, None] * 4 / 12 - np.arange(8) / 2
    np.testing.assert_allclose(along, tents_overlap(distances), atol=1e-3)


# Occlusion


@pytest.fixture(scope="module")
def corner():
    """A linear network that reads one corner alone, more of some pixels than of others."""
    weights = np.zeros((8, 16, 16, 1))
    weights[2:4, 2:5, 9:12] = np.random.default_rng(3).uniform(1, 2, (2, 3, 3, 1))
    return linear_network(weights)


@pytest.fixture(scope="module")
def bright():
    return np.random.default_rng(4).uniform(0.2, 1, (8, 16, 16, 1)).astype(np.float32)


OCCLUSION = {"method": "occlusion", "block": (2, 2, 2), "perturbation": "fade"}


def test_occlusion_from_coarse_to_fine_is_within_its_bound(corner, bright, passes):
    whole = attribute(corner, bright, CLASS, **OCCLUSION)
    blocks = whole.settings["blocks"]
    assert whole.settings["samples"] == blocks == 7 * 15 * 15
    for tolerance in (0.5, 0.1):
        passes.clear()
        answer = attribute(corner, bright, CLASS, tolerance=tolerance, **OCCLUSION)
        error = relative_error(answer.heatmap - whole.heatmap, answer.heatmap)
        bound = answer.settings["error_bound"]
        assert error <= bound + 1e-6 and bound <= tolerance  # scores are float32
        assert answer.settings["within_tolerance"]
        assert sum(passes) == answer.settings["samples"] + 1 < blocks / 3
    np.testing.assert_array_equal(answer.perturbed, whole.perturbed)


def test_occlusion_to_the_end_is_every_block(linear, clip):
    whole, answer = (
        attribute(linear, clip, CLASS, **OCCLUSION, tolerance=tolerance)
        for tolerance in (None, 1e-12)
    )
    np.testing.assert_allclose(answer.heatmap, whole.heatmap, atol=1e-5)  # scores are float32
    assert answer.settings["samples"] > whole.settings["blocks"] == 3 * 7 * 7
    assert answer.settings["error_bound"] == 0


# Score-CAM


@pytest.fixture(scope="module")
def channels():
    """A network of 40 channels, of which each has less energy than the one before."""
    clip = keras.layers.Input((4, 8, 8, 3))
    maps = keras.layers.Conv3D(40, 3, padding="same", activation="relu", name="maps")(clip)
    mean = keras.layers.GlobalAveragePooling3D()(maps)
    network = keras.Model(clip, keras.layers.Dense(3, activation="softmax", name="class")(mean))
    rng = np.random.default_rng(6)
    kernel = rng.normal(size=(3, 3, 3, 3, 40)) * 0.8 ** np.arange(40)
    network.get_layer("maps").set_weights([kernel.astype(np.float32), np.zeros(40, np.float32)])
    network.get_layer("class").set_weights(
        [rng.normal(size=(40, 3)).astype(np.float32), np.zeros(3, np.float32)]
    )
    return network


def test_score_cam_takes_the_channels_that_matter(channels, passes):
    clip = np.random.default_rng(7).random((4, 8, 8, 3), np.float32)
    whole = attribute(channels, clip, CLASS, method="score_cam", layer="maps")
    passes.clear()
    answer = attribute(channels, clip, CLASS, method="score_cam", layer="maps", tolerance=0.1)
    settings = answer.settings
    assert settings["channels"] in (8, 16, 24) and settings["within_tolerance"]
    assert sum(passes) == settings["channels"] + 1  # the baseline
    error = relative_error(answer.heatmap - whole.heatmap, answer.heatmap)
    assert error <= 2 * settings["standard_error"] <= 0.2
    exact = attribute(channels, clip, CLASS, method="score_cam", layer="maps", tolerance=1e-12)
    np.testing.assert_allclose(exact.heatmap, whole.heatmap, rtol=1e-4, atol=1e-6)
    assert exact.settings["channels"] == 40 and exact.settings["standard_error"] == 0


# Refused


@pytest.mark.parametrize(
    "method, options, message",
    [
        *(
            (m, {"tolerance": 0.0}, "tolerance above 0. Received: 0.0")
            for m in ("smooth_grad", "rise", "occlusion", "score_cam")
        ),
        ("smooth_grad", {"tolerance": float("nan")}, "tolerance above 0. Received: nan"),
        ("smooth_grad", {"tolerance": 0.1, "samples": 9}, "samples=9 and tolerance=0.1"),
        ("rise", {"tolerance": 0.1, "count": 9}, "count=9 and tolerance=0.1"),
        ("rise", {"max_samples": 9}, "max_samples with a tolerance. Received: 9 alone"),
        ("smooth_grad", {"tolerance": 0.1, "max_samples": 0}, "1 samples or more. Received: 0"),
        ("occlusion", {"tolerance": "0.1"}, "tolerance of 'occlusion' as a number or None"),
    ],
)
def test_tolerances_that_are_refused(linear, clip, method, options, message):
    with pytest.raises(ValueError, match=message):
        attribute(linear, clip, CLASS, method=method, **options)
