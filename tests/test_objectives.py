"""Objectives: their values in plain NumPy, their arithmetic, and what they refuse."""

import math

import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, objectives

NEURON_READS = "conv" + objectives.BEFORE_ACTIVATION
SHAPES = {
    "conv": (2, 3, 4, 5),
    NEURON_READS: (2, 3, 4, 5),
    "fc": (6,),
    "steps": (4, 6),
    objectives.LOGITS: (3,),
    objectives.CLIP: (3, 4, 4, 3),
}
NAMES = ("left", "right", "up")


GIVEN = np.random.default_rng(1).random((2, 3, 4, 4, 3)).astype(np.float32)  # two clips


def score(objective, activations):
    columns = objective.unit_indices(SHAPES, NAMES)
    return np.asarray(objective.score(activations, columns))


def seen(clip, names):
    """Activations of a given clip in a network that is not there: any that differ with it."""
    draw = np.random.default_rng(int(1e6 * clip.mean()))
    return {name: draw.standard_normal((1, *SHAPES[name])).astype(np.float32) for name in names}


def cosine(a, b):
    return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))


def gram(activation):
    """Sum over positions of outer products, over their number."""
    rows = activation.reshape(-1, activation.shape[-1]).astype(np.float64)
    return sum(np.outer(row, row) for row in rows) / len(rows)


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


def test_log_odds_are_those_of_the_softmax(activations):
    logits = activations[objectives.LOGITS].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    got = score(objectives.log_odds(["up", 0]), activations)
    own = np.array([p[0, 2], p[1, 0]])
    np.testing.assert_allclose(got, np.log(own / (1 - own)), rtol=1e-5)


def test_log_odds_are_finite_however_sure_the_network_is():
    activations = {objectives.LOGITS: np.array([[900, 0, -900], [-900, 0, 900]], np.float32)}
    objective = objectives.log_odds(["left", "left"])
    np.testing.assert_allclose(score(objective, activations), [900, -1800])


def test_neuron_defaults_to_the_centre(activations):
    got = score(objectives.neuron("conv", [2, 2]), activations)
    np.testing.assert_array_equal(got, activations[NEURON_READS][:, 1, 1, 2, 2])


def test_neuron_reads_its_position(activations):
    got = score(objectives.neuron("conv", [3, 0], position=(0, 2, 1)), activations)
    conv = activations[NEURON_READS]
    np.testing.assert_array_equal(got, [conv[0, 0, 2, 1, 3], conv[1, 0, 2, 1, 0]])


def test_a_position_may_be_a_tuple_a_list_or_an_array():
    there = (0, 2, 1)
    for given in (list(there), np.array(there)):
        assert objectives.neuron("conv", 3, position=given) == objectives.neuron(
            "conv", 3, position=there
        )
        one, other = (
            objectives.direction_neuron("conv", np.ones(5), position=p) for p in (given, there)
        )
        assert one == other and hash(one) == hash(other)


def test_logit_by_name_and_by_index(activations):
    got = score(objectives.logit(["up", 0]), activations)
    logits = activations[objectives.LOGITS]
    np.testing.assert_array_equal(got, [logits[0, 2], logits[1, 0]])


def test_frame_is_the_mean_over_one_frame(activations):
    conv = activations["conv"]
    got = score(objectives.frame("conv", [1, 4], frame=0), activations)
    np.testing.assert_allclose(got, [conv[0, 0, ..., 1].mean(), conv[1, 0, ..., 4].mean()], 1e-5)
    middle = score(objectives.frame("conv", 3), activations)
    np.testing.assert_allclose(middle, conv[:, 1, ..., 3].mean(axis=(1, 2)), rtol=1e-5)
    steps = score(objectives.frame("steps", 5), activations)
    np.testing.assert_array_equal(steps, activations["steps"][:, 2, 5])


def test_layer_is_the_mean_square(activations):
    got = score(objectives.layer("conv"), activations)
    np.testing.assert_allclose(got, (activations["conv"] ** 2).mean(axis=(1, 2, 3, 4)), rtol=1e-5)


VECTORS = np.random.default_rng(2).normal(size=(2, 5))


def directed(x, vector, power):
    """As published with lucid, at one position."""
    return x @ vector * max(0.1, cosine(x, vector)) ** power


@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_direction_is_the_mean_of_products_and_cosine_powers(activations, power):
    got = score(objectives.direction("conv", VECTORS, power=power), activations)
    for i, vector in enumerate(VECTORS):
        positions = activations["conv"][i].reshape(-1, 5)
        expected = np.mean([directed(x, vector, power) for x in positions])
        assert got[i] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("power", [0, 2])
