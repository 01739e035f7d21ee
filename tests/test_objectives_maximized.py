"""Every objective rises on every kind of network; dead ReLUs; clips that are made together."""

import keras
import numpy as np
import objective_cases as cases
import pytest
from keras import ops
from same_bits import assert_same

from c3dvis import objectives
from c3dvis.maximize import Maximizer, maximize, scores
from c3dvis.maximize.regularizers import TotalVariation

L = keras.layers
SHAPE = (6, 12, 12, 3)
# Ways to read a network: a layer behind and before its activation, one place, one frame, the
# outputs, a given clip, several layers at once; and the clip itself, which is read without one.
# The plain network is read in all of them. These take long to trace: two of them each way.
SLOW = {
    "c3d": ("channel before", "log odds", "alignment"),
    "r2plus1d": ("channel before", "neuron at", "difference", "alignment"),
    "convlstm": ("neuron at", "difference", "log odds"),
}
# Networks that differ from the plain one in their outputs or in the channels of the clip alone.
ALIKE = {
    "two outputs": ("channel before", "log odds"),
    "grey": ("difference", "penalty"),
    "flow": ("difference", "penalty"),
}


def crossings():
    """Every objective on the plain network, and each way to read one on others."""
    yield from (("branches", case) for case in cases.CASES)
    for name in cases.NETWORKS[1:]:
        marks = [pytest.mark.slow] * (name in SLOW)
        some = {**ALIKE, **SLOW}[name]
        yield from (pytest.param(name, case, marks=marks) for case in some)


@pytest.mark.parametrize("name, case", list(crossings()))
def test_every_objective_rises_and_every_network_is_read(name, case):
    network = cases.network(name)
    objective = cases.CASES[case](network)
    maximizer = Maximizer(network, objective, transforms=[], steps_per_execution=1)
    before = [result.score for result in maximizer.make(steps=1)]
    after = list(maximizer.make(steps=11))
    assert len(after) == len(objective) and maximizer.traces == 1
    for result in after:
        assert result.status == "ok" and np.isfinite(result.clip).all()
        assert result.clip.shape == network.input_shape[1:]
        assert result.clip.min() >= 0 and result.clip.max() <= 1
    rises = np.array([result.score for result in after]) - before
    # Clips that are made together may give a little for each other.
    assert (rises.sum() if objective.batchwise else rises.min()) > 0


@pytest.mark.parametrize("case", ["frame", "caricature", "penalty"])
def test_the_score_of_a_made_clip_is_that_of_the_same_real_clip(case):
    network = cases.network("branches")
    objective = cases.CASES[case](network)
    results = list(Maximizer(network, objective).make(steps=2))
    again = scores(network, objective, np.stack([one.clip for one in results]), batch_size=1)
    assert again.shape == (len(results), len(objective))
    np.testing.assert_allclose([one.score for one in results], np.diag(again), rtol=1e-3, atol=1e-5)


def test_the_same_bits_whatever_is_made_beside():
    network = cases.network("branches")
    direction, difference, penalty = (
        cases.CASES[case](network) for case in ("direction", "difference", "penalty")
    )
    objective = direction + difference + penalty
    together = maximize(network, objective, steps=3, seed=4)
    alone = maximize(network, objective[1], steps=3, seed=4)
    assert_same(together[1], alone[0])


def test_one_trace_for_all_directions_and_all_given_clips():
    network = cases.network("branches")
    for objective in (
        objectives.direction("block", np.eye(6)),
        objectives.activation_difference("block", cases.given(network, 4)),
        objectives.interpolation("conv1", 0, "block", 1, clips=6),
    ):
        maximizer = Maximizer(network, objective, batch_size=2)
        assert len(list(maximizer.make(steps=2))) == len(objective)
        # As the user wrote it, without the activations that the maximizer has found.
        assert len(list(maximizer.make(objective[1:3], steps=2))) == 2
        assert maximizer.traces == 1


def test_another_pair_of_channels_is_interpolated_by_the_same_step():
    network = cases.network("branches")
    maximizer = Maximizer(network, objectives.interpolation("conv1", 0, "block", 1, clips=3))
    first = list(maximizer.make(steps=2))
    list(maximizer.make(objectives.interpolation("conv1", 2, "block", 4, clips=3), steps=2))
    assert maximizer.traces == 1 and len(first) == 3


# Dead ReLUs.


def half_dead() -> keras.Model:
    """Channel 0 is off unless the clip is much brighter than clips are at the start; 1 is on."""
    clip = L.Input(SHAPE)
    x = L.Conv3D(2, 1, activation="relu", name="conv")(clip)
    network = keras.Model(clip, L.GlobalAveragePooling3D()(x))
    kernel = np.zeros((1, 1, 1, 3, 2), np.float32)
    kernel[..., 0], kernel[0, 0, 0, 0, 1] = 1 / 3, 0.1
    network.get_layer("conv").set_weights([kernel, np.array([-0.8, 0.2], np.float32)])
    return network


