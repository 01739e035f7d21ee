"""Masks of frames: freezing, reversing, searching by gradient and by trying every window."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import attribution, autodiff, objectives
from c3dvis.attribution import temporal
from c3dvis.attribution.methods import freeze, window
from c3dvis.attribution.scorer import Scorer
from c3dvis.attribution.temporal import search, windows

FRAMES = 8
SHAPE = (FRAMES, 12, 10, 3)


def network() -> keras.Model:
    """Its first class answers to motion: to how much neighbouring frames differ."""
    keras.utils.set_random_seed(3)
    clip = keras.Input(SHAPE)
    x = keras.layers.Conv3D(4, 3, padding="same", activation="relu", name="conv")(clip)
    x = keras.layers.Flatten()(x)
    return keras.Model(clip, keras.layers.Dense(3, activation="softmax", name="classes")(x))


def motion_network(first: int, end: int) -> keras.Model:
    """Its class 1 is sure only where frames from `first` to `end - 1` differ from each other."""
    clip = keras.Input(SHAPE)
    steps = keras.layers.Lambda(
        lambda x: ops.mean(ops.abs(x[:, first + 1 : end] - x[:, first : end - 1]), (2, 3, 4))
    )(clip)
    total = keras.layers.Dense(1, kernel_initializer="ones", name="total")(steps)
    scores = keras.layers.Dense(2, name="classes")
    model = keras.Model(clip, scores(total))
    scores.set_weights([np.array([[0.0, 12.0]]), np.array([3.0, 0.0])])
    return model


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(0).random(SHAPE, np.float32)


@pytest.fixture(scope="module")
def scorer():
    return Scorer(network(), objectives.logit(1))


def frozen(clip, mask):
    perturbed = clip.copy()
    for t in range(1, len(clip)):
        perturbed[t] = (1 - mask[t]) * clip[t] + mask[t] * perturbed[t - 1]
    return perturbed


def reversed_runs(clip, mask):
    perturbed = clip.copy()
    for on, run in itertools.groupby(range(len(mask)), lambda t: mask[t] > 0.1):
        times = list(run)
        for t, mirror in zip(times, times[::-1], strict=True):
            if on:
                perturbed[t] = (1 - mask[t]) * clip[t] + mask[t] * clip[mirror]
    return perturbed


LOOPS = {"freeze": frozen, "reverse": reversed_runs}


def masks_of_all_kinds():
    rng = np.random.default_rng(1)
    yield from rng.random((5, FRAMES))
    yield from rng.integers(0, 2, (5, FRAMES))
    yield np.zeros(FRAMES)
    yield np.ones(FRAMES)
    yield [0.9, 0.05, 0.8, 0.3, 0.2, 0.1, 0.11, 0.7]


@pytest.mark.parametrize("frames", [1, 2, 5, FRAMES])
@pytest.mark.parametrize("by", LOOPS)
def test_a_perturbed_clip_is_what_a_plain_loop_makes(clip, by, frames):
    masks = np.array(list(masks_of_all_kinds()), np.float32)[:, :frames]
    perturbed = temporal.perturb(clip[:frames], masks, by)
    expected = [LOOPS[by](clip[:frames], mask) for mask in masks]
    np.testing.assert_allclose(perturbed, expected, atol=1e-6)


@pytest.mark.parametrize("by", LOOPS)
def test_a_mask_of_zeros_and_ones_moves_frames_without_changing_a_bit(clip, by):
    masks = np.random.default_rng(2).integers(0, 2, (9, FRAMES))
    perturbed = temporal.perturb(clip, masks, by)
    assert {frame.tobytes() for one in perturbed for frame in one} <= {f.tobytes() for f in clip}


def test_reverse_mirrors_each_run_and_leaves_its_middle():
    clip = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1)
    perturbed = temporal.perturb(clip, [[1, 1, 0, 1, 1, 1, 0, 1]], "reverse")
    assert perturbed.ravel().tolist() == [1, 0, 2, 5, 4, 3, 6, 7]


def gradient_of_each_frame(clip, by, masks):
    """How the perturbed clips' sum, weighted at random, changes with each frame's mask."""
    weights = np.random.default_rng(4).random((1, *SHAPE), np.float32)

    def total(masks):
        mixed = temporal.mix_frames(ops.convert_to_tensor(clip), temporal.matrices(by)(masks))
        return ops.sum(mixed * weights, axis=(1, 2, 3, 4))

    return ops.convert_to_numpy(autodiff.value_and_gradient(total)(masks)[1])[0]


def test_every_frame_of_a_reversed_run_has_a_gradient_but_its_middle(clip):
    masks = np.array([[0, 0.4, 0.5, 0.6, 0.7, 0.8, 0, 0]], np.float32)
    gradient = gradient_of_each_frame(clip, "reverse", masks)
    assert (gradient[[1, 2, 4, 5]] != 0).all() and gradient[3] == 0 and (gradient[6:] == 0).all()


def test_the_first_frame_cannot_be_frozen_and_the_others_can(clip):
    gradient = gradient_of_each_frame(clip, "freeze", np.zeros((1, FRAMES), np.float32))
    assert gradient[0] == 0 and (gradient[1:] != 0).all()


def test_the_variation_is_that_of_the_paper_and_has_a_gradient_at_zero():
    mask = np.random.default_rng(5).random(FRAMES).astype(np.float32)
    expected = sum(
        abs(mask[t - 1] - mask[t]) ** 3 + abs(mask[t + 1] - mask[t]) ** 3
        for t in range(1, FRAMES - 1)
    )
    assert float(temporal.variation(mask[None])[0]) == pytest.approx(expected, rel=1e-5)
    _, gradient = autodiff.value_and_gradient(temporal.variation)(np.zeros((1, FRAMES), np.float32))
    assert ops.convert_to_numpy(gradient).tolist() == [[0.0] * FRAMES]


def brute_force(scorer, clip, by):
    """The loss of every window, one clip at a time, by plain loops."""
    losses = {}
    for first in range(FRAMES):
        for end in range(first + 1, FRAMES + 1):
            mask = np.zeros(FRAMES)
            mask[first:end] = 1
            if by == "keep":
                kept = clip.copy()
                kept[:first], kept[end:] = clip[first], clip[end - 1]
                scores, whole, still = (
                    np.log(scorer.network(one[None], training=False)[0])
                    for one in (kept, clip, np.repeat(clip[:1], FRAMES, axis=0))
                )
                scores, whole, still = (s - s.mean() for s in (scores, whole, still))
                change = np.linalg.norm(scores - whole) / np.linalg.norm(still - whole)
                losses[first, end] = change + 0.01 * mask.sum()
            else:
                perturbed = LOOPS[by](clip, mask)
                share = float(scorer.network(perturbed[None], training=False)[0][1])
                edges = np.abs(np.diff(mask)) ** 3
                cost = 0.01 * mask.sum() + 0.02 * (edges[:-1].sum() + edges[1:].sum())
                losses[first, end] = share + cost
    return losses


@pytest.mark.parametrize("by", ["keep", "freeze", "reverse"])
def test_the_window_is_the_best_of_all_of_them(scorer, clip, by):
    losses = brute_force(scorer, clip, by)
    answer = window.attribute(scorer, clip, by=by)
    assert len(losses) == FRAMES * (FRAMES + 1) // 2
    assert answer.settings["window"] == min(losses, key=losses.get)
    assert answer.settings["loss"] == pytest.approx(min(losses.values()), abs=1e-4)
    assert answer.settings["passes"] <= len(losses)


@pytest.mark.parametrize("by", ["keep", "freeze", "reverse"])
def test_with_a_stride_it_is_the_best_of_those_left(scorer, clip, by):
    losses = brute_force(scorer, clip, by)
    left = {w: loss for w, loss in losses.items() if not w[0] % 3 and w[1] in (3, 6, FRAMES)}
    answer = window.attribute(scorer, clip, by=by, stride=3)
    assert answer.settings["window"] == min(left, key=left.get)
    assert answer.settings["loss"] == pytest.approx(min(left.values()), abs=1e-4)


def test_sixteen_frames_take_136_passes_at_most():
    every = windows.all_windows(16)
    assert len(every) == len({tuple(w) for w in every.tolist()}) == 136
    assert (every[:, 0] < every[:, 1]).all() and every.min() == 0 and every.max() == 16


@pytest.mark.parametrize("first, end", [(0, 4), (2, 7), (5, 8)])
def test_the_window_of_a_white_box_is_where_it_looks(first, end):
    scorer = Scorer(motion_network(first, end), objectives.logit(1))
    clip = np.zeros(SHAPE, np.float32)
    clip[::2] = 0.7  # every frame differs from its neighbours
    answer = window.attribute(scorer, clip)
    assert answer.settings["window"] == (first, end)
    assert answer.frame_mask.tolist() == [float(first <= t < end) for t in range(FRAMES)]
    np.testing.assert_array_equal(answer.perturbed[first:end], clip[first:end])
    assert (answer.perturbed[:first] == clip[first]).all()


def test_a_stride_leaves_windows_out_but_not_the_clips_end():
    assert windows.all_windows(7, 3).tolist() == [[0, 3], [0, 6], [0, 7], [3, 6], [3, 7], [6, 7]]


@pytest.mark.parametrize("settings", search.SETTINGS)
@pytest.mark.parametrize("method", ["freeze", "reverse"])
def test_the_loss_goes_down_and_is_that_of_the_mask(scorer, clip, method, settings):
    answer = attribution.attribute(
        scorer.network, clip, scorer.objective, method=method, settings=settings, steps=20
    )
    assert answer.method == method
    assert answer.settings["loss"] <= answer.settings["first_loss"]
    assert answer.frame_mask.shape == (FRAMES,) and answer.heatmap.shape == SHAPE[:3]
    assert 0 <= answer.frame_mask.min() and answer.frame_mask.max() <= 1
    perturbed = LOOPS[method](clip, answer.frame_mask)
    np.testing.assert_allclose(answer.perturbed, perturbed, atol=1e-5)
    share = float(scorer.network(perturbed[None], training=False)[0][1])
    again = share + float(temporal.penalty(answer.frame_mask[None])[0])
    assert answer.settings["loss"] == pytest.approx(again, abs=1e-4)
    assert (answer.heatmap == answer.frame_mask[:, None, None]).all()


@pytest.fixture(scope="module")
def white_box():
    return Scorer(motion_network(2, 7), objectives.logit(1))


@pytest.fixture(scope="module")
def flicker():
    clip = np.full(SHAPE, 0.1, np.float32)
    clip[::2] = 0.8
    return clip


def test_the_search_moves_a_mask_from_a_bad_start_to_a_good_one(white_box, flicker):
    """With the paper's small learning rate it cannot, which is why it is not the default."""
    results = {
        name: search.find_mask(
            white_box, flicker, "freeze", replace(settings, start="centred", min_delta=0.0)
        )
        for name, settings in search.SETTINGS.items()
    }
    start = search.centred_window(white_box, flicker, "freeze")
    slow = results["published TensorFlow"]
    assert (temporal.binarize(slow.mask) == start).all()
    assert slow.first_loss - slow.loss < 0.02
    for name in ("default", "published PyTorch"):
        assert results[name].loss < slow.loss - 0.02


