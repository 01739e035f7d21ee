"""Metrics of heatmaps: answers known by hand, ties that count by chance, chance levels."""

import keras
import numpy as np
import pytest
from keras import ops
from linear_network import linear_network

from c3dvis import objectives
from c3dvis.attribution import metrics
from c3dvis.attribution.scorer import Scorer

SHAPE = (4, 8, 8)


def planted(seed=0) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[1, 1:4, 2:5] = True
    mask[2, 2:5, 3:6] = True
    mask[2, 3, 4] = False  # a hole, so that the box is larger than the mask
    return mask


MASK = planted()
VOLUME_SHARE = MASK.mean()
FRAME_SHARES = MASK.mean(axis=(1, 2))[1:3]
MAPS = {
    "perfect": MASK.astype(float),
    "inverted": -MASK.astype(float),
    "constant": np.full(SHAPE, 0.3),
    "zero": np.zeros(SHAPE),
}


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("perfect", 1.0),
        ("inverted", 0.0),
        ("constant", FRAME_SHARES.mean()),
        ("zero", FRAME_SHARES.mean()),
    ],
)
def test_the_pointing_game_of_each_frame(kind, expected):
    assert metrics.pointing_game(MAPS[kind], MASK) == pytest.approx(expected)


@pytest.mark.parametrize(
    "kind, expected", [("perfect", 1), ("inverted", 0), ("constant", VOLUME_SHARE)]
)
def test_the_pointing_game_of_the_clip(kind, expected):
    assert metrics.pointing_game(MAPS[kind], MASK, per="clip") == pytest.approx(expected)


def test_the_hole_counts_in_the_box_and_not_in_the_mask():
    heat = np.zeros(SHAPE)
    heat[1, 2, 3] = heat[2, 3, 4] = 1
    assert metrics.pointing_game(heat, MASK) == 0.5
    assert metrics.pointing_game(heat, MASK, region="box") == 1
    heat[2, 1, 4] = 2  # one row above the box
    assert metrics.pointing_game(heat, MASK, region="box") == 0.5


def test_random_maps_point_as_often_as_chance():
    by_chance = metrics.compare_to_chance(metrics.pointing_game, MAPS["zero"], MASK, maps=3000)
    assert by_chance.random == pytest.approx(FRAME_SHARES.mean(), abs=0.02)
    assert by_chance.random == pytest.approx(by_chance.value, abs=0.02)


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("perfect", 1),
        ("inverted", 0),
        ("constant", VOLUME_SHARE / (2 - VOLUME_SHARE)),
        ("zero", VOLUME_SHARE / (2 - VOLUME_SHARE)),
    ],
)
def test_the_overlap_with_the_tube(kind, expected):
    assert metrics.tube_iou(MAPS[kind], MASK) == pytest.approx(expected)


def test_the_overlap_depends_on_the_order_of_the_heat_alone():
    heat = np.random.default_rng(0).standard_normal(SHAPE) + MASK
    assert metrics.tube_iou(heat, MASK) == metrics.tube_iou(np.exp(3 * heat), MASK)


def test_half_the_tube_is_a_third_of_the_union():
    size = np.count_nonzero(MASK)
    heat = np.zeros(SHAPE)
    inside, outside = np.argwhere(MASK), np.argwhere(~MASK)
    for place in (*inside[: size // 2], *outside[: size - size // 2]):
        heat[tuple(place)] = 1
    half = size // 2
    assert metrics.tube_iou(heat, MASK) == pytest.approx(half / (2 * size - half))


def test_random_maps_overlap_by_chance():
    scores = metrics.compare_to_chance(metrics.tube_iou, MAPS["perfect"], MASK, maps=500)
    assert scores.value == 1
    assert scores.random == pytest.approx(VOLUME_SHARE / (2 - VOLUME_SHARE), abs=0.01)


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("perfect", 1),
        ("constant", VOLUME_SHARE),
        ("zero", VOLUME_SHARE),
        ("inverted", VOLUME_SHARE),
    ],
)
def test_the_mass_on_the_evidence(kind, expected):
    assert metrics.relevance_mass(MAPS[kind], MASK) == pytest.approx(expected)