ONE = np.array([1.0, 0.0])
WHITE = np.ones(SHAPE, np.float32)
DEAD = {
    "channel": objectives.channel("conv", 0),
    "neuron behind the ReLU": objectives.neuron("conv", 0, before_activation=False),
    "frame": objectives.frame("conv", 0),
    "direction": objectives.direction("conv", ONE, power=1),
    "direction at a place": objectives.direction_neuron("conv", ONE, before_activation=False),
    "interpolation": objectives.interpolation("conv", 0, "conv", 1, clips=2)[0],
    "interpolation, halfway": objectives.interpolation("conv", 0, "conv", 1, clips=3)[1],
    "beside a live one": objectives.channel("conv", 0) + objectives.channel("conv", 1),
    "less a live one": objectives.channel("conv", 0) - 0.1 * objectives.channel("conv", 1),
    "less a penalty": objectives.channel("conv", 0)
    - 0.01 * objectives.penalty(TotalVariation(temporal=1)),
    "made together": objectives.channel("conv", [0, 0]) + 0.01 * objectives.alignment("conv"),
}


@pytest.mark.parametrize("case", DEAD)
def test_a_dead_unit_is_found_also_beside_what_moves(case):
    """Parts of the clip come on, in that place or anywhere, though nothing pushed at the start."""
    network, objective = half_dead(), DEAD[case]
    unit = objectives.channel("conv", 0)
    maximizer = Maximizer(network, objective, parametrization="pixels", transforms=[])
    maximizer.restart(objective)
    start = ops.convert_to_numpy(maximizer.parametrization.decode())
    assert scores(network, unit, start).max() == 0
    clips = [one.clip for one in maximizer.make(steps=60)]
    assert scores(network, unit, np.stack(clips)).min() > 0


def test_a_term_that_need_not_rise_leaves_relus_alone():
    """Where an end of an interpolation has no weight, or a term is subtracted, off is well."""
    cases_of = {
        objectives.interpolation("conv", 0, "conv", 1, clips=2): [[True, False], [False, True]],
        objectives.channel("conv", 1) - objectives.channel("conv", 0): [[True, False]],
        objectives.channel("conv", 1) + objectives.penalty(TotalVariation()): [[True, False]],
        objectives.channel("conv", [0, 0]) + objectives.diversity("conv"): [[True, False]] * 2,
    }
    shapes = {"conv": (*SHAPE[:3], 2), objectives.CLIP: SHAPE}
    for objective, expected in cases_of.items():
        columns = ops.convert_to_tensor(objective.unit_indices(shapes))
        np.testing.assert_array_equal(objective.needs_activation(columns), expected)


# Clips that are made together.


def test_alignment_makes_neighbours_alike():
    network = cases.network("branches")
    pair = objectives.interpolation("block", 0, "block", 1, clips=3)
    options = {"steps": 30, "transforms": []}
    free = maximize(network, pair, **options)
    bound = maximize(network, pair + 100 * objectives.alignment(objectives.CLIP), **options)
    assert np.abs(np.diff(bound, axis=0)).mean() < 0.5 * np.abs(np.diff(free, axis=0)).mean()


def test_diversity_makes_clips_of_one_unit_differ():
    network = cases.network("branches")
    unit, variety = objectives.channel("block", [0] * 3), objectives.diversity("block")
    varied = maximize(network, unit + 10 * variety, steps=20, transforms=[])
    same = maximize(network, unit, steps=20, transforms=[])
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(varied[0] - varied[1]).mean() > 0.02
    np.testing.assert_allclose(scores(network, variety, same), -1, atol=1e-5)
    assert scores(network, variety, varied).mean() > -0.99


def test_clips_that_are_compared_are_moved_alike():
    network = cases.network("branches")
    both = objectives.channel("block", [0, 1])
    for objective, alike in ((both, False), (both + objectives.alignment("block"), True)):
        maximizer = Maximizer(network, objective)
        _, uniforms = maximizer.steps_of(maximizer.restart(objective), 4)
        assert np.array_equal(uniforms[::2], uniforms[1::2]) == alike
        assert not np.array_equal(uniforms[0], uniforms[2])


def test_clips_that_are_compared_are_all_made_at_once():
    network = cases.network("branches")
    objective = objectives.channel("block", range(5)) + objectives.diversity("block")
    maximizer = Maximizer(network, objective, batch_size=2)
    assert maximizer.batch_size == 5 and len(list(maximizer.make(steps=1))) == 5
    with pytest.raises(ValueError, match="Expected 5 units.*Received: 3"):
        next(maximizer.make(objective[:3], steps=1))
    with pytest.raises(ValueError, match="two units or more.*Received: 1"):
        Maximizer(network, objectives.diversity("block"))


# Real clips.