def test_a_search_that_overshoots_answers_with_the_best_mask_and_not_the_last(white_box, flicker):
    wild = replace(search.SETTINGS["published PyTorch"], learning_rate=4.0, steps=25)
    result = search.find_mask(white_box, flicker, "freeze", replace(wild, min_delta=0.0))
    costs = ops.convert_to_numpy(temporal.penalty(result.history))
    losses = temporal.probabilities(white_box, flicker, result.history, "freeze") + costs
    assert losses[-1] > losses.min() + 1e-3  # or this tests nothing
    np.testing.assert_array_equal(result.mask, result.history[losses.argmin()])
    assert result.loss == pytest.approx(losses.min(), abs=1e-5)


def test_the_default_answers_with_zeros_and_ones_and_the_best_of_them(white_box, flicker):
    result = search.find_mask(white_box, flicker, "reverse", search.SETTINGS["default"])
    seen = np.unique(temporal.binarize(result.history), axis=0).astype(np.float32)
    costs = ops.convert_to_numpy(temporal.penalty(seen))
    losses = temporal.probabilities(white_box, flicker, seen, "reverse") + costs
    assert set(result.mask.tolist()) <= {0.0, 1.0}
    assert result.loss == pytest.approx(losses.min(), abs=1e-6)
    exact = windows.best_window(white_box, flicker, "reverse")
    assert result.first_loss == pytest.approx(exact.loss, abs=1e-6)


