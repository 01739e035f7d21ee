"""Energies fall with the weight of the temporal penalty, and scores by no more than it allows."""

import keras
import numpy as np
import pytest
from keras import ops
from same_bits import assert_same

from c3dvis import objectives
from c3dvis.maximize import MaximizedClip, Maximizer, maximize, slow_to_fast, speed_path

SHAPE = (6, 8, 8, 1)
WEIGHTS = (10.0, 1.0, 0.3, 0.1, 0.0)


def changes_and_brightness(scale=1.0) -> keras.Model:
    """Unit 0 likes change from frame to frame; unit 1 brightness; unit 2 both; unit 3 is dead."""
    clip = keras.Input(SHAPE)
    conv = keras.layers.Conv3D(4, (2, 1, 1), activation="relu", name="conv")
    network = keras.Model(clip, conv(clip))
    kernel = np.array([[-1, 0.5, -1, 0], [1, 0.5, 1.5, 0]], np.float32)
    conv.set_weights([scale * kernel.reshape(2, 1, 1, 1, 4), np.array([0, 0, 0, -1], np.float32)])
    return network


OPTIONS = {"parametrization": "pixels", "transforms": [], "steps": 60}


@pytest.fixture(scope="module")
def path():
    objective = objectives.channel("conv", range(4))
    return slow_to_fast(changes_and_brightness(), objective, weights=WEIGHTS, **OPTIONS)


def test_shapes(path):
    assert path.clips.shape == (5, 4, *SHAPE) and path.clips.dtype == np.float32
    assert path.scores.shape == path.energies.shape == path.statuses.shape == (5, 4)
    assert path.clips.min() >= 0 and path.clips.max() <= 1 and path.weights == WEIGHTS


def test_a_unit_of_change_slows_and_pays_no_more_than_its_weight(path):
    energies, scores = path.energies[:, 0], path.scores[:, 0]
    assert (np.diff(energies) > 0).all() and energies[0] < 0.02 * energies[-1]
    assert scores[3] > 0.9 * scores[-1] and scores[2] > 0.7 * scores[-1]


def test_a_unit_of_brightness_stays_bright(path):
    assert path.scores[1, 1] > 0.75 * path.scores[-1, 1]
    assert path.scores[2:, 1].min() > 0.9 * path.scores[-1, 1] and path.clips[2:, 1].mean() > 0.9


def test_a_unit_of_both_turns_to_what_costs_nothing(path):
    """Free, it begins with a black frame, for the step up; near-still, it is white."""
    assert path.clips[-1, 2, 0].mean() < 0.2 and path.clips[0, 2, 0].mean() > 0.5
    assert path.energies[0, 2] < 0.05 * path.energies[-1, 2]
    assert path.scores[1, 2] > 0.4 * path.scores[-1, 2]


def test_a_dead_unit_is_told_and_pays_nothing(path):
    assert (path.statuses[:, 3] == "no gradient").all() and (path.statuses[:, :3] == "ok").all()
    np.testing.assert_array_equal(path.clips[0, 3], path.clips[-1, 3])


def test_the_weights_mean_the_same_at_any_scale(path):
    objective = objectives.channel("conv", [0, 2])
    loud = slow_to_fast(changes_and_brightness(1000), objective, weights=WEIGHTS, **OPTIONS)
    np.testing.assert_allclose(loud.energies, path.energies[:, [0, 2]], rtol=0.05, atol=1e-4)
    np.testing.assert_allclose(loud.scores, 1000 * path.scores[:, [0, 2]], rtol=0.05)


def test_weight_0_is_what_maximize_makes(path):
    objective = objectives.channel("conv", range(4))
    free = maximize(changes_and_brightness(), objective, **OPTIONS)
    np.testing.assert_array_equal(path.clips[-1], free)


def test_the_same_bits_whatever_units_are_made_beside_and_in_any_order():
    network, objective = changes_and_brightness(), objectives.channel("conv", [0, 1, 2])
    options = {**OPTIONS, "steps": 5, "seed": 3, "transforms": None}
    together = slow_to_fast(network, objective, weights=(1, 0, 0.1), batch_size=2, **options)
    alone = slow_to_fast(network, objective[2], weights=(0.1, 1), batch_size=1, **options)
    assert_same(together.clips[0, 2], alone.clips[1, 0])
    assert_same(together.clips[2, 2], alone.clips[0, 0])
    assert_same(together.scores[2, 2], alone.scores[0, 0])


def two_basins() -> keras.Model:
    """A unit with a small reward for change, and a greater one for a clip that is white."""
    clip = keras.Input(SHAPE)
    conv = keras.layers.Conv3D(2, (2, 1, 1), activation="relu", name="conv")
    both = keras.layers.Conv3D(1, 1, name="both")
    network = keras.Model(clip, both(conv(clip)))
    kernel = np.array([[-2, 2], [2, 2]], np.float32).reshape(2, 1, 1, 1, 2)
    conv.set_weights([kernel, np.array([0, -2.5], np.float32)])
    both.set_weights([np.array([[1], [2]], np.float32).reshape(1, 1, 1, 2, 1), np.zeros(1)])
    return network