def test_negative_heat_has_no_mass():
    heat = np.where(MASK, 1.0, -5.0)
    heat[0, 0, 0] = np.count_nonzero(MASK)
    assert metrics.relevance_mass(heat, MASK) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "profile, hit, iou",
    [
        ([0, 0, 1, 1, 1, 0], 1, 1),
        ([1, 1, 0, 0, 0, 1], 0, 0),
        ([2, 2, 2, 2, 2, 2], 0.5, 1 / 3),
        ([0, 0, 0, 3, 2, 1], 1, 0.5),
        ([0, 9, 8, 7, 0, 0], 0, 0.5),
    ],
)
def test_the_frames_that_count_most(profile, hit, iou):
    assert metrics.temporal_hit(profile, (2, 5)) == pytest.approx(hit)
    assert metrics.temporal_iou(profile, (2, 5)) == pytest.approx(iou)


@pytest.mark.parametrize(
    "mask, iou",
    [([0, 1, 1, 0], 1), ([1, 1, 1, 1], 0.5), ([0.4] * 4, 0), ([0, 0.6, 0, 0.7], 1 / 3)],
)
def test_the_overlap_of_a_mask_of_frames(mask, iou):
    assert metrics.temporal_iou(mask, (1, 3), threshold=0.5) == pytest.approx(iou)


def test_the_profile_of_a_heatmap_is_its_positive_heat():
    heat = np.zeros((3, 2, 2))
    heat[1] = [[1, -4], [2, 0]]
    assert metrics.frame_profile(heat).tolist() == [0, 3, 0]


@pytest.mark.parametrize(
    "metric", [metrics.pointing_game, metrics.tube_iou, metrics.relevance_mass]
)
@pytest.mark.parametrize(
    "heat, mask, message",
    [
        (MAPS["zero"], MASK[:2], "Expected a mask of bools of shape"),
        (MAPS["zero"], MASK.astype(int), "Received: int64"),
        (MAPS["zero"], np.zeros(SHAPE, bool), "Expected a mask with evidence"),
        (MAPS["zero"][0], MASK[0], "Expected a heatmap of shape"),
        (np.full(SHAPE, np.nan), MASK, "Expected a finite heatmap. Received: 256"),
    ],
)
def test_wrong_maps_are_told(metric, heat, mask, message):
    with pytest.raises(ValueError, match=message):
        metric(heat, mask)


@pytest.mark.parametrize("window", [(2, 2), (-1, 2), (0, 5)])
@pytest.mark.parametrize("metric", [metrics.temporal_hit, metrics.temporal_iou])
def test_wrong_windows_are_told(metric, window):
    with pytest.raises(ValueError, match="within 4 frames"):
        metric([0, 1, 2, 3], window)


def test_the_bootstrap_interval_is_that_of_the_normal_law_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, 400)
    interval = metrics.bootstrap(values, samples=4000)
    half = 1.96 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_the_bootstrap_interval_holds_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        _, low, high = metrics.bootstrap(draw.random(40), samples=400, seed=trial, level=0.8)
        held += low <= 0.5 <= high
    assert 0.7 < held / 200 < 0.9


@pytest.mark.parametrize("values", [[1.0], [], [1.0, np.nan], [[1.0, 2.0]]])
def test_a_bootstrap_needs_two_finite_values(values):
    with pytest.raises(ValueError, match="two finite values"):
        metrics.bootstrap(values)