def test_no_mask_of_one_run_beats_the_exact_window(white_box, flicker):
    exact = window.attribute(white_box, flicker, by="freeze").settings["loss"]
    for name in search.SETTINGS:
        answer = freeze.attribute(white_box, flicker, settings=name)
        mask = temporal.binarize(answer.frame_mask).astype(np.float32)
        assert np.abs(np.diff(mask, prepend=0)).sum() <= 2  # one run
        still = temporal.perturb(flicker, mask[None], "freeze")
        cost = float(temporal.penalty(mask[None])[0])
        assert float(white_box.probabilities(still)[0]) + cost >= exact - 1e-6


def test_the_search_stops_where_the_loss_stands_still(white_box, flicker):
    settings = search.SETTINGS["published PyTorch"]
    loose = search.find_mask(white_box, flicker, "freeze", replace(settings, min_delta=0.01))
    strict = search.find_mask(white_box, flicker, "freeze", replace(settings, min_delta=0.0))
    assert loose.steps < 100 and strict.steps == settings.steps


def test_the_centred_window_is_the_smallest_that_does_most_of_the_whole(white_box, flicker):
    mask = search.centred_window(white_box, flicker, "freeze")
    original, full = white_box.probabilities(np.stack([flicker, frozen(flicker, np.ones(FRAMES))]))
    drops = []
    for margin in range(4):
        one = np.zeros(FRAMES)
        one[margin : FRAMES - margin] = 1
        drops.append(original - white_box.probabilities(frozen(flicker, one)[None])[0])
    enough = [i for i in range(4) if drops[i] >= 0.9 * (original - full)]
    assert 0 < len(enough) < 4
    assert mask.sum() == FRAMES - 2 * max(enough)


