"""MovingEvidence: seeded, honest (one frame says nothing), and true to its masks."""

import itertools

import numpy as np
import pytest

from c3dvis.motion import CLASSES, HELD_OUT_SEED, DriftingGabor, MovingEvidence


@pytest.fixture(scope="module")
def evidence():
    return MovingEvidence(seed=3).batch(0, 400)


def test_shapes_types_and_ranges(evidence):
    assert evidence.clips.shape == (400, 16, 64, 64, 3) and evidence.clips.dtype == np.float32
    assert evidence.clips.min() >= 0 and evidence.clips.max() <= 1
    assert evidence.masks.shape == evidence.clips.shape[:-1] and evidence.masks.dtype == bool
    assert set(evidence.labels) == set(range(len(CLASSES)))


def test_a_clip_depends_on_seed_and_index_alone():
    world = MovingEvidence(seed=4, size=(32, 32))
    whole, part = world.batch(0, 6), world.batch(4, 1)
    np.testing.assert_array_equal(whole.clips[4], part.clips[0])
    np.testing.assert_array_equal(whole.masks[4], part.masks[0])
    other = MovingEvidence(seed=5, size=(32, 32)).batch(4, 1)
    assert not np.array_equal(whole.clips[4], other.clips[0])


def test_the_mask_fills_the_window_and_nothing_else(evidence):
    lengths = np.diff(evidence.windows, axis=1)[:, 0]
    assert lengths.min() == 6 and lengths.max() == 10
    for mask, (first, end) in zip(evidence.masks, evidence.windows, strict=True):
        assert mask[first:end].any(axis=(1, 2)).all()
        assert not mask[:first].any() and not mask[end:].any()


def test_only_the_mask_holds_the_marked_colour(evidence):
    """Red above green everywhere in the mask: its hues are red and magenta."""
    red, green = evidence.clips[..., 0], evidence.clips[..., 1]
    assert (red > green)[evidence.masks].mean() > 0.99


def _centres(mask):
    """Centre of the mask in each frame as angles on the torus, complex `(T, 2)`."""
    grids = [np.exp(2j * np.pi * np.arange(n) / n) for n in mask.shape[1:]]
    return np.stack(
        [np.einsum("tyx,y->t", mask, grids[0]), np.einsum("tyx,x->t", mask, grids[1])], axis=-1
    )


@pytest.mark.parametrize(("label", "axis", "sign"), [(0, 1, -1), (1, 1, 1), (2, 0, -1), (3, 0, 1)])
def test_translations_go_where_the_class_says(evidence, label, axis, sign):
    for i in np.flatnonzero(evidence.labels == label)[:20]:
        first, end = evidence.windows[i]
        centres = _centres(evidence.masks[i, first:end])
        steps = np.angle(centres[1:] / centres[:-1]) * 64 / (2 * np.pi)
        assert (steps[:, axis] * sign > 1).all()
        assert np.abs(steps[:, 1 - axis]).max() < 0.5


@pytest.mark.parametrize(("label", "sign"), [(6, 1), (7, -1)])
def test_orbits_turn_as_the_class_says(evidence, label, sign):
    """Rows grow downwards: the path of a clockwise orbit turns from right to down."""
    for i in np.flatnonzero(evidence.labels == label)[:20]:
        first, end = evidence.windows[i]
        steps = np.diff(np.unwrap(np.angle(_centres(evidence.masks[i, first:end])), axis=0), axis=0)
        turns = steps[:-1, 1] * steps[1:, 0] - steps[:-1, 0] * steps[1:, 1]
        assert np.mean(turns * sign > 0) > 0.8


def test_still_before_and_after():
    batch = MovingEvidence(seed=6, distractors=0).batch(0, 20)
    change = np.abs(np.diff(batch.clips, axis=1)).max(axis=(2, 3, 4))
    for row, label, (first, end) in zip(change, batch.labels, batch.windows, strict=True):
        assert (row[:first] == 0).all() and (row[end - 1 :] == 0).all()
        # Those that turn back may rest for one frame while they turn.
        assert np.sum(row[first : end - 1] == 0) <= (label >= 8)