def test_direction_at_a_position(activations, power):
    got = score(objectives.direction_neuron("conv", VECTORS, power=power), activations)
    here = activations[NEURON_READS][:, 1, 1, 2]
    expected = [directed(x, v, power) for x, v in zip(here, VECTORS, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-3)
    elsewhere = objectives.direction_neuron(
        "conv", VECTORS[1], power=power, position=(0, 2, 3), before_activation=False
    )
    expected = [directed(x, VECTORS[1], power) for x in activations["conv"][:, 0, 2, 3]]
    np.testing.assert_allclose(score(elsewhere, activations), expected, rtol=1e-3)


def test_direction_of_one_channel_is_that_channel(activations):
    got = score(objectives.direction("conv", np.eye(5)[[3, 0]]), activations)
    np.testing.assert_allclose(got, score(objectives.channel("conv", [3, 0]), activations), 1e-4)
    flat = score(objectives.direction("fc", np.eye(6)[2]), activations)
    np.testing.assert_array_equal(flat, activations["fc"][:, 2])


def test_interpolation_ends_are_the_channels_and_the_middle_is_their_mean(activations):
    three = {name: np.concatenate([x, x[:1]]) for name, x in activations.items()}
    got = score(objectives.interpolation("conv", 4, "fc", 2, clips=3), three)
    first = score(objectives.channel("conv", 4), three)
    last = score(objectives.channel("fc", 2), three)
    np.testing.assert_allclose(got[[0, 2]], [first[0], last[2]], rtol=1e-5)
    assert got[1] == pytest.approx((first[1] + last[1]) / 2, rel=1e-5)


def test_a_part_of_an_interpolation_keeps_its_weights(activations):
    whole = objectives.interpolation("conv", 4, "fc", 2, clips=5)
    part = whole[3:]
    assert len(part) == 2 and part.signature == whole.signature
    first = score(objectives.channel("conv", 4), activations)
    last = score(objectives.channel("fc", 2), activations)
    expected = [0.25 * first[0] + 0.75 * last[0], last[1]]
    np.testing.assert_allclose(score(part, activations), expected, rtol=1e-5)


@pytest.fixture
def three():
    draw = np.random.default_rng(4)
    return {"conv": draw.standard_normal((3, 2, 3, 4, 5)).astype(np.float32)}


def test_alignment_is_half_the_squared_difference_to_each_neighbour(three):
    a, b, c = three["conv"]
    ab, bc = np.mean((a - b) ** 2), np.mean((b - c) ** 2)
    got = np.asarray(objectives.alignment("conv").features(three)[0])[:, 0]
    np.testing.assert_allclose(got, [-ab / 2, -(ab + bc) / 2, -bc / 2], rtol=1e-5)
    equal = {"conv": np.stack([a, a, a])}
    np.testing.assert_array_equal(objectives.alignment("conv").features(equal)[0], np.zeros((3, 1)))


def test_diversity_is_the_mean_cosine_of_gram_matrices(three):
    a, b, c = map(gram, three["conv"])
    ab, bc, ca = cosine(a, b), cosine(b, c), cosine(c, a)
    got = np.asarray(objectives.diversity("conv").features(three)[0])[:, 0]
    np.testing.assert_allclose(got, [-(ab + ca) / 2, -(ab + bc) / 2, -(bc + ca) / 2], rtol=1e-4)


def test_diversity_is_worst_for_equal_clips_and_best_for_other_channels(three):
    variety = objectives.diversity("conv")
    equal = {"conv": np.repeat(three["conv"][:1], 3, axis=0)}
    np.testing.assert_allclose(variety.features(equal)[0], -np.ones((3, 1)), rtol=1e-5)
    # Scattered in time and space, channels still go together as they did.
    scattered = np.random.default_rng(0).permutation(three["conv"][0].reshape(-1, 5))
    pair = {"conv": np.stack([three["conv"][0], scattered.reshape(2, 3, 4, 5)])}
    np.testing.assert_allclose(variety.features(pair)[0], -np.ones((2, 1)), rtol=1e-5)
    apart = np.zeros((2, 2, 3, 4, 5), np.float32)
    apart[0, ..., :2], apart[1, ..., 2:] = 1, 1
    np.testing.assert_allclose(variety.features({"conv": apart})[0], np.zeros((2, 1)), atol=1e-6)


def test_activation_difference_is_the_mean_square(activations):
    likeness = objectives.activation_difference("conv", GIVEN).with_targets(seen)
    targets = [seen(clip, ["conv"])["conv"][0] for clip in GIVEN]
    expected = [-np.mean((x - t) ** 2) for x, t in zip(activations["conv"], targets, strict=True)]
    np.testing.assert_allclose(score(likeness, activations), expected, rtol=1e-5)
    assert score(likeness, {"conv": np.stack(targets)}).tolist() == [0, 0]


def test_style_difference_is_that_of_gram_matrices(activations):
    style = objectives.activation_difference("conv", GIVEN, style=True).with_targets(seen)
    targets = [seen(clip, ["conv"])["conv"][0] for clip in GIVEN]
    expected = [
        -np.mean((gram(x) - gram(t)) ** 2)
        for x, t in zip(activations["conv"], targets, strict=True)
    ]
    np.testing.assert_allclose(score(style, activations), expected, rtol=1e-4)
    reversed_in_time = np.stack(targets)[:, ::-1]
    np.testing.assert_allclose(score(style, {"conv": reversed_in_time}), [0, 0], atol=1e-10)


@pytest.mark.parametrize("power", [0, 1, 3])
def test_caricature_is_the_product_with_the_clips_own_activations(activations, power):
    drawn = objectives.caricature("conv", GIVEN, power=power).with_targets(seen)
    targets = [seen(clip, ["conv"])["conv"][0] for clip in GIVEN]
    expected = [
        np.sum(x * t) / 24 * max(0.1, cosine(x, t)) ** power
        for x, t in zip(activations["conv"], targets, strict=True)
    ]
    np.testing.assert_allclose(score(drawn, activations), expected, rtol=1e-3)


def test_a_caricature_is_highest_in_the_clips_own_direction():
    drawn = objectives.caricature("conv", GIVEN[0], power=2).with_targets(seen)
    target = seen(GIVEN[0], ["conv"])["conv"][0]
    draw = np.random.default_rng(0)
    best = score(drawn, {"conv": target[None]})[0]
    for share in (0.02, 0.3, 1.0):
        other = target + share * draw.standard_normal(target.shape)
        other *= np.linalg.norm(target) / np.linalg.norm(other)
        assert score(drawn, {"conv": other[None].astype(np.float32)})[0] < best
    assert score(drawn, {"conv": 2 * target[None]})[0] == pytest.approx(2 * best, rel=1e-4)


def test_penalty_is_what_the_function_gives(activations):
    brightness = objectives.penalty(lambda clips: ops.mean(clips, axis=(1, 2, 3, 4)))
    means = activations[objectives.CLIP].mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(score(brightness, activations), means, rtol=1e-4)
    whole = objectives.logit([0, 2]) - 0.5 * brightness
    expected = score(objectives.logit([0, 2]), activations) - 0.5 * means
    np.testing.assert_allclose(score(whole, activations), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda **how: objectives.channel("conv", 0, **how),
        lambda **how: objectives.neuron("conv", 0, **how),
        lambda **how: objectives.frame("conv", 0, **how),
        lambda **how: objectives.layer("conv", **how),
        lambda **how: objectives.direction("conv", np.ones(5), **how),
        lambda **how: objectives.direction_neuron("conv", np.ones(5), **how),
        lambda **how: objectives.interpolation("conv", 0, "conv", 1, clips=2, **how),
        lambda **how: objectives.alignment("conv", **how),
        lambda **how: objectives.diversity("conv", **how),
        lambda **how: objectives.activation_difference("conv", GIVEN, **how),
        lambda **how: objectives.activation_difference("conv", GIVEN, style=True, **how),
        lambda **how: objectives.caricature("conv", GIVEN, **how),
    ],
)
def test_every_objective_reads_before_or_after_the_activation(make, activations):
    name = {True: NEURON_READS, False: "conv"}
    for before in (True, False):
        objective = make(before_activation=before).with_targets(seen)
        assert objective.layers == (name[before],)
        # The other reading is not there to be read.
        assert score(objective, {name[before]: activations["conv"]}).shape == (2,)


