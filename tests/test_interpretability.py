"""Video-MIS: answers worked out by hand, chance where nothing is told, and the bank of features."""

import dataclasses

import keras
import numpy as np
import pytest

from c3dvis import responses
from c3dvis.motion import DriftingGabor
from c3dvis.responses import similarity
from c3dvis.responses.sweep_result import LayerResponses, Sweep

SHAPE = (2, 4, 4, 3)


@pytest.fixture(scope="module")
def network():
    """Channel k of "colours" is the mean of colour k."""
    clip = keras.Input(SHAPE)
    colours = keras.layers.Conv3D(3, SHAPE[:3], use_bias=False, name="colours")
    network = keras.Model(clip, colours(clip))
    kernel = np.broadcast_to(np.eye(3, dtype=np.float32) / 32, (*SHAPE[:3], 3, 3))
    colours.set_weights([kernel])
    return network


def plain(colours):
    """Clips of one colour each."""
    given = np.asarray(colours, np.float32)
    return np.broadcast_to(given[:, None, None, None], (len(given), *SHAPE)).copy()


CLIPS = plain(np.random.default_rng(0).random((40, 3)))


def by_mean(clips):
    return np.asarray([clip.mean(axis=(0, 1, 2)) for clip in clips])


BY_MEAN = responses.FeatureSpace(CLIPS, by_mean)


def swept(scores, films=None):
    """A sweep of one layer with these scores `(N, C)`."""
    names = tuple(map(str, range(len(scores))))
    fields = dict.fromkeys(LayerResponses.__dataclass_fields__)
    layer = LayerResponses(**{**fields, "scores": np.asarray(scores, np.float32)})
    return Sweep(names, names if films is None else tuple(films), {}, {"layer": layer})


def nearness_in_red(one, other):
    return -abs(float(one[..., 0].mean() - other[..., 0].mean()))


@pytest.mark.parametrize("explanation", ["synthetic", "top", "both"])
def test_who_compares_by_what_the_unit_answers_to_is_always_right(network, explanation):
    synthetic, against = plain([[1, 0, 0]]), plain([[0, 1, 1]])
    options = {"channels": [0], "similarity": nearness_in_red, "explanation": explanation}
    mis = responses.video_mis(
        network, "colours", CLIPS, synthetic=synthetic, against=against, **options
    )
    assert mis.scores.tolist() == [1.0] and mis.explanation == explanation
    assert repr(mis) == f"VideoMIS('colours', 1 units, {explanation}: 1.00)"
    assert "100% of 200 tasks; chance is 50%" in mis.sentence(0)


def test_the_wrong_way_round_is_always_wrong(network):
    synthetic, against = plain([[0, 1, 1]]), plain([[1, 0, 0]])
    options = {"channels": [0], "similarity": nearness_in_red}
    mis = responses.video_mis(
        network, "colours", CLIPS, synthetic=synthetic, against=against, **options
    )
    assert mis.scores.tolist() == [0.0]


def test_a_margin_by_hand(network):
    """Red 0.9 and 0.2, synthetic clips of red 1 and 0: (-0.1 + 0.9) - (-0.8 + 0.2) = 1.4."""
    clips = plain([[0.9, 0, 0], [0.9, 0, 0], [0.2, 0, 0], [0.2, 0, 0]])
    synthetic, against = plain([[1, 0, 0]])[None], plain([[0, 0, 0]])[None]
    options = {"channels": [0], "similarity": nearness_in_red, "share": 0.5, "tasks": 3}
    mis = responses.video_mis(
        network, "colours", clips, synthetic=synthetic, against=against, **options
    )
    np.testing.assert_allclose(mis.margins, [[1.4] * 3], rtol=1e-5)
    sigmoid = dataclasses.replace(mis, alpha=2.0)
    assert sigmoid.scores == pytest.approx([1 / (1 + np.exp(-2.8))], rel=1e-5)
    assert "0.94" in sigmoid.sentence(0)
    for_alone = responses.video_mis(network, "colours", clips, synthetic=synthetic, **options)
    np.testing.assert_allclose(for_alone.margins, [[0.7] * 3], rtol=1e-5)


