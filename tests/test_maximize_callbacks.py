"""Keras callbacks on the fit of a Maximizer: ours, and those that Keras brings."""

import keras
import numpy as np
import pytest
from brightness_network import brightness_network
from keras import ops

from c3dvis import clips as clip_files
from c3dvis import objectives
from c3dvis.maximize import Maximizer, maximize
from c3dvis.maximize.callbacks import Snapshots, StopWhenStalled
from c3dvis.maximize.regularizers import Norm
from c3dvis.maximize.tracking import Tracking

SHAPE = (4, 6, 6, 3)


def maximizer_for(network, units=(0, 1), **options):
    plain = {"parametrization": "pixels", "transforms": [], "steps_per_execution": 1}
    options = {**plain, **options}
    return Maximizer(network, objectives.channel("out", units), **options)


class Logs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.all = []

    def on_train_batch_end(self, batch, logs=None):
        self.all.append((batch, dict(logs)))


def test_callbacks_see_the_mean_score_and_the_loss():
    penalty = Norm(weight=0.5, power=2)
    maximizer = maximizer_for(brightness_network(), regularizers=[penalty])
    start = maximizer.results(maximizer.restart(maximizer.objective))
    logs = Logs()
    list(maximizer.make(steps=3, callbacks=[logs]))
    assert [batch for batch, _ in logs.all] == [0, 1, 2]
    _, first = logs.all[0]
    scores = np.array([one.score for one in start])
    penalties = ops.convert_to_numpy(penalty(np.stack([one.clip for one in start])))
    assert first["score"] == pytest.approx(scores.mean(), rel=1e-4, abs=1e-5)
    assert first["loss"] == pytest.approx((penalties - scores).sum(), rel=1e-4)
    assert logs.all[2][1]["score"] > first["score"]


def test_the_progress_bar_shows_the_score(capsys):
    maximizer = maximizer_for(brightness_network())
    (*_, last) = list(maximizer.make(steps=4, verbose=1))
    shown = capsys.readouterr().out
    assert "4/4" in shown and " - score: " in shown and " - loss: " in shown
    assert last.status == "ok"


def test_terminate_on_nan_lets_the_neighbours_go_on():
    maximizer = maximizer_for(brightness_network(breaks_above=0.6))
    logs = Logs()
    broken, sound = maximizer.make(steps=40, callbacks=[logs, keras.callbacks.TerminateOnNaN()])
    assert broken.status == "failed" and sound.status == "ok" and len(logs.all) == 40
    assert all(np.isfinite(told["score"]) for _, told in logs.all)
    plain = maximizer_for(brightness_network(breaks_above=0.6))
    np.testing.assert_array_equal(sound.clip, list(plain.make(steps=40))[1].clip)


def test_terminate_on_nan_ends_a_fit_in_which_all_have_failed():
    maximizer = maximizer_for(brightness_network((1.0, 2.0), breaks_above=0.6))
    logs = Logs()
    results = list(maximizer.make(steps=60, callbacks=[logs, keras.callbacks.TerminateOnNaN()]))
    assert [one.status for one in results] == ["failed", "failed"]
    assert all(np.isfinite(one.clip).all() and np.isfinite(one.score) for one in results)
    assert max(one.failed_step for one in results) + 1 == len(logs.all) < 60


def test_a_fit_that_a_callback_ends_has_not_failed():
    class Ends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch >= 4

    results = list(maximizer_for(brightness_network()).make(steps=30, callbacks=[Ends()]))
    whole = list(maximizer_for(brightness_network()).make(steps=5))
    for one, other in zip(results, whole, strict=True):
        assert one.status == "ok" and one.failed_step is None
        np.testing.assert_array_equal(one.clip, other.clip)


def test_tensorboard_works_as_it_is(tmp_path):
    maximizer = maximizer_for(brightness_network())
    board = keras.callbacks.TensorBoard(tmp_path, update_freq=2, histogram_freq=1)
    results = list(maximizer.make(steps=6, callbacks=[board]))
    assert all(one.status == "ok" for one in results)
    (log,) = (tmp_path / "train").glob("events.out.*")
    assert b"score" in log.read_bytes()


def test_snapshots_are_the_clips_at_those_steps():
    snapshots = Snapshots(every=2)
    results = list(maximizer_for(brightness_network()).make(steps=5, callbacks=[snapshots]))
    assert snapshots.steps == [0, 2, 4]
    for steps, seen in zip(snapshots.steps[1:], snapshots.clips[1:], strict=True):
        then = list(maximizer_for(brightness_network()).make(steps=steps))
        wanted = np.stack([one.clip for one in then])
        np.testing.assert_allclose(seen / 255, wanted, atol=0.501 / 255)
    assert len(results) == len(snapshots.films) == 2