def test_features_and_chosen_agree_for_units_with_arrays_of_their_own(activations):
    for objective in (
        objectives.direction("conv", np.random.default_rng(0).normal(size=(4, 5)), power=1),
        objectives.caricature("conv", np.concatenate([GIVEN, GIVEN[::-1]])).with_targets(seen),
    ):
        (table,) = (np.asarray(f) for f in objective.features(activations))
        assert table.shape == (2, 4)
        for unit in range(4):
            got = score(objective[unit], activations)
            np.testing.assert_allclose(got, table[:, unit], rtol=1e-5)


AT_ZERO = {
    "direction": objectives.direction("conv", np.ones(5), power=0.5),
    "direction at a position": objectives.direction_neuron(
        "conv", np.ones(5), power=3, before_activation=False
    ),
    "layer": objectives.layer("conv"),
    "diversity": objectives.diversity("conv"),
    "alignment": objectives.alignment("conv"),
    "caricature": objectives.caricature("conv", GIVEN[0], power=1.5).with_targets(seen),
    "style": objectives.activation_difference("conv", GIVEN[0], style=True).with_targets(seen),
}


@pytest.mark.parametrize("case", AT_ZERO)
@pytest.mark.parametrize("size", [0.0, 1e-12])
def test_gradients_are_finite_where_activations_vanish(case, size):
    """Both of no activations at all and beside others that are there."""
    objective = AT_ZERO[case]
    conv = np.full((2, 2, 3, 4, 5), size, np.float32)
    conv[1, :, 1:] = 1
    columns = np.zeros((2, 1), np.int32)
    run = autodiff.value_and_gradient(
        lambda x: ops.sum(objective.score({"conv": x}, ops.convert_to_tensor(columns)))
    )
    value, gradient = run(conv)
    assert np.isfinite(np.asarray(value)).all()
    assert np.isfinite(np.asarray(gradient)).all()