def test_clips_of_a_batch_are_compared_with_all_of_it():
    network = cases.network("branches")
    clips = np.concatenate([cases.given(network, 3), cases.given(network, 3)[:2]])
    variety = objectives.diversity("block")
    whole = scores(network, variety, clips, batch_size=2)
    np.testing.assert_allclose(whole, scores(network, variety, clips), rtol=1e-5)
    parted = scores(network, variety, [clips[:2], clips[2:]])
    assert whole.shape == parted.shape == (5, 1) and not np.allclose(whole, parted)
    with pytest.raises(ValueError, match="two clips or more.*Received: 1"):
        scores(network, variety, clips[:1])


def test_penalties_see_the_clip_and_not_what_preprocessing_makes_of_it():
    network = cases.network("branches")
    clips = cases.given(network, 3)
    variation = TotalVariation(spatial=1, temporal=2)
    expected = ops.convert_to_numpy(variation(clips))[:, None]
    got = scores(network, objectives.penalty(variation), clips, preprocess=lambda x: x * 0)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    whole = objectives.channel("block", [0, 1]) - 2 * objectives.penalty(variation)
    got = scores(network, whole, clips, batch_size=2)
    channels = scores(network, objectives.channel("block", [0, 1]), clips)
    np.testing.assert_allclose(got, channels - 2 * expected, rtol=1e-4, atol=1e-6)


def test_a_penalty_as_an_objective_is_a_regularizer():
    network = cases.network("branches")
    unit, still = objectives.channel("block", [0, 1]), TotalVariation(temporal=1)
    maximizer = Maximizer(network, unit - 3 * objectives.penalty(still))
    outside = Maximizer(network, unit, regularizers=[lambda clips: 3 * still(clips)])
    rows = maximizer.steps_of(maximizer.restart(maximizer.objective), 1)
    outside.restart(unit)
    for mine, other in zip(
        outside.parametrization.latents, maximizer.parametrization.latents, strict=True
    ):
        mine.assign(other)
    here = ops.convert_to_numpy(maximizer(rows))
    np.testing.assert_allclose(
        here, ops.convert_to_numpy(outside((rows[0][:, :1], rows[1]))), rtol=1e-5
    )
    alone = maximize(network, -objectives.penalty(still), steps=40, transforms=[])
    assert scores(network, objectives.penalty(still), alone).max() < 1e-2


def test_a_given_clip_is_its_own_best_likeness():
    network = cases.network("branches")
    clips = cases.given(network, 3)
    for kind in (False, True):
        likeness = objectives.activation_difference("block", clips, style=kind)
        table = scores(network, likeness, clips, preprocess=lambda x: 1 - x)
        np.testing.assert_allclose(np.diag(table), 0, atol=1e-9)
        assert (table + np.eye(3) < 0).sum() == 6 and (table <= 1e-9).all()


def test_a_plain_difference_makes_the_given_clip_again():
    network = cases.network("branches")
    clip = 0.25 + 0.5 * cases.given(network)
    likeness = objectives.activation_difference(objectives.CLIP, clip)
    options = {"parametrization": "pixels", "optimizer": keras.optimizers.Adam(0.3)}
    clips = maximize(network, likeness, steps=60, transforms=[], **options)
    assert np.abs(clips[0] - clip).mean() < 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: objectives.caricature("block", np.zeros((4, 8, 8, 3))),
            r"given clip that the network takes, of shape \(8, 16, 20, 3\)",
        ),
        (lambda: objectives.direction("block", [1, 2]), "each of the 6 channels.*of 2"),
        (lambda: objectives.frame("mean", 0), "fixed number of frames"),
        (lambda: objectives.frame("block", 0, frame=4), "from 0 to 3. Received: 4"),
        (lambda: objectives.penalty(lambda clips: ops.mean(clips)), r"one number per clip, \(N,\)"),
        (lambda: objectives.layer("blok"), "'block'.*Received: 'blok'"),
    ],
)
def test_objectives_that_a_network_cannot_answer_are_refused(make, message):
    network = cases.network("branches")
    with pytest.raises(ValueError, match=message):
        maximize(network, make(), steps=1)
    with pytest.raises(ValueError, match=message):
        scores(network, make(), np.zeros((2, 8, 16, 20, 3), np.float32))


def test_a_network_of_any_size_has_places_once_the_size_is_given():
    network = keras.Sequential(
        [L.Input((None, None, None, 3)), L.Conv3D(2, 3, activation="relu", name="conv")]
    )
    large = np.full((5, 8, 8, 3), 0.5)
    size = {"frames": 4, "size": (6, 6), "steps": 1}
    for objective in (
        objectives.neuron("conv", 1),
        objectives.frame("conv", 1),
        objectives.direction_neuron("conv", ONE),
        objectives.activation_difference("conv", large, style=True),
    ):
        assert maximize(network, objective, **size).shape == (1, 4, 6, 6, 3)
    with pytest.raises(ValueError, match="activations of shape"):
        maximize(network, objectives.activation_difference("conv", large), **size)