def test_snapshots_at_chosen_steps_are_what_as_many_steps_make():
    """Three units, two at once: the row that fills the last batch is left out."""
    network = brightness_network((1.0, -1.0, 2.0))
    options = {"parametrization": "pixels", "transforms": [], "batch_size": 2}
    clips = maximize(network, "out:0-2", snapshots=(0, 2, 6), **options)
    assert clips.shape == (3, 3, *SHAPE) and clips.dtype == np.float32
    for i, steps in enumerate((2, 6), 1):
        wanted = maximize(network, "out:0-2", steps=steps, steps_per_execution=1, **options)
        np.testing.assert_allclose(clips[i], wanted, atol=0.501 / 255)
    assert np.abs(clips[0] - clips[1]).max() > 0.01


def test_snapshots_behind_the_end_of_a_fit_are_what_was_there_then():
    snapshots, stop = Snapshots(at=(2, 400)), StopWhenStalled(patience=2)
    network = brightness_network()
    (result,) = maximizer_for(network, (0,)).make(steps=400, callbacks=[stop, snapshots])
    np.testing.assert_allclose(snapshots.units[0][-1] / 255, result.clip, atol=0.501 / 255)
    assert snapshots.steps[-1] < 400


def test_snapshots_at_steps_that_are_not_seen_are_refused():
    network = brightness_network()
    with pytest.raises(ValueError, match="steps_per_execution=1 for snapshots at 3. Received: 4"):
        callbacks = [Snapshots(at=(3,))]
        list(maximizer_for(network, steps_per_execution=4).make(steps=8, callbacks=callbacks))
    with pytest.raises(ValueError, match="snapshots at up to 4 steps. Received: 9"):
        maximize(network, "out:0", snapshots=(1, 9), steps=4)


def test_the_film_plays_while_the_clip_forms():
    snapshots = Snapshots(every=1)
    list(maximizer_for(brightness_network()).make(steps=5, callbacks=[snapshots]))
    assert len(snapshots.clips) == 6
    for unit, film in enumerate(snapshots.films):
        assert film.shape == (6, *SHAPE[1:]) and film.dtype == np.float32
        for k, frame in enumerate(film):
            np.testing.assert_allclose(frame, snapshots.clips[k][unit, k % 4] / 255, atol=1e-6)


def test_films_are_written_one_a_unit(tmp_path):
    """Three units, two at once: the row that fills the last batch has no film."""
    network = brightness_network((1.0, -1.0, 2.0))
    snapshots = Snapshots(every=2, folder=tmp_path / "new", fps=5)
    list(maximizer_for(network, range(3), batch_size=2).make(steps=4, callbacks=[snapshots]))
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["forming-0.gif", "forming-1.gif", "forming-2.gif"]
    for i, name in enumerate(names):
        read = clip_files.read(tmp_path / "new" / name)
        np.testing.assert_allclose(read, snapshots.films[i], atol=0.1)


@pytest.mark.parametrize(("at_once", "steps"), [(3, [0, 3, 6, 9]), (4, [0, 4, 8]), (8, [0, 8, 10])])
def test_snapshots_where_several_steps_run_at_once(at_once, steps):
    """The last of 10 steps are one run; at 4 at once they come too soon for a snapshot."""
    snapshots = Snapshots(every=2 if at_once == 8 else 3)
    maximizer = maximizer_for(brightness_network(), steps_per_execution=at_once)
    list(maximizer.make(steps=10, callbacks=[snapshots]))
    assert snapshots.steps == steps


def test_a_failed_clip_does_not_break_its_film():
    snapshots = Snapshots(every=4)
    maximizer = maximizer_for(brightness_network(breaks_above=0.6))
    failed, fine = maximizer.make(steps=40, callbacks=[snapshots])
    assert (failed.status, fine.status) == ("failed", "ok")
    assert len(snapshots.films) == 2
    assert all(len(film) and np.isfinite(film).all() for film in snapshots.films)


class FakeMaximizer:
    """What `StopWhenStalled` reads of a Maximizer, to be set by hand."""

    def __init__(self, count, *, batchwise=False):
        self.batch_size, self.batchwise, self.stop_training = count, batchwise, False
        self.latents = [keras.Variable(np.zeros((count, 2)))]
        self.tracking = Tracking(self.latents, clips=count, terms=1)

    def step(self, callback, best, *, steps=1):
        self.tracking.best.assign(best)
        for counted in (self.tracking.steps, self.tracking.finite_steps):
            counted.assign(counted + steps)
        self.latents[0].assign(self.latents[0] + steps)
        callback.on_train_batch_end(0)