def test_a_combination_equals_its_parts(activations):
    a, b = objectives.channel("conv", [0, 1]), objectives.logit([0, 2])
    whole = score(2 * a + 3 * b - a * 0.5, activations)
    np.testing.assert_allclose(
        whole, 1.5 * score(a, activations) + 3 * score(b, activations), rtol=1e-5
    )
    np.testing.assert_allclose(score(-a, activations), -score(a, activations))
    mean = score(sum([a, b]) / 2, activations)
    np.testing.assert_allclose(mean, score(0.5 * a + 0.5 * b, activations), rtol=1e-6)


def test_new_objectives_obey_the_laws_of_arithmetic(activations):
    a = objectives.direction("conv", VECTORS, power=1)
    b = objectives.caricature("conv", GIVEN).with_targets(seen)
    c = objectives.layer("fc") + objectives.alignment("fc")
    one, two, three = (score(x, activations) for x in (a, b, c))
    np.testing.assert_allclose(score(2 * a + 3 * b, activations), 2 * one + 3 * two, rtol=1e-4)
    np.testing.assert_allclose(score(a - b, activations), one - two, rtol=1e-4)
    np.testing.assert_allclose(score(-(a - 2 * c), activations), 2 * three - one, rtol=1e-4)
    parts = (2 * a - 3 * b).term_scores(activations, (2 * a - 3 * b).unit_indices(SHAPES))
    np.testing.assert_allclose(parts, [2 * one, -3 * two], rtol=1e-4)


def test_what_shares_a_compiled_step():
    """Units of one set of arrays do, whether or not a network has seen the clips."""
    clips = objectives.activation_difference("conv", GIVEN)
    assert clips.signature == clips[0].signature == clips.with_targets(seen).signature
    assert hash(clips.signature) == hash(clips.with_targets(seen)[1].signature)
    assert clips.signature != objectives.activation_difference("conv", GIVEN[::-1]).signature
    assert clips.signature != objectives.activation_difference("conv", GIVEN, style=True).signature
    rows = objectives.direction("conv", VECTORS)
    assert rows[1].signature == rows.signature == objectives.direction("conv", VECTORS).signature
    assert rows.signature != objectives.direction("conv", VECTORS, power=1).signature
    assert repr(rows) != repr(objectives.direction("conv", VECTORS + 1e-3))


def test_only_what_compares_clips_is_joint():
    both = objectives.channel("conv", [0, 1]) + objectives.diversity("conv")
    assert both.batchwise and both[:1].batchwise and objectives.alignment("conv").batchwise
    assert (
        not objectives.caricature("conv", GIVEN).batchwise
        and not objectives.layer("conv").batchwise
    )


def test_given_arrays_are_copied():
    vectors = np.eye(5)
    rows = objectives.direction("conv", vectors)
    before = rows.signature
    vectors[:] = 7
    assert rows.signature == before == objectives.direction("conv", np.eye(5)).signature