def test_distractors_move_as_much_and_at_other_times_too(evidence):
    outside = 0
    for clip, (first, end) in zip(evidence.clips, evidence.windows, strict=True):
        change = np.abs(np.diff(clip, axis=0)).sum(axis=(1, 2, 3))
        outside += change[:first].sum() + change[end - 1 :].sum() > 0
    assert outside / len(evidence) > 0.95


def test_the_largest_frame_difference_seldom_hits_the_evidence(evidence):
    """Over 1,000 clips, as by chance 400 may miss by 5 points; a hit in either frame counts."""
    hits = 0
    more = MovingEvidence(seed=3).batches(len(evidence), 1000 - len(evidence), 100)
    for batch in itertools.chain([evidence], more):
        for clip, mask in zip(batch.clips, batch.masks, strict=True):
            change = np.square(np.diff(clip, axis=0)).sum(axis=-1)
            t, y, x = np.unravel_index(change.argmax(), change.shape)
            hits += mask[t, y, x] or mask[t + 1, y, x]
    assert hits / 1000 <= 0.35


@pytest.mark.slow
def test_a_single_frame_says_nothing_of_the_class():
    """A 2-D network that sees one random frame stays at chance + 5 points on held-out frames."""
    import keras

    keras.utils.set_random_seed(0)
    frames, labels = [], []
    for seed, count in ((0, 2000), (HELD_OUT_SEED, 800)):
        batch = MovingEvidence(seed=seed).batch(0, count)
        chosen = np.random.default_rng(seed).integers(0, 16, count)
        frames.append(batch.clips[np.arange(count), chosen])
        labels.append(batch.labels)
    layers = keras.layers
    network = keras.Sequential([layers.Input((64, 64, 3))])
    for width in (16, 32, 64):
        network.add(layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
    network.add(layers.Flatten())
    network.add(layers.Dense(10, activation="softmax"))
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.fit(frames[0], labels[0], epochs=5, batch_size=32, verbose=0)
    seen = network.evaluate(frames[0], labels[0], verbose=0)[1]
    accuracy = network.evaluate(frames[1], labels[1], verbose=0)[1]
    assert seen > 0.3, "The network did not even learn its own frames: this tests nothing."
    assert accuracy <= 1 / len(CLASSES) + 0.05


@pytest.mark.parametrize(("frames", "size"), [(8, (32, 48)), (32, (40, 40)), (16, (112, 112))])
def test_any_size_and_length(frames, size):
    batch = MovingEvidence(frames=frames, size=size).batch(0, 4)
    assert batch.clips.shape == (4, frames, *size, 3)
    lengths = np.diff(batch.windows, axis=1)
    assert (lengths >= round(frames * 6 / 16)).all() and (lengths <= round(frames * 10 / 16)).all()


def test_as_a_keras_dataset():
    world = MovingEvidence(seed=1, size=(16, 16))
    batches = world.pydataset(5, 7, batch_size=3)
    assert len(batches) == 3
    clips, labels = batches[2]
    np.testing.assert_array_equal(clips, world.batch(11, 1).clips)
    np.testing.assert_array_equal(labels, [1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": "1"},
        {"frames": 5},
        {"frames": 16.5},
        {"frames": float("nan")},
        {"size": (8, 64)},
        {"size": 64},
        {"size": "64"},
        {"size": ("64", "64")},
        {"size": (64, None)},
        {"distractors": -1},
        {"distractors": True},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected .* Received"):
        MovingEvidence(**wrong)


@pytest.mark.parametrize("wrong", [("0", 1), (0, "1"), (0, 0), (-1, 1), (0.5, 1)])
def test_numbers_of_clips_that_are_none_are_refused(wrong):
    world = MovingEvidence(seed=1)
    for method in (world.batch, world.pydataset, lambda *given: next(world.batches(*given))):
        with pytest.raises(ValueError, match="a whole number from [01]. Received"):
            method(*wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "up"},
        {"spatial_frequency": "0.1"},
        {"temporal_frequency": None},
        {"phase": float("nan")},
        {"colour": "red"},
        {"colour": (1, "0", 0)},
        {"width": "3"},
        {"duration": float("inf")},
    ],
)
def test_waves_of_no_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected .* Received"):
        DriftingGabor(**wrong)
    with pytest.raises(ValueError, match="Expected .* Received: '16'"):
        DriftingGabor().wave(frames="16", size=(8, 8))
