"""Occlusion and RISE: the known answers of linear networks, and wrong options."""

import keras
import numpy as np
import pytest
from keras import ops
from linear_network import linear_network

from c3dvis import objectives
from c3dvis.attribution import attribute
from c3dvis.attribution.methods import occlusion, rise
from c3dvis.attribution.scorer import Scorer

SHAPE = (8, 16, 16, 1)
CLASS = objectives.logit(0)
METHODS = {"occlusion": {"block": (4, 8, 8)}, "rise": {"count": 20}}


def masks_of(rng, count, shape, cells, keep):
    """Random masks as RISE draws them."""
    return rise._upsampled(*rise._random_grids(rng, count, cells, keep), shape=shape, cells=cells)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).normal(size=SHAPE)


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(1).random(SHAPE, np.float32)


@pytest.fixture(scope="module")
def network(weights):
    return linear_network(weights)


@pytest.mark.parametrize("method", METHODS)
def test_heatmaps_are_finite_and_the_same_twice(network, clip, method):
    first, second = (
        attribute(network, clip, CLASS, method=method, **METHODS[method]) for _ in range(2)
    )
    assert first.heatmap.shape == SHAPE[:3] and first.heatmap.dtype == np.float32
    assert np.isfinite(first.heatmap).all() and first.heatmap.std() > 0
    np.testing.assert_array_equal(first.heatmap, second.heatmap)
    assert first.method == method


def test_occlusion_is_the_part_of_a_linear_score_that_a_block_holds(network, clip, weights):
    block = (4, 8, 4)
    attribution = attribute(
        network,
        clip,
        CLASS,
        method="occlusion",
        block=block,
        stride=block,
        perturbation="fade",
    )
    parts = (weights * clip)[..., 0].reshape(2, 4, 2, 8, 4, 4).sum(axis=(1, 3, 5))
    expected = np.kron(parts, np.ones(block))
    np.testing.assert_allclose(attribution.heatmap, expected, atol=1e-4)
    np.testing.assert_allclose(attribution.score, (weights * clip).sum(), rtol=1e-4)
    assert attribution.settings["blocks"] == parts.size
    # The clip shown lacks the block that it needs most.
    np.testing.assert_array_equal(attribution.perturbed[..., 0] == 0, expected == expected.max())


def test_blocks_that_overlap_are_averaged(network, clip, weights):
    attribution = attribute(
        network,
        clip,
        CLASS,
        method="occlusion",
        block=(8, 16, 8),
        stride=(8, 16, 4),
        perturbation="fade",
    )
    columns = (weights * clip)[..., 0].sum(axis=(0, 1))
    drops = [columns[first : first + 8].sum() for first in (0, 4, 8)]
    expected = [drops[0], np.mean(drops[:2]), np.mean(drops[1:]), drops[2]]
    np.testing.assert_allclose(attribution.heatmap[0, 0, ::4], expected, atol=1e-4)


def test_the_last_block_is_moved_inside(network, clip):
    attribution = attribute(network, clip, method="occlusion", block=(3, 7, 16), stride=(3, 7, 16))
    assert attribution.settings["blocks"] == 3 * 3


def test_blocks_are_scored_a_batch_at_a_time(network, clip):
    asked = []

    class Counting(Scorer):
        def scores(self, clips):
            asked.append(len(clips))
            return super().scores(clips)

    scorer = Counting(network, CLASS, batch_size=4)
    occlusion.attribute(scorer, clip, block=(8, 8, 8), stride=(8, 4, 4))
    assert sorted(asked) == [1, 1, 4, 4]
    asked.clear()
    rise.attribute(scorer, clip, count=10)
    assert sum(asked) == 11 and max(asked) == 4


def known_importance(weights, clip, cells, keep, masks=4000):
    """What RISE estimates for a linear score: weight x pixel, blurred as masks are."""
    draw = np.random.default_rng(99)
    drawn = masks_of(draw, masks, clip.shape[:3], cells, keep).reshape(masks, -1)
    drawn = drawn - drawn.mean(axis=0)
    covariance = drawn.T @ drawn / masks
    expected = covariance @ (weights * clip).reshape(-1) / np.diag(covariance)
    return expected.reshape(clip.shape[:3])