def test_clips_made_for_other_units_stand_for_those_against_one(network):
    """Of a unit of red and one of green: what the clips of both have in common says nothing."""
    synthetic, both = plain([[1, 0, 0.5], [0, 1, 0.5]]), {"channels": [0, 1], "similarity": BY_MEAN}
    others = responses.video_mis(network, "colours", CLIPS, synthetic=synthetic, **both)
    against = responses.video_mis(
        network, "colours", CLIPS, synthetic=synthetic, against=synthetic[::-1], **both
    )
    np.testing.assert_allclose(others.margins, against.margins, atol=1e-6)


def test_where_all_are_alike_the_score_is_chance(network):
    options = {"channels": [0], "similarity": lambda one, other: 1.0}
    assert responses.video_mis(network, "colours", CLIPS, **options).scores == [0.5]


def test_shuffled_scores_give_chance():
    scores = np.random.default_rng(1).random((len(CLIPS), 600))
    mis = responses.video_mis(
        swept(scores), "layer", CLIPS, similarity=BY_MEAN, share=0.2, tasks=50
    )
    assert mis.scores.mean() == pytest.approx(0.5, abs=0.02)


def test_random_clips_explain_nothing(network):
    mis = responses.video_mis(network, "colours", CLIPS, explanation="random", tasks=2000)
    assert mis.scores == pytest.approx([0.5] * 3, abs=0.05)


def test_a_single_feature_is_told_and_either_of_two_pairs_is_not():
    """Red is told; red without green or green without red has no mean clip of its own."""
    red, green = by_mean(CLIPS)[:, :2].T - 0.5
    scores = np.stack([red, -red * green], axis=1)
    options = {"similarity": BY_MEAN, "share": 0.2, "tasks": 1000}
    single, either = responses.video_mis(swept(scores), "layer", CLIPS, **options).scores
    assert single > 0.95 and either < 0.75


def test_no_clip_is_explained_by_its_own_film():
    """The similarity knows films alone, so that it knows nothing where they are kept apart."""
    films = np.arange(20).repeat(2)
    scores = films[:, None] + np.arange(40)[:, None] / 100

    def film(clip):
        return films[np.flatnonzero((CLIPS == clip).all(axis=(1, 2, 3, 4)))[0]]

    options = {"share": 0.25, "similarity": lambda one, other: float(film(one) == film(other))}
    assert responses.video_mis(swept(scores, films), "layer", CLIPS, **options).scores == [0.5]
    together = responses.video_mis(swept(scores), "layer", CLIPS, **options)
    assert together.scores > 0.5


def test_a_unit_that_answers_to_all_alike_has_no_score():
    mis = responses.video_mis(swept(np.ones((40, 1))), "layer", CLIPS, similarity=BY_MEAN)
    assert np.isnan(mis.scores).all() and "equally" in mis.sentence(0)


def test_tasks_are_those_of_the_seed_whatever_explains(network):
    def margins(**changed):
        return responses.video_mis(network, "colours", CLIPS, similarity=BY_MEAN, **changed).margins

    np.testing.assert_array_equal(margins(), margins())
    assert (margins() != margins(seed=1)).any()
    synthetic = plain(np.eye(3))
    alone = margins(synthetic=synthetic, explanation="synthetic")
    np.testing.assert_allclose(
        margins(synthetic=synthetic, explanation="both"), margins() + alone, atol=1e-5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"explanation": "tops"},
        {"explanation": "synthetic"},
        {"share": 0.0},
        {"share": 0.6},
        {"share": 0.02},
        {"references": 0},
        {"references": 4},
        {"tasks": 0},
        {"alpha": 0.0},
        {"channels": [3]},
        {"films": [0]},
        {"films": [0] * 40},
        {"synthetic": plain([[1, 0, 0]])},
        {"similarity": responses.FeatureSpace(CLIPS[1:], by_mean)},
    ],
)
def test_what_does_not_fit_is_refused(network, wrong):
    with pytest.raises(ValueError, match="Expected .*Received"):
        responses.video_mis(network, "colours", CLIPS, **{"similarity": BY_MEAN, **wrong})


