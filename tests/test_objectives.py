"""Objectives: their arithmetic, their units, and what they refuse."""

import numpy as np
import pytest

from c3dvis import objectives

NEURON_READS = "conv" + objectives.BEFORE_ACTIVATION
SHAPES = {"conv": (2, 3, 4, 5), NEURON_READS: (2, 3, 4, 5), "fc": (6,), objectives.LOGITS: (3,)}
NAMES = ("left", "right", "up")


def score(objective, activations):
    columns = objective.columns(SHAPES, NAMES)
    return np.asarray(objective.score(activations, columns))


@pytest.fixture
def activations():
    draw = np.random.default_rng(0)
    return {
        name: draw.standard_normal((2, *shape)).astype(np.float32) for name, shape in SHAPES.items()
    }


def test_channel_is_the_mean_over_positions(activations):
    got = score(objectives.channel("conv", [1, 4]), activations)
    conv = activations["conv"]
    np.testing.assert_allclose(got, [conv[0, ..., 1].mean(), conv[1, ..., 4].mean()], rtol=1e-5)


def test_channel_of_a_layer_without_positions(activations):
    got = score(objectives.channel("fc", [0, 5]), activations)
    np.testing.assert_array_equal(got, [activations["fc"][0, 0], activations["fc"][1, 5]])


def test_neuron_defaults_to_the_centre(activations):
    got = score(objectives.neuron("conv", [2, 2]), activations)
    np.testing.assert_array_equal(got, activations[NEURON_READS][:, 1, 1, 2, 2])


def test_neuron_reads_its_position(activations):
    got = score(objectives.neuron("conv", [3, 0], position=(0, 2, 1)), activations)
    conv = activations[NEURON_READS]
    np.testing.assert_array_equal(got, [conv[0, 0, 2, 1, 3], conv[1, 0, 2, 1, 0]])


def test_logit_by_name_and_by_index(activations):
    got = score(objectives.logit(["up", 0]), activations)
    logits = activations[objectives.LOGITS]
    np.testing.assert_array_equal(got, [logits[0, 2], logits[1, 0]])


def test_a_combination_equals_its_parts(activations):
    a, b = objectives.channel("conv", [0, 1]), objectives.logit([0, 2])
    whole = score(2 * a + 3 * b - a * 0.5, activations)
    np.testing.assert_allclose(
        whole, 1.5 * score(a, activations) + 3 * score(b, activations), rtol=1e-5
    )
    np.testing.assert_allclose(score(-a, activations), -score(a, activations))


def test_arithmetic_changes_no_operand():
    a, b = objectives.channel("conv", 0), objectives.logit(1)
    before = (a.terms, b.terms)
    _ = a + b, a - b, 2 * a, -a
    assert (a.terms, b.terms) == before


def test_one_unit_serves_all_clips_of_the_others(activations):
    both = objectives.channel("conv", [0, 1]) - objectives.logit(2)
    assert len(both) == 2
    expected = score(objectives.channel("conv", [0, 1]), activations)
    expected = expected - activations[objectives.LOGITS][:, 2]
    np.testing.assert_allclose(score(both, activations), expected, rtol=1e-5)


def test_a_part_of_an_objective():
    whole = objectives.channel("conv", range(5)) + objectives.logit(1)
    assert len(whole[1:3]) == 2
    np.testing.assert_array_equal(whole[1:3].columns(SHAPES), whole.columns(SHAPES)[1:3])
    np.testing.assert_array_equal(whole[4].columns(SHAPES), [[4, 1]])
    assert whole[1:3].template == whole.template


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objectives.channel("conv", -1).columns(SHAPES), "0 to 4. Received: -1"),
        (lambda: objectives.channel("conv", 5).columns(SHAPES), "0 to 4. Received: 5"),
        (lambda: objectives.channel("conv", 1.5), "whole numbers"),
        (lambda: objectives.channel("conv", []), "Received: none"),
        (lambda: objectives.channel(3, 0), "name of a layer"),
        (lambda: objectives.logit("lift").columns(SHAPES, NAMES), "'left'.*Received: 'lift'"),
        (lambda: objectives.logit("left").columns(SHAPES), "no class names"),
        (lambda: objectives.logit(3).columns(SHAPES), "3 classes.*0 to 2"),
        (lambda: objectives.neuron("conv", 0, position=(2, 0, 0)).columns(SHAPES), "inside"),
        (lambda: objectives.neuron("conv", 0, position=(0, 0)).columns(SHAPES), "inside"),
        (
            lambda: objectives.channel("conv", [0, 1]) + objectives.channel("conv", range(3)),
            "same number of units",
        ),
        (lambda: objectives.channel("conv", [0, 1])[2:], "choice among 2"),
    ],
)
def test_wrong_units_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_only_objectives_add_and_only_numbers_scale():
    with pytest.raises(TypeError):
        objectives.logit(0) + 1
    with pytest.raises(TypeError):
        objectives.logit(0) * objectives.logit(1)


def test_numpy_numbers_scale_too():
    a = objectives.channel("conv", [0, 1])
    assert (np.float32(2) * a).terms == (a * np.float64(2)).terms == (2 * a).terms
    with pytest.raises(ValueError, match="finite weight"):
        a * float("nan")