def test_rise_tends_to_the_blurred_importance_of_a_linear_network():
    shape, cells = (4, 10, 10, 1), (2, 5, 5)
    weights = np.zeros(shape)
    weights[1:3, 2:5, 6:9] = 1
    weights[0:2, 7:9, 1:3] = -0.5
    clip = np.full(shape, 0.8, np.float32)
    network, errors = linear_network(weights), []
    expected = known_importance(weights, clip, cells, 0.5)
    for count in (250, 4000):
        attribution = attribute(
            network,
            clip,
            CLASS,
            method="rise",
            count=count,
            cells=cells,
            perturbation="fade",
        )
        errors.append(np.abs(attribution.heatmap - expected).mean() / np.abs(expected).max())
    # Sixteen times the masks: a fourth of the noise, were the expectation free of it.
    assert errors[1] < 0.03
    assert errors[1] < 0.6 * errors[0]
    highest = np.unravel_index(attribution.heatmap.argmax(), shape[:3])
    assert weights[highest][0] > 0


def test_rise_needs_no_score_around_zero():
    """A constant added to the score changes nothing but rounding."""
    weights = np.random.default_rng(5).normal(size=(4, 8, 8, 1))
    clip = np.random.default_rng(6).random(weights.shape, np.float32)
    network = linear_network(weights)
    options = {"method": "rise", "count": 50, "cells": (2, 4, 4)}
    before = attribute(network, clip, CLASS, **options).heatmap
    network.get_layer("classes").bias.assign([100.0, 0.0])
    after = attribute(network, clip, CLASS, **options).heatmap
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_masks_of_rise_are_kept_with_their_probability_and_smooth():
    masks = masks_of(np.random.default_rng(0), 400, (8, 16, 16), (2, 4, 4), 0.3)
    assert masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks.mean(axis=0), 0.3, atol=0.1)
    # Linear between cells of four pixels: no step is larger than a fourth.
    assert np.abs(np.diff(masks, axis=2)).max() <= 1 / 4 + 1e-6
    assert np.abs(np.diff(masks, axis=1)).max() <= 1 / 4 + 1e-6


def test_one_cell_along_time_masks_whole_clips():
    masks = masks_of(np.random.default_rng(0), 5, (8, 16, 16), (1, 4, 4), 0.5)
    np.testing.assert_array_equal(masks, np.repeat(masks[:, :1], 8, axis=1))


def test_the_seed_draws_the_masks(network, clip):
    one, same, other = (
        attribute(network, clip, CLASS, method="rise", count=20, seed=seed).heatmap
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


@pytest.mark.parametrize(
    "method, options, message",
    [
        ("occlusion", {"block": (9, 4, 4)}, r"block .* from 1 up to \(8, 16, 16\)"),
        ("occlusion", {"block": (0, 4, 4)}, "Expected a block"),
        ("occlusion", {"block": (4, 4)}, r"three whole numbers or None. Received: \(4, 4\)"),
        ("occlusion", {"block": 4}, "three whole numbers or None. Received: 4"),
        ("occlusion", {"stride": (2.0, 4, 4)}, "Expected stride of 'occlusion' as three whole"),
        ("occlusion", {"block": (2, 4, 4), "stride": (3, 4, 4)}, "Expected a stride"),
        ("occlusion", {"perturbation": "grey"}, "Expected a perturbation"),
        ("rise", {"count": 1}, "Expected 2 masks or more"),
        ("rise", {"cells": (4, 20, 4)}, "Expected cells"),
        ("rise", {"cells": 4}, "Expected cells of 'rise' as three whole numbers. Received: 4"),
        ("rise", {"keep": 1.0}, "Expected a probability between 0 and 1"),
        ("rise", {"seed": -1}, "Expected a seed of 0 or more"),
        ("rise", {"perturbation": "blurred"}, "Expected a perturbation, such as 'blur'"),
        ("rise", {"masks": 5}, "Expected an option of 'rise'"),
    ],
)
def test_wrong_options_are_refused(network, clip, method, options, message):
    with pytest.raises(ValueError, match=message):
        attribute(network, clip, method=method, **options)


def test_a_score_without_gradient_can_be_occluded(clip):
    """Only forward passes are made."""
    inputs = keras.layers.Input(SHAPE)
    steps = keras.layers.Lambda(lambda x: ops.cast(x > 0.5, "float32"))(inputs)
    scores = keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(steps))
    attribution = attribute(keras.Model(inputs, scores), clip, method="occlusion", block=(4, 8, 8))
    assert np.abs(attribution.heatmap).max() > 0