CLIP = np.random.default_rng(2).random((*SHAPE, 1)).astype(np.float32)
WEIGHTS = np.random.default_rng(3).normal(0, 1, (*SHAPE, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def linear():
    return Scorer(linear_network(WEIGHTS), objectives.logit(0))


def removal(baseline):
    """What each pixel adds to the linear score over a baseline: the exact answer."""
    return ((CLIP - baseline) * WEIGHTS)[..., 0]


def test_the_exact_answer_of_a_linear_network_has_fidelity_one(linear):
    exact = removal(0)
    fidelity = metrics.mu_fidelity(linear, CLIP, exact, blocks=(2, 4, 4))
    assert fidelity.value == pytest.approx(1, abs=1e-4)
    assert abs(fidelity.random) < 0.2
    assert metrics.mu_fidelity(linear, CLIP, -exact, blocks=(2, 4, 4)).value == pytest.approx(
        -1, abs=1e-4
    )
    frozen = removal(CLIP[:1])
    fidelity = metrics.mu_fidelity(linear, CLIP, frozen, blocks=(4, 2, 2), baseline="first_frame")
    assert fidelity.value == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_a_constant_map_foretells_nothing(linear, constant):
    fidelity = metrics.mu_fidelity(linear, CLIP, np.full(SHAPE, constant), blocks=(2, 4, 4))
    assert fidelity.value == 0


def test_insertion_and_deletion_of_a_linear_network_by_hand(linear):
    exact = removal(0)
    shown = metrics.insertion(linear, CLIP, exact, baseline="fade", steps=4).value
    order = np.sort(exact.ravel())[::-1]
    scores = np.array([order[: exact.size * i // 4].sum() for i in range(5)])
    np.testing.assert_allclose(shown.probabilities, 1 / (1 + np.exp(-scores)), atol=1e-4)
    assert shown.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    p = shown.probabilities
    assert shown.area == pytest.approx((p[0] + 2 * p[1] + 2 * p[2] + 2 * p[3] + p[4]) / 8)
    hidden = metrics.deletion(linear, CLIP, exact, baseline="fade", steps=4).value
    scores = np.array([order[exact.size * i // 4 :].sum() for i in range(5)])
    np.testing.assert_allclose(hidden.probabilities, 1 / (1 + np.exp(-scores)), atol=1e-4)


@pytest.mark.parametrize("baseline", ["blur", "fade", "freeze"])
def test_the_exact_answer_is_inserted_and_deleted_better_than_a_random_map(linear, baseline):
    from c3dvis.attribution import baselines

    absent = baselines.baseline(
        {"fade": "black", "freeze": "first_frame"}.get(baseline, baseline), CLIP
    )
    exact = removal(absent)
    shown = metrics.insertion(linear, CLIP, exact, baseline=baseline)
    hidden = metrics.deletion(linear, CLIP, exact, baseline=baseline)
    assert shown.value.area > shown.random.area and hidden.value.area < hidden.random.area
    for ends in (shown, hidden):  # both go between the same two clips
        for end in (0, -1):
            assert ends.value.probabilities[end] == ends.random.probabilities[end]


@pytest.mark.parametrize("metric", [metrics.insertion, metrics.deletion])
def test_a_constant_map_is_a_random_one(linear, metric):
    curves = metric(linear, CLIP, np.ones(SHAPE))
    np.testing.assert_array_equal(curves.value.probabilities, curves.random.probabilities)


def test_sensitivity_of_known_explanations():
    clip = np.full((2, 4, 4, 1), 0.5, np.float32)
    own = np.linalg.norm(clip)

    def brightness(clip):
        return clip[..., 0]

    largest = metrics.sensitivity(brightness, clip, radius=0.1, samples=50)
    # Noise in [-r, r] at every pixel has a norm of r / sqrt(3) a pixel, and at most r.
    assert 0.1 / 3**0.5 < largest * own / np.sqrt(clip.size) < 0.1
    assert metrics.sensitivity(lambda clip: 5 * brightness(clip), clip, radius=0.1, samples=50) == (
        pytest.approx(largest)
    )
    assert metrics.sensitivity(lambda clip: np.ones(clip.shape[:3]), clip) == 0
    assert metrics.sensitivity(lambda clip: (clip[..., 0] > 0.5) * 1.0, clip) == np.inf


def small_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    clip = keras.Input((*SHAPE, 1))
    inner_in = keras.Input((*SHAPE, 1))
    inner_out = keras.layers.Conv3D(3, 3, activation="relu", name="conv1")(inner_in)
    inner = keras.Model(inner_in, inner_out, name="stem")
    x = keras.layers.BatchNormalization(name="norm")(inner(clip))
    x = keras.layers.Dropout(0.5, name="drop")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(clip, keras.layers.Dense(2, name="classes")(x))


def test_layers_are_spoiled_from_the_top_and_put_back():
    network = small_network()
    before = network.get_weights()
    seen = []

    def explain(clip):
        now = network.get_weights()
        seen.append([not np.array_equal(a, b) for a, b in zip(now, before, strict=True)])
        return ops.convert_to_numpy(network(clip[None]))[0, 0] * clip[..., 0]

    stages = metrics.cascading_randomization(network, explain, [CLIP])
    assert [stage.layer for stage in stages] == ["classes", "norm", "stem/conv1"]
    owners = [weight.path.split("/")[-2] for weight in network.weights]
    spoiled = [{o for o, changed in zip(owners, row, strict=True) if changed} for row in seen]
    # A fresh normalization has weights of all ones or zeros, which shuffling leaves as they are.
    assert [names - {"norm"} for names in spoiled] == [
        set(),
        {"classes"},
        {"classes"},
        {"classes", "conv1"},
    ]
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_weights_are_put_back_after_an_error():
    network = small_network()
    before = network.get_weights()
    calls = iter([np.ones(SHAPE)])

    with pytest.raises(StopIteration):
        metrics.cascading_randomization(network, lambda clip: next(calls), [CLIP])
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_map_of_the_network_changes_where_a_map_of_the_clip_does_not():
    network = linear_network(WEIGHTS)
    scorer = Scorer(network, objectives.logit(0))

    def gradient(clip):
        return scorer.gradients(clip[None])[1][0][..., 0]

    (of_network,) = metrics.cascading_randomization(network, gradient, [CLIP, CLIP[::-1]])
    (of_clip,) = metrics.cascading_randomization(network, lambda clip: clip[..., 0], [CLIP])
    assert of_clip.similarities.tolist() == [1]
    assert of_network.similarities.shape == (2,) and np.abs(of_network.similarities).max() < 0.4


def test_rank_correlation_of_known_maps():
    a = np.random.default_rng(0).standard_normal(SHAPE)
    assert metrics.rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert metrics.rank_correlation(a, -a) == pytest.approx(-1)
    assert metrics.rank_correlation(a, np.ones(SHAPE)) == 0
    assert metrics.rank_correlation(np.ones(SHAPE), np.ones(SHAPE)) == 1
    tied = np.array([1, 2, 2, 3.0]).reshape(1, 2, 2)
    other = np.array([1, 3, 2, 4.0]).reshape(1, 2, 2)
    # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4.
    assert metrics.rank_correlation(tied, other) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda q: metrics.insertion(q, CLIP, np.ones(SHAPE), baseline="black"), "'blur', 'fade'"),
        (lambda q: metrics.deletion(q, CLIP, np.ones(SHAPE), steps=0), "Expected 1 step"),
        (lambda q: metrics.insertion(q, CLIP, np.ones((2, 8, 8))), "Expected a heatmap of"),
        (lambda q: metrics.insertion(q, CLIP, "heat"), "heatmap of numbers.*Received: str"),
        (
            lambda q: metrics.mu_fidelity(q, CLIP, np.ones(SHAPE), blocks=(5, 1, 1)),
            "blocks from 1 up to",
        ),
        (lambda q: metrics.mu_fidelity(q, CLIP, np.ones(SHAPE), blocks=2), "Received: 2"),
        (lambda q: metrics.temporal_hit([0, 1, 2], 1), "frame after the last.*Received: 1"),
        (lambda q: metrics.mu_fidelity(q, CLIP, np.ones(SHAPE), share=1), "removes some"),
        (lambda q: metrics.mu_fidelity(q, CLIP, np.ones((2, 8, 8))), "Expected a heatmap of"),
        (lambda q: metrics.sensitivity(lambda c: c[..., 0], CLIP, radius=0), "radius above 0"),
        (lambda q: metrics.pointing_game(MASK * 1.0, MASK, region="disc"), "'mask' or 'box'"),
        (lambda q: metrics.pointing_game(MASK * 1.0, MASK, per="video"), "'frame' or 'clip'"),
        (lambda q: metrics.cascading_randomization(q.network, len, []), "one clip or more"),
        (lambda q: metrics.compare_to_chance(len, MASK, maps=0), "1 random map"),
        (lambda q: metrics.bootstrap([1, 2], level=95), "between 0 and 1"),
    ],
)
def test_wrong_options_are_told(linear, call, message):
    with pytest.raises(ValueError, match=message):
        call(linear)