def test_a_clip_that_another_dominates_is_optimized_again_from_there():
    """Near white the second reward is within reach; the free clip does not get there by itself."""
    network, objective = two_basins(), objectives.channel("both", 0)
    penalty = speed_path._TemporalPenalty()
    maximizer = Maximizer(
        network, objective, regularizers=[penalty], parametrization="pixels", transforms=[]
    )
    batch = speed_path._Batch(maximizer, penalty, objective, steps=40, seed=0)
    batch.make(1.0)
    (free,) = batch.clips[0.0]
    # As if the heavier weight's clip had found the other place.
    white = [np.full_like(latent, 6) for latent in batch.latents[1.0]]
    clips, latents = batch._run(1.0, start=white)
    batch.clips[1.0], batch.latents[1.0] = clips, latents
    assert clips[0].score > free.score
    # Energies in the right order: nothing is done, though the free clip is outdone.
    batch.improve(0.0, 1.0)
    assert batch.clips[0.0][0] is free
    # In the wrong order the free clip is made again, and is the better for it.
    still = np.zeros_like(free.clip) + free.clip[:1]
    batch.clips[0.0][0] = MaximizedClip(still, free.score, "ok")
    batch.improve(0.0, 1.0)
    (again,) = batch.clips[0.0]
    # White in both, as far as weight decay lets it be.
    assert again.score > 0.99 * clips[0].score > free.score and again.clip.mean() > 0.9
    # The heavier weight's clip is made again where it is clearly outdone, in the right order too.
    batch.clips[1.0][0] = MaximizedClip(still, 0.0, "ok")
    batch.improve(1.0, 0.0)
    (heavy,) = batch.clips[1.0]
    assert heavy.score > 0.9 * again.score


def test_one_trace_for_all_weights(monkeypatch):
    used = []

    class Recorded(Maximizer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            used.append(self)

    monkeypatch.setattr(speed_path, "Maximizer", Recorded)
    slow_to_fast(changes_and_brightness(), objectives.channel("conv", range(4)), steps=2)
    (maximizer,) = used
    assert maximizer.traces == 1


def test_half_as_many_at_once_where_memory_does_not_hold_them(monkeypatch):
    class TooLarge(Maximizer):
        def restart(self, *arguments, **options):
            if self.batch_size > 1:
                raise MemoryError("as in a test")
            return super().restart(*arguments, **options)

    monkeypatch.setattr(speed_path, "Maximizer", TooLarge)
    objective = objectives.channel("conv", [0, 1])
    options = {**OPTIONS, "steps": 3}
    halved = slow_to_fast(changes_and_brightness(), objective, weights=(1, 0), **options)
    monkeypatch.undo()
    whole = slow_to_fast(changes_and_brightness(), objective, weights=(1, 0), **options)
    np.testing.assert_array_equal(halved.clips, whole.clips)


def test_other_penalties_are_kept():
    """One that outweighs all holds every clip at its start's brightness or below."""
    objective = objectives.channel("conv", 1)

    def bright(clips):
        return 100 * ops.mean(clips, axis=(1, 2, 3, 4))

    path = slow_to_fast(
        changes_and_brightness(), objective, weights=(1, 0), regularizers=[bright], **OPTIONS
    )
    assert path.clips.mean() < 0.2


def test_temporal_energy_of_frames_in_turn():
    clips = np.zeros((2, 4, 2, 2, 3), np.float32)
    clips[0, 1::2] = 1
    np.testing.assert_array_equal(speed_path.temporal_energy(clips), [1, 0])


@pytest.mark.parametrize(
    ("options", "message"), [({"steps": 0}, "1 step or more"), ({"seed": -1}, "seed of 0 or more")]
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        slow_to_fast(changes_and_brightness(), objectives.channel("conv", 0), **options)


@pytest.mark.parametrize("weights", [(), (-1, 0), (float("nan"),), (float("inf"),), 1.0, "all"])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights of 0 or more. Received: "):
        slow_to_fast(changes_and_brightness(), objectives.channel("conv", 0), weights=weights)


def test_clips_of_one_frame_are_refused():
    clip = keras.Input((1, 8, 8, 3))
    network = keras.Model(clip, keras.layers.Conv3D(2, (1, 3, 3), name="conv")(clip))
    with pytest.raises(ValueError, match="2 frames or more. Received: 1"):
        slow_to_fast(network, objectives.channel("conv", 0))


@pytest.mark.slow
def test_the_filters_of_a_trained_layer():
    """The energy falls from weight to weight; the first three keep 70 % of the free score."""
    from c3dvis import models

    network = models.build("c3d-motion")
    path = slow_to_fast(network, objectives.channel("conv3b", [0]), steps=64)
    assert len(path.weights) >= 5 and path.weights[-1] == 0
    assert (np.diff(path.energies, axis=0) > 0).all()
    free = path.scores[-1]
    assert (path.scores[-3:] >= 0.7 * free).all()
