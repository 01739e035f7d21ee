"""STEP and extremal perturbations: a known tube is found, and the energy is the published one."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import objectives
from c3dvis.attribution import attribute
from c3dvis.attribution.masks import extremal, perturbations
from c3dvis.attribution.masks.energies import Energy
from c3dvis.attribution.masks.generators import RadialMasks
from c3dvis.attribution.masks.search import MaskSearch
from c3dvis.attribution.methods import step
from c3dvis.attribution.scorer import Scorer
from c3dvis.autodiff import value_and_gradient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import step_reference

SHAPE = (8, 24, 24, 1)
METHODS = ("step", "extremal_3d", "extremal_2d")
VARIANTS = ("preserve", "delete", "dual")
CLASS = objectives.logit(0)


def tube():
    """Where the white box looks: 8 x 8 pixels that move to the right, in frames 2 to 6."""
    where = np.zeros(SHAPE[:3], bool)
    for frame in range(2, 7):
        where[frame, 8:16, 2 * frame : 2 * frame + 8] = True
    return where


def white_box(policy=None):
    """A network whose class says how much of the tube is bright."""
    clip = keras.layers.Input(SHAPE)
    scores = keras.layers.Dense(2, name="classes", dtype=policy)
    network = keras.Model(clip, scores(keras.layers.Flatten(dtype=policy)(clip)))
    kernel = np.zeros((*SHAPE, 2), np.float32)
    kernel[tube(), 0, 0] = 10 / tube().sum()
    scores.set_weights([kernel.reshape(-1, 2), np.array([-5, 0], np.float32)])
    return network


@pytest.fixture(scope="module")
def network():
    return white_box()


@pytest.fixture(scope="module")
def clip():
    """Bright everywhere, so that nothing but the network tells where its evidence is."""
    return np.random.default_rng(0).uniform(0.9, 1, SHAPE).astype(np.float32)


def find(network, clip, method="step", **options):
    return attribute(network, clip, CLASS, method=method, perturbation="fade", **options)


def overlap(heatmap, where):
    """Intersection over union of a region and as many of the highest pixels."""
    highest = heatmap >= np.sort(heatmap, axis=None)[-where.sum()]
    return (highest & where).sum() / (highest | where).sum()


@pytest.mark.parametrize(
    "method, variant", [*(("step", variant) for variant in VARIANTS), ("extremal_3d", "preserve")]
)
def test_the_mask_covers_the_tube(network, clip, method, variant):
    attribution = find(network, clip, method, variant=variant, areas=(0.1,))
    assert overlap(attribution.heatmap, tube()) > 0.55
    assert attribution.heatmap[tube()].mean() > 6 * attribution.heatmap[~tube()].mean()
    assert attribution.settings["probability"] > 0.98
    assert attribution.settings["probability_kept"][0] > 0.9
    assert attribution.settings["probability_removed"][0] < 0.2


def test_in_two_dimensions_every_frame_has_the_area(network, clip):
    attribution = find(network, clip, "extremal_2d", areas=(0.15,))
    # Of those frames that the network reads, the tube; of the others, nothing is said.
    assert overlap(attribution.heatmap[2:7], tube()[2:7]) > 0.55
    frames = attribution.heatmap.mean(axis=(1, 2))
    assert frames.max() < 1.7 * frames.min()


@pytest.mark.parametrize("variant", ["preserve", "delete"])
def test_the_published_search_finds_the_tube_too(network, clip, variant):
    """If less sharply: it is through with the easy part after a hundred steps."""
    attribution = find(network, clip, reference=True, steps=150, areas=(0.1,), variant=variant)
    assert attribution.heatmap[tube()].mean() > 4 * attribution.heatmap[~tube()].mean()
    assert attribution.settings["probability_kept"][0] > 0.9
    assert attribution.settings["probability_removed"][0] < 0.1


def test_the_fast_search_ends_about_where_the_published_one_does(network, clip):
    """After all its 2000 iterations: rewards less by at most 0.05 an area, and no less overlap."""
    areas = (0.05, 0.1)
    slow = find(network, clip, reference=True, areas=areas)
    fast = find(network, clip, areas=areas)
    assert np.all(np.array(fast.settings["rewards"]) > np.array(slow.settings["rewards"]) - 0.05)
    assert sum(fast.settings["rewards"]) > sum(slow.settings["rewards"])
    assert overlap(fast.heatmap, tube()) > overlap(slow.heatmap, tube())
    assert fast.settings["steps"] <= 60 and slow.settings["steps"] == 2000


def settled(network, clip, variant, exact=False):
    scorer = Scorer(network, CLASS)
    search = MaskSearch(
        scorer.shared,
        SHAPE,
        areas=(0.05, 0.3),
        variant=variant,
        energy=step.ENERGY,
        masks=RadialMasks(SHAPE[1:3], step=7, sigma=5),
        exact=exact,
        optimizer=keras.optimizers.SGD(0.005, momentum=0.9),
    )
    search.load(perturbations.pyramid(clip))
    return scorer, search


def restated(scorer, clip, variant):
    """The published energies as restated for the benchmark, `(grid, iteration)` to `(areas,)`."""
    levels = ops.convert_to_tensor(perturbations.pyramid(clip))
    weights = step_reference.kernel(SHAPE[1:3], 7, 5)

    def energies(grid, iteration):
        return step_reference.energies(
            scorer.log_probabilities,
            levels,
            grid,
            (0.05, 0.3),
            iteration,
            variant=variant,
            step=7,
            sigma=5,
            weights=weights,
        )

    return energies


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("variant", ["preserve", "delete"])
def test_the_energy_and_its_gradient_are_those_of_the_restatement(network, clip, variant, exact):
    scorer, search = settled(network, clip, variant, exact)
    reference = value_and_gradient(restated(scorer, clip, variant))
    grid = np.random.default_rng(1).random(search.grid.shape, np.float32) ** 2

    def energies(grid, iteration):
        return search.energies(grid, ops.reshape(iteration, (1, 1)), scorer.unit_indices)

    ours = value_and_gradient(energies, variables=search.variables)
    for iteration in (0.0, 100.0, 101.0, 1500.0):
        mine, my_slope = ours(grid, np.float32(iteration))
        theirs, their_slope = reference(grid, np.float32(iteration))
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)
        np.testing.assert_allclose(my_slope, their_slope, atol=2e-3 * np.abs(their_slope).max())


def test_the_published_search_descends_as_the_restatement_does(network, clip):
    """From the second step on: the first is dampened here, and is not in the publication."""
    scorer, search = settled(network, clip, "preserve", exact=True)
    reference = value_and_gradient(restated(scorer, clip, "preserve"))
    ones = np.ones(search.grid.shape, np.float32)
    ends = step_reference.search(reference, ones, 30)
    search.run(ones, scorer.unit_indices, np.arange(30))
    mine = ops.convert_to_numpy(search.grid)
    assert 0.05 < np.abs(ends - 1).mean()
    energies = [float(ops.sum(reference(g, np.float32(0))[0])) for g in (ones, ends, mine)]
    assert energies[1] < 0.8 * energies[0] and energies[2] < 0.85 * energies[0]


def test_dual_is_both_rewards(network, clip):
    scorer, search = settled(network, clip, "dual")
    masks = np.random.default_rng(2).random((2, *SHAPE[:3]), np.float32)
    both = ops.convert_to_numpy(search.rewards(ops.convert_to_tensor(masks), scorer.unit_indices))
    table = ops.convert_to_tensor(perturbations.level_table(perturbations.pyramid(clip)))
    kept = perturbations.blend(table, ops.convert_to_tensor(masks))
    removed = perturbations.blend(table, ops.convert_to_tensor(1 - masks))
    expected = scorer.log_probabilities(kept)[0] + scorer.log_probabilities(removed)[1]
    np.testing.assert_allclose(both, expected, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_finite_and_the_same_twice(network, clip, method):
    first, second = (find(network, clip, method, areas=(0.1, 0.2), steps=3) for _ in range(2))
    assert first.heatmap.shape == SHAPE[:3] and first.heatmap.dtype == np.float32
    assert first.heatmap.min() >= 0 and first.heatmap.max() <= 1
    np.testing.assert_array_equal(first.heatmap, second.heatmap)
    np.testing.assert_array_equal(first.perturbed, second.perturbed)
    assert first.method == method and first.settings["steps"] == 3
    for name in ("probability_kept", "probability_removed", "rewards", "covered"):
        assert np.isfinite(first.settings[name]).all() and len(first.settings[name]) == 2


def test_one_search_serves_other_clips_and_classes(network, clip):
    """And gives what a new one gives: nothing is left over from the clip before."""
    options = {"method": "step", "areas": (0.1,), "steps": 4, "perturbation": "fade"}
    attribute(network, clip, objectives.logit(0), **options)
    again = attribute(network, 1 - clip, objectives.logit(1), **options)
    alone = attribute(white_box(), 1 - clip, objectives.logit(1), **options)
    np.testing.assert_array_equal(again.heatmap, alone.heatmap)


def test_the_network_is_left_as_it_was(network, clip):
    before = [w.copy() for w in network.get_weights()]
    trainable = [layer.trainable for layer in network.layers]
    find(network, clip, areas=(0.1,), steps=2)
    assert [layer.trainable for layer in network.layers] == trainable
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_rewards_are_those_of_the_clips(network, clip):
    scorer = Scorer(network, CLASS)
    for variant, name in (("preserve", "probability_kept"), ("delete", "probability_removed")):
        attribution = find(network, clip, variant=variant, areas=(0.02, 0.3), steps=20)
        p = np.array(attribution.settings[name])
        expected = np.log(p) if variant == "preserve" else np.log(1 - p)
        np.testing.assert_allclose(attribution.settings["rewards"], expected, rtol=1e-3, atol=1e-5)
        # The clip shown is that of the area that is said to be shown.
        shown = attribution.settings["areas"].index(attribution.settings["area_shown"])
        np.testing.assert_allclose(
            scorer.probabilities(attribution.perturbed[None]), p[shown], rtol=1e-4
        )


def test_the_smallest_area_that_is_enough_is_shown():
    kept = np.log([[0.2, 0.85, 0.9], [0.8, 0.15, 0.1]])
    assert extremal._smallest_sufficient(kept, kept, 0.9, "preserve") == 1
    assert extremal._smallest_sufficient(kept, kept, 1.0, "preserve") == 2
    removed = np.log([[0.5, 0.4, 0.05], [0.5, 0.6, 0.95]])
    assert extremal._smallest_sufficient(kept, removed, 0.9, "delete") == 2
    assert extremal._smallest_sufficient(kept, np.log([[0.5, 0.5, 0.5]] * 2), 0.9, "delete") == 2


def test_a_plateau_ends_the_search(network, clip):
    attribution = find(network, clip, areas=(0.1,), steps=5000)
    assert attribution.settings["steps"] < 500 and attribution.settings["steps"] % 10 == 0


def test_a_network_in_bfloat16_is_searched(clip):
    attribution = find(white_box("mixed_bfloat16"), clip, areas=(0.1,))
    assert overlap(attribution.heatmap, tube()) > 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"variant": "keep"}, "Expected a variant"),
        ({"variant": "preserved"}, "Expected a variant, such as 'preserve'.*Received: 'preserved'"),
        ({"areas": ()}, "Expected rising areas"),
        ({"areas": 0.1}, "Expected areas of 'step' as several numbers. Received: 0.1"),
        ({"areas": "0.1"}, "as several numbers. Received: '0.1'"),
        ({"areas": (0.2, 0.1)}, "Expected rising areas"),
        ({"areas": (0.0, 0.1)}, "Expected rising areas between 0 and 1"),
        ({"steps": 0}, "Expected 1 step or more"),
        ({"iterations": 5}, "Expected an option of 'step'"),
    ],
)
def test_wrong_options_are_refused(network, clip, options, message):
    with pytest.raises(ValueError, match=message):
        find(network, clip, **options)


@pytest.mark.parametrize("method, variant", [("step", "preserve"), ("extremal_3d", "delete")])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_has_no_probability_is_explained_by_its_score(network, clip, method, variant, sign):
    """As in a regression: the score as it is, of any size and sign."""
    attribution = attribute(
        network,
        clip,
        sign * objectives.channel("classes", 0),
        method=method,
        variant=variant,
        perturbation="fade",
        areas=(0.1,),
    )
    assert attribution.settings["probability"] == pytest.approx(1 / (1 + np.exp(-4)), rel=1e-4)
    assert attribution.heatmap[tube()].mean() > 6 * attribution.heatmap[~tube()].mean()


def test_the_published_weights():
    assert step.ENERGY == Energy(1.0, 300.0, 1.0008668, 300.0, 100)
    assert step.ENERGY.growth**800 == pytest.approx(2, rel=1e-3)