def test_features_that_are_not_one_row_a_clip_are_refused():
    with pytest.raises(ValueError, match=r"Expected finite features \(N, F\) of 40 clips"):
        responses.FeatureSpace(CLIPS, lambda clips: np.ones(3))


def test_scores_of_other_clips_are_refused():
    with pytest.raises(ValueError, match="Expected clips.* Received: 40 clips"):
        responses.video_mis(swept(np.ones((39, 1))), "layer", CLIPS, similarity=BY_MEAN)
    with pytest.raises(ValueError, match="Expected channels from 0 to 0"):
        responses.video_mis(
            swept(np.ones((40, 1))), "layer", CLIPS, channels=[1], similarity=BY_MEAN
        )


# The bank of features


@pytest.mark.parametrize(
    ("direction", "spatial", "temporal"),
    [(0, 0.08, 0.125), (90, 0.16, 0.25), (225, 0.16, 0.25), (180, 0.08, 0.4)],
)
def test_a_grating_is_at_its_own_direction_scale_and_speed(direction, spatial, temporal):
    grating = DriftingGabor(direction, spatial_frequency=spatial, temporal_frequency=temporal)
    clip = grating.clip(frames=16, size=(32, 40))
    power = similarity.power(clip)
    # The cosine about grey: (1 / 2)^2 / 2, all of light and nothing of colour.
    np.testing.assert_allclose(power.sum(axis=(1, 2, 3)), [0.125, 0, 0], atol=0.005)
    energies = {
        (d, s, t): (similarity.band((16, 32, 40), direction=d, spatial=s, temporal=t) * power).sum()
        for d in similarity.DIRECTIONS
        for s in similarity.SPATIAL
        for t in similarity.TEMPORAL[1:]
    }
    assert max(energies, key=energies.get) == (direction, spatial, temporal)


def test_clips_are_like_those_that_move_and_look_alike():
    def clips(direction, colour=(1.0, 1.0, 1.0), seed=0):
        draw = np.random.default_rng(seed)
        one = DriftingGabor(
            direction, spatial_frequency=0.15, temporal_frequency=0.2, colour=colour
        )
        return [
            dataclasses.replace(one, phase=phase).clip(frames=8, size=(24, 24))
            for phase in draw.uniform(0, 360, 2)
        ]

    left, right = clips(180.0), clips(0.0)
    red = clips(180.0, colour=(1.0, -1.0, 0.0))
    alike = responses.similarities(left[:1], [*left, *right, *red])[0]
    np.testing.assert_allclose(alike[0], 1, atol=1e-5)
    assert alike[1:].argmax() == 0 and alike[1] > 0.9


def test_features_do_not_depend_on_what_is_beside():
    draw = np.random.default_rng(3)
    some = [draw.random((5, 12, 16, 3), np.float32), draw.random((8, 9, 9, 3), np.float32)]
    together = responses.clip_features(some)
    np.testing.assert_array_equal(together[1:], responses.clip_features(some[1:]))
    assert together.dtype == np.float32 and np.isfinite(together).all()


def test_clips_of_one_colour_have_features():
    assert np.isfinite(responses.clip_features(plain([[0.5, 0.5, 0.5], [1, 0, 0]]))).all()
    assert responses.similarities(plain([[0, 0, 0]]), plain([[0, 0, 0]])).tolist() == [[0.0]]


@pytest.mark.parametrize("wrong", [[], [np.zeros((2, 4, 4, 1), np.float32)]])
def test_what_has_no_colours_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected clips .* Received"):
        responses.clip_features(wrong)