def test_clips_must_have_been_seen_by_a_network(activations):
    with pytest.raises(ValueError, match="activations of its reference clips.*with_targets"):
        score(objectives.caricature("conv", GIVEN), activations)


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
    np.testing.assert_array_equal(whole[1:3].unit_indices(SHAPES), whole.unit_indices(SHAPES)[1:3])
    np.testing.assert_array_equal(whole[4].unit_indices(SHAPES), [[4, 1]])
    assert whole[1:3].signature == whole.signature


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objectives.channel("conv", True), "whole numbers from 0. Received: True"),
        (lambda: objectives.channel("conv", -1).unit_indices(SHAPES), "0 to 4. Received: -1"),
        (lambda: objectives.channel("conv", 5).unit_indices(SHAPES), "0 to 4. Received: 5"),
        (lambda: objectives.channel("conv", 1.5), "whole numbers"),
        (lambda: objectives.channel("conv", []), "Received: none"),
        (lambda: objectives.channel(3, 0), "name of a layer"),
        (lambda: objectives.logit("lift").unit_indices(SHAPES, NAMES), "'left'.*Received: 'lift'"),
        (lambda: objectives.logit("left").unit_indices(SHAPES), "no class names"),
        (lambda: objectives.logit(3).unit_indices(SHAPES), "3 classes.*0 to 2"),
        (
            lambda: objectives.log_odds(0).unit_indices({objectives.LOGITS: (1,)}),
            "Received: one class",
        ),
        (
            lambda: objectives.logit(0).unit_indices({objectives.LOGITS: (None,)}),
            "axis of any length.*Received: class 0",
        ),
        (lambda: objectives.neuron("conv", 0, position=(2, 0, 0)).unit_indices(SHAPES), "inside"),
        (lambda: objectives.neuron("conv", 0, position=(0, 0)).unit_indices(SHAPES), "inside"),
        (
            lambda: objectives.channel("conv", [0, 1]) + objectives.channel("conv", range(3)),
            "same number of units",
        ),
        (lambda: objectives.channel("conv", [0, 1])[2:], "choice among 2"),
        (lambda: objectives.neuron("conv", 0, position=(0.5, 0, 0)).unit_indices(SHAPES), "inside"),
        (lambda: objectives.neuron("conv", 0, position=3).unit_indices(SHAPES), "inside"),
        (lambda: objectives.channel("conv", 0, where=slice(0.5, 2)), "whole numbers"),
        (lambda: objectives.frame("conv", 5).unit_indices(SHAPES), "0 to 4. Received: 5"),
        (lambda: objectives.frame("conv", 0, frame=2).unit_indices(SHAPES), "0 to 1. Received: 2"),
        (
            lambda: objectives.frame("conv", 0, frame=-1).unit_indices(SHAPES),
            "0 to 1. Received: -1",
        ),
        (lambda: objectives.frame("fc", 0).unit_indices(SHAPES), "number of frames"),
        (lambda: objectives.frame("conv", 0, frame=0.5), "whole numbers"),
        (lambda: objectives.layer(7), "name of a layer"),
        (lambda: objectives.direction("conv", np.ones(4)).unit_indices(SHAPES), "5 channels.*of 4"),
        (lambda: objectives.direction("conv", np.zeros(5)), "none of zeros"),
        (lambda: objectives.direction("conv", [math.nan] * 5), "finite"),
        (lambda: objectives.direction("conv", np.ones((1, 2, 5))), r"shape \(1, 2, 5\)"),
        (lambda: objectives.direction("conv", ["a", "b"]), "vector of numbers"),
        (lambda: objectives.direction("conv", np.ones(5), power=-1), "power of 0 or more"),
        (
            lambda: objectives.direction_neuron(
                "conv", np.ones(5), position=(0, 3, 0)
            ).unit_indices(SHAPES),
            "inside",
        ),
        (lambda: objectives.interpolation("conv", 0, "conv", 1, clips=1), "2 clips or more"),
        (
            lambda: objectives.interpolation("conv", 0, "conv", 5).unit_indices(SHAPES),
            "Received: 5",
        ),
        (lambda: objectives.interpolation("conv", 0.5, "conv", 1), "whole numbers"),
        (lambda: objectives.penalty(0.5), "function of clips"),
        (lambda: objectives.caricature("conv", 255 * GIVEN), r"in \[0, 1\]"),
        (lambda: objectives.caricature("conv", GIVEN[0, 0]), "frames, height, width"),
        (lambda: objectives.caricature("conv", GIVEN, power=math.inf), "power of 0 or more"),
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
    with pytest.raises(TypeError):
        1 / objectives.logit(0)
    with pytest.raises(ValueError, match="finite weight"):
        objectives.logit(0) / 0


def test_numpy_numbers_scale_too():
    a = objectives.channel("conv", [0, 1])
    assert (np.float32(2) * a).terms == (a * np.float64(2)).terms == (2 * a).terms
    with pytest.raises(ValueError, match="finite weight"):
        a * float("nan")
