"""Objectives of one frame, a region or a mask of what a layer or an output has."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from c3dvis import objectives
from c3dvis.attribution import Scorer, attribute
from c3dvis.maximize import maximize, scores
from c3dvis.objectives import logit

RNG = np.random.default_rng(0)
CLIPS = RNG.random((2, 4, 8, 8, 1), np.float32)
MASK = RNG.random((4, 8, 8)) > 0.7


@pytest.fixture(scope="module")
def network():
    """Each voxel by itself: its value `v` has the logits `(v, -v, 1)`, exactly."""
    clip = keras.Input((4, 8, 8, 1))
    layer = keras.layers.Conv3D(3, 1, activation="softmax", name="voxels")
    model = keras.Model(clip, layer(clip))
    layer.set_weights([np.array([1.0, -1, 0]).reshape(1, 1, 1, 1, 3), np.array([0.0, 0, 1])])
    return model


@pytest.mark.parametrize(
    ("where", "mean"),
    [
        (None, CLIPS.mean((1, 2, 3, 4))),
        (2, CLIPS[:, 2].mean((1, 2, 3))),
        (np.int64(2), CLIPS[:, 2].mean((1, 2, 3))),
        (np.s_[1:3], CLIPS[:, 1:3].mean((1, 2, 3, 4))),
        (np.s_[:, 2:6, -3:], CLIPS[:, :, 2:6, -3:].mean((1, 2, 3, 4))),
        (MASK, CLIPS[:, MASK].mean((1, 2))),
        (MASK * 2.5, CLIPS[:, MASK].mean((1, 2))),
    ],
    ids=["all", "frame", "numpy", "frames", "region", "mask", "weights"],
)
def test_a_class_is_the_mean_over_the_places(network, where, mean):
    expected = np.stack([mean, -mean, np.ones(2)], axis=1)
    scored = scores(network, logit(range(3), where=where), CLIPS)
    np.testing.assert_allclose(scored, expected, rtol=1e-5)
    channel = objectives.channel("voxels", 0, where=where, before_activation=True)
    np.testing.assert_allclose(scores(network, channel, CLIPS)[:, 0], mean, rtol=1e-5)


def test_log_odds_are_taken_at_each_place(network):
    v = CLIPS[..., 0]
    odds = v - np.log(np.exp(-v) + np.e)
    scored = scores(network, objectives.log_odds(0, where=1), CLIPS)
    np.testing.assert_allclose(scored[:, 0], odds[:, 1].mean((1, 2)), rtol=1e-4)


def test_probabilities_are_those_of_the_mean_scores(network):
    scorer = Scorer(network, logit(0, where=3))
    mean = CLIPS[:, 3].mean((1, 2, 3))
    expected = np.exp(mean) / (np.exp(mean) + np.exp(-mean) + np.e)
    np.testing.assert_allclose(scorer.probabilities(CLIPS), expected, rtol=1e-5)


def test_only_the_region_is_raised_and_explained(network):
    region = np.s_[1:3, 2:5, 4:]
    inside = np.zeros((4, 8, 8), bool)
    inside[region] = True
    answer = attribute(network, CLIPS[0], logit(0, where=region), method="gradient")
    assert (answer.heatmap[inside] > 0).all() and not answer.heatmap[~inside].any()
    start = np.full((4, 8, 8, 1), 0.5)
    (synthetic,) = maximize(
        network,
        logit(0, where=inside),
        start=start,
        steps=4,
        parametrization="pixels",
        transforms=[],
    )
    assert synthetic[inside].min() > 0.55 > synthetic[~inside].max() + 0.01


def test_without_an_objective_the_class_of_most_places_is_explained(network):
    answer = attribute(network, CLIPS[0], method="gradient")
    assert answer.objective_name == "logit of 2"


def test_it_is_said_and_told_apart():
    assert objectives.channel("a", 1, where=np.s_[2:5, :, 8:]).terms[0][1].where is not None
    same = [logit(1, where=MASK), logit(1, where=MASK.copy())]
    assert same[0] == same[1] and hash(same[0].signature) == hash(same[1].signature)
    assert logit(1, where=2).signature != logit(1, where=3).signature


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (9, r"inside \(4, 8, 8\). Received: frame 9"),
        (-1, r"counted from 0. Received: -1"),
        (np.s_[5:], r"Received: \[5:\], where there is nothing"),
        (np.s_[0, 0, 0, 0], "Received: 4 axes"),
        (np.s_[::2], "step of 2"),
        (MASK[0], r"mask of the places \(4, 8, 8\). Received: a mask of shape \(8, 8\)"),
        (~np.isfinite(MASK), "not all 0"),
        (-1.0 * MASK, "0 or more"),
        ("left", "Received: 'left'"),
        (1.5, "Received: 1.5"),
        (True, "Received: True"),
        ((), "not all 0"),
    ],
)
def test_places_that_are_not_there_are_refused(network, where, words):
    with pytest.raises(ValueError, match=words):
        scores(network, logit(0, where=where), CLIPS)


def test_an_output_without_frames_has_no_places():
    clip = keras.Input((4, 8, 8, 1))
    pooled = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(clip))
    with pytest.raises(ValueError, match="Expected where= a frame"):
        attribute(pooled, CLIPS[0], logit(0, where=0))