def test_a_clip_stalls_when_it_rises_by_less_than_a_share_of_its_rise():
    stop, model = StopWhenStalled(patience=3, least_rise=0.1), FakeMaximizer(2)
    stop.set_model(model)
    stop.on_train_begin()
    # The first has risen by 2 when 0.19, less than a tenth, is too little in three steps; the
    # second keeps rising, by a tenth of its rise or more.
    series = [(-1, 9.0), (0, 9.1), (1, 9.2), (1.1, 9.3), (1.15, 9.4), (1.19, 9.5), (1.2, 9.6)]
    for best in series:
        model.step(stop, best)
    assert list(stop.stalled_at) == [6, -1] and not model.stop_training
    for _ in range(3):
        model.step(stop, (1.2, 9.6))
    assert list(stop.stalled_at) == [6, 10] and model.stop_training
    stop.on_train_end()
    np.testing.assert_array_equal(ops.convert_to_numpy(model.latents[0]), [[6, 6], [10, 10]])
    np.testing.assert_array_equal(ops.convert_to_numpy(model.tracking.steps), [6, 10])


def test_steps_are_counted_where_several_run_at_once():
    stop, model = StopWhenStalled(patience=8), FakeMaximizer(1)
    stop.set_model(model)
    stop.on_train_begin()
    for best in (1, 2, 2, 2):
        model.step(stop, [best], steps=4)
    assert list(stop.stalled_at) == [16] and model.stop_training


def test_clips_that_depend_on_each_other_stay_as_they_are():
    stop, model = StopWhenStalled(patience=1), FakeMaximizer(2, batchwise=True)
    stop.set_model(model)
    stop.on_train_begin()
    for best in ((0, 0), (0, 1), (0, 1)):
        model.step(stop, best)
    stop.on_train_end()
    assert list(stop.stalled_at) == [2, 3] and model.stop_training
    np.testing.assert_array_equal(ops.convert_to_numpy(model.latents[0]), [[3, 3], [3, 3]])


def stalling(units, *, weights=(1.0, -1.0), steps=600, breaks_above=2.0, **options):
    """Scores cannot rise past white or black, where the sigmoid flattens."""
    stop, logs = StopWhenStalled(8, least_rise=0.01), Logs()
    network = brightness_network(weights, breaks_above=breaks_above)
    maximizer = maximizer_for(network, units, **options)
    return list(maximizer.make(steps=steps, callbacks=[stop, logs])), stop, logs


def test_stops_once_nothing_rises():
    results, stop, logs = stalling((0,))
    assert 10 < len(logs.all) < 600 and results[0].status == "ok"
    assert 0.9 * 3 < results[0].score < 3 and stop.stalled_at[0] == len(logs.all)


def test_a_clip_does_not_depend_on_the_stall_of_those_beside_it():
    """The third unit's gradient is near Adam's epsilon, so it takes longer."""
    weights = (1.0, -1.0, 1e-2)
    options = {"optimizer": keras.optimizers.Adam(0.1, epsilon=1e-5)}
    together, stop, logs = stalling((0, 1, 2), weights=weights, batch_size=3, **options)
    assert len(set(stop.stalled_at)) > 1 and stop.stalled_at.max() == len(logs.all) < 600
    for unit, clip, at in zip((0, 1, 2), together, stop.stalled_at, strict=True):
        (alone,), own, _ = stalling((unit,), weights=weights, **options)
        assert own.stalled_at[0] == at
        np.testing.assert_array_equal(clip.clip, alone.clip)
        assert (clip.status, clip.score) == (alone.status, alone.score)


def test_a_failed_clip_counts_as_stalled():
    results, _, logs = stalling((0, 1), breaks_above=0.6)
    assert [one.status for one in results] == ["failed", "ok"] and len(logs.all) < 400
    assert np.isfinite(results[0].clip).all() and 0.55 < results[0].clip.mean() < 0.65


def test_a_clip_that_was_never_finite_counts_as_stalled():
    results, _, logs = stalling((0,), breaks_above=-1.0)
    assert results[0].status == "failed" and results[0].failed_step == 0 and len(logs.all) == 8


def test_stalls_are_seen_where_several_steps_run_at_once():
    results, stop, logs = stalling((0,), steps_per_execution=5)
    assert stop.stalled_at[0] == 5 * len(logs.all) < 600 and results[0].status == "ok"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Snapshots(0), "every to be a whole number from 1. Received: 0"),
        (lambda: Snapshots(at=()), r"rising numbers of steps for snapshots. Received: \(\)"),
        (lambda: Snapshots(at=(4, 2)), r"Received: \(4, 2\)"),
        (lambda: Snapshots(at=(-1, 2)), r"Received: \(-1, 2\)"),
        (lambda: Snapshots(at=(1.5,)), r"Received: \(1.5,\)"),
        (lambda: StopWhenStalled(0), "patience to be a whole number from 1. Received: 0"),
        (lambda: StopWhenStalled(least_rise=-0.1), "smallest rise of 0 or more. Received: -0.1"),
        (lambda: StopWhenStalled(least_rise=float("nan")), "Received: nan"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