def test_one_search_serves_other_clips_and_classes_with_the_same_bits(clip):
    model = network()
    other = np.ascontiguousarray(clip[::-1])
    first = attribution.attribute(model, clip, objectives.logit(1), method="freeze", steps=5)
    attribution.attribute(model, other, objectives.logit(2), method="freeze", steps=5)
    again = attribution.attribute(model, clip, objectives.logit(1), method="freeze", steps=5)
    np.testing.assert_array_equal(first.frame_mask, again.frame_mask)
    fresh = attribution.attribute(network(), clip, objectives.logit(1), method="freeze", steps=5)
    np.testing.assert_array_equal(first.frame_mask, fresh.frame_mask)


def test_the_networks_own_flags_and_weights_stay(clip):
    model = network()
    before = [w.copy() for w in model.get_weights()]
    attribution.attribute(model, clip, objectives.logit(0), method="reverse", steps=3)
    assert len(model.trainable_weights) == len(before)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    "method, options, message",
    [
        ("window", {"by": "kept"}, "Expected by= one of 'keep', 'freeze', 'reverse'"),
        ("window", {"stride": 0}, "Expected a stride of 1 or more. Received: 0"),
        ("freeze", {"settings": "published Tensorflow"}, "'published TensorFlow'"),
        ("reverse", {"steps": 0}, "Expected 1 step or more. Received: 0"),
    ],
)
def test_wrong_options_are_told(scorer, clip, method, options, message):
    with pytest.raises(ValueError, match=message):
        attribution.attribute(scorer.network, clip, method=method, **options)


def test_a_score_is_judged_between_the_clip_and_the_frozen_one(flicker):
    """The score is how much frames 2 to 4 differ from each other; nothing ends in classes."""
    network = motion_network(2, 5)
    total = objectives.channel("total", 0)
    kept = attribution.attribute(network, flicker, total, method="window")
    assert kept.settings["window"] == (2, 5)
    stopped = attribution.attribute(network, flicker, total, method="window", by="freeze")
    sure = 1 / (1 + np.exp(4))
    penalty = float(temporal.penalty(stopped.frame_mask[None])[0])
    assert stopped.settings["loss"] == pytest.approx(sure + penalty, rel=1e-4)
    against = attribution.attribute(network, flicker, -1 * total, method="window", by="freeze")
    assert against.settings["window"] == stopped.settings["window"]
    searched = attribution.attribute(network, flicker, total, method="freeze", steps=10)
    assert searched.settings["loss"] <= stopped.settings["loss"] + 1e-6


def test_a_score_that_the_frozen_clip_has_too_is_told(flicker):
    still = np.repeat(flicker[:1], FRAMES, axis=0)
    with pytest.raises(ValueError, match="Expected a clip whose score changes"):
        total = objectives.channel("total", 0)
        attribution.attribute(motion_network(2, 7), still, total, method="freeze")


def test_a_score_has_no_probability_by_itself(flicker):
    scorer = Scorer(motion_network(2, 7), objectives.channel("total", 0))
    with pytest.raises(ValueError, match="with a probability.*or a call of `calibrate` first"):
        scorer.probabilities(flicker[None])


@pytest.mark.parametrize(
    "masks, by, message",
    [
        (np.zeros((1, FRAMES)), "stop", "Expected a perturbation of time, 'freeze' or 'reverse'"),
        (np.zeros(FRAMES), "freeze", "Expected masks of shape"),
        (np.full((1, FRAMES), 1.5), "freeze", "Expected masks in"),
        (np.full((1, FRAMES), np.nan), "freeze", "Expected masks in"),
    ],
)
def test_wrong_masks_are_told(clip, masks, by, message):
    with pytest.raises(ValueError, match=message):
        temporal.perturb(clip, masks, by)
