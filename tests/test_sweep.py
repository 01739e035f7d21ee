"""One pass over many clips: every unit's scores, strongest clips and where in them."""

import keras
import numpy as np
import pytest

from c3dvis import clips, output_folder, responses
from c3dvis.responses import sweep_result, sweeps

SHAPE = (4, 6, 6, 3)


@pytest.fixture(scope="module")
def network():
    """Channel k is the mean of colour k in a block of 2 frames, 3 rows and 3 columns."""
    clip = keras.Input(SHAPE)
    blocks = keras.layers.Conv3D(3, (2, 3, 3), strides=(2, 3, 3), use_bias=False, name="blocks")
    relu = keras.layers.ReLU(threshold=0.1)(blocks(clip))
    dense = keras.layers.Dense(2, name="dense")(keras.layers.GlobalAveragePooling3D()(relu))
    network = keras.Model(clip, dense)
    kernel = np.broadcast_to(np.eye(3, dtype=np.float32) / 18, (2, 3, 3, 3, 3))
    blocks.set_weights([kernel])
    return network


def spots(count, seed=0):
    """Black clips with one block of one colour lit, and where."""
    draw = np.random.default_rng(seed)
    clips_of_spots, where = np.zeros((count, *SHAPE), np.float32), []
    for clip in clips_of_spots:
        t, y, x, colour = (int(draw.integers(n)) for n in (2, 2, 2, 3))
        clip[2 * t : 2 * t + 2, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3, colour] = draw.uniform(0.2, 1)
        where.append((t, y, x, colour))
    return clips_of_spots, where


@pytest.fixture(scope="module")
def swept(network):
    return responses.sweep(network, spots(37)[0], top=3, verbose=0)


def test_scores_statistics_and_ranks(swept):
    given, _ = spots(37)
    blocks = given.reshape(37, 2, 2, 2, 3, 2, 3, 3).mean(axis=(2, 4, 6))  # (N, t, y, x, colour)
    expected = blocks.mean(axis=(1, 2, 3))
    layer = swept["blocks"]
    assert list(swept) == ["blocks", "dense"] and swept["dense"].scores.shape == (37, 2)
    np.testing.assert_allclose(layer.scores, expected, atol=1e-3)
    assert layer.scores.dtype == np.float16
    np.testing.assert_allclose(layer.mean, expected.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.deviation, expected.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.zeros, (expected == 0).mean(axis=0), rtol=1e-6)
    for channel in range(3):
        order = np.argsort(-expected[:, channel], kind="stable")
        assert layer.strongest[:, channel].tolist() == order[:3].tolist()
        tenth = np.sort(expected[:, channel])[np.rint(0.1 * 36).astype(int)]
        assert expected[layer.deciles[0, channel], channel] == pytest.approx(tenth)
        assert expected[layer.weakest[0, channel], channel] == expected[:, channel].min()


def test_the_place_of_the_peak(swept):
    given, where = spots(37)
    assert swept["blocks"].grid.tolist() == [2, 2, 2] and swept["dense"].grid.tolist() == [1, 1, 1]
    for channel in range(3):
        for ranked in swept.top("blocks", channel):
            *place, colour = where[ranked.index]
            assert colour == channel and list(ranked.place) == place
            assert ranked.peak == pytest.approx(given[ranked.index].max(), rel=1e-5)
            assert ranked.name == str(ranked.index)


def test_strongest_clips_are_of_different_films(network, tmp_path):
    """Of four parts of a film the strongest counts; an unreadable film is told, not fatal."""
    for name, seed in (("a.gif", 1), ("b.gif", 2)):
        film = np.concatenate(list(spots(4, seed)[0]))
        film[:, 5, 5, 2] = np.linspace(0, 1, len(film))  # a GIF merges frames that are equal
        clips.write(tmp_path / name, film)
    (tmp_path / "broken.mp4").write_text("no video")
    swept = responses.sweep(network, tmp_path, windows=4, top=5, layers=["blocks"], verbose=0)
    assert len(swept.names) == 8 and swept.names[:2] == ("a.gif#0", "a.gif#1")
    assert len(swept.failed) == 4 and "broken.mp4" in swept.failed["broken.mp4#0"]
    films = [swept.sources[row] for row in swept["blocks"].strongest[:, 0]]
    assert sorted(films) == ["a.gif", "b.gif"]


def test_films_are_grey_for_a_network_of_one_channel(tmp_path):
    clip = keras.Input((*SHAPE[:3], 1))
    mean = keras.layers.Conv3D(1, 1, use_bias=False, name="mean")
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(mean(clip)))
    mean.set_weights([np.ones((1, 1, 1, 1, 1))])
    green = np.zeros(SHAPE, np.float32)
    green[..., 1] = 0.9
    clips.write(tmp_path / "green.gif", green)
    swept = responses.sweep(network, tmp_path, layers=["mean"], verbose=0)
    np.testing.assert_allclose(swept["mean"].mean, [0.3], atol=0.01)
    strong = responses.unit_clips(network, swept, tmp_path, "mean", [0])[0].strongest[0]
    assert strong.clip.shape[-1] == 1


def test_optical_flow_is_swept_from_files_of_numpy(tmp_path):
    clip = keras.Input((*SHAPE[:3], 2))
    mean = keras.layers.Conv3D(2, 1, use_bias=False, name="mean")
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(mean(clip)))
    mean.set_weights([np.eye(2).reshape(1, 1, 1, 2, 2)])
    flow = np.full((*SHAPE[:3], 2), 0.5, np.float32)
    flow[..., 1] = 0.9
    np.save(tmp_path / "down.npy", flow)
    clips.write(tmp_path / "film.gif", np.zeros(SHAPE, np.float32))
    swept = responses.sweep(network, tmp_path, layers=["mean"], verbose=0)
    np.testing.assert_allclose(swept["mean"].mean, [0.5, 0.9], atol=1e-6)
    assert "optical flow" in swept.failed["film.gif"]


def test_what_was_made_among_films_is_no_film(network, tmp_path):
    clips.write(tmp_path / "film.gif", np.zeros(SHAPE, np.float32))
    with output_folder.locked(tmp_path / "gallery", "gallery"):
        (tmp_path / "gallery" / "7.gif").touch()
    for _ in range(2):
        swept = responses.sweep(network, tmp_path, out=tmp_path / "swept", verbose=0)
        assert swept.names == ("film.gif",) and not swept.failed


class Stopped(Exception):
    pass


def test_a_stopped_sweep_goes_on_and_ends_in_the_same_bytes(network, tmp_path, monkeypatch):
    given, _ = spots(37)
    responses.sweep(network, given, out=tmp_path / "whole", verbose=0).save(tmp_path / "whole.npz")
    write, written = sweeps.write_arrays, []

    def stop(path, arrays):
        if len(written) == 2:
            raise Stopped
        written.append(path)
        return write(path, arrays)

    monkeypatch.setattr(sweeps, "write_arrays", stop)
    with pytest.raises(Stopped):
        responses.sweep(network, given, out=tmp_path / "parts", verbose=0)
    seen = []
    monkeypatch.setattr(sweeps, "write_arrays", lambda *call: seen.append(write(*call)))
    responses.sweep(network, given, out=tmp_path / "parts", verbose=0).save(tmp_path / "parts.npz")
    assert [path.name for path in seen] == ["000002.npz"]
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()
    with pytest.raises(ValueError, match="Received: other layers"):
        responses.sweep(network, given, layers=["dense"], out=tmp_path / "parts", verbose=0)


@pytest.mark.parametrize("damage", ["cut", "other", "changed"])
def test_a_damaged_part_is_made_again_with_what_follows_it(network, tmp_path, damage):
    given, _ = spots(16 * 2 + 5)
    out = tmp_path / "out"
    responses.sweep(network, given, out=out, verbose=0).save(tmp_path / "whole.npz")
    part = out / "parts" / "000001.npz"
    before = part.read_bytes()
    if damage == "cut":
        part.write_bytes(before[:200])
    elif damage == "changed":
        part.write_bytes(before.replace(b"'fortran_order'", b"'fortran_order,"))
    else:
        part.write_bytes((out / "parts" / "000002.npz").read_bytes()[:-1])
    first = (out / "parts" / "000000.npz").stat().st_mtime_ns
    with pytest.warns(UserWarning, match="made again with what follows it: .*000001.npz"):
        again = responses.sweep(network, given, out=out, verbose=0)
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    assert part.read_bytes() == before
    assert (out / "parts" / "000000.npz").stat().st_mtime_ns == first


def test_datasets_give_what_arrays_give(network, swept):
    tf = pytest.importorskip("tensorflow", reason="one of the datasets is tf.data's")
    given, _ = spots(37)

    class Batches(keras.utils.PyDataset):
        num_batches = 4

        def __getitem__(self, index):
            return given[10 * index : 10 * index + 10], np.zeros(10)

    for dataset in (Batches(), tf.data.Dataset.from_tensor_slices(given).batch(5)):
        other = responses.sweep(network, dataset, top=3, verbose=0)
        np.testing.assert_array_equal(other["blocks"].scores, swept["blocks"].scores)


def test_what_is_saved_is_loaded(swept, tmp_path):
    loaded = responses.Sweep.load(swept.save(tmp_path / "sweep.npz"))
    assert loaded.names == swept.names and list(loaded) == list(swept)
    np.testing.assert_array_equal(loaded["dense"].places, swept["dense"].places)
    assert repr(loaded) == "Sweep(37 clips, 5 units of 2 layers)"


def test_large_scores_keep_their_range(network):
    large = responses.sweep(
        network, spots(3)[0], layers=["blocks"], verbose=0, preprocess=lambda clips: 1e7 * clips
    )
    assert large["blocks"].scores.dtype == np.float32 and np.isfinite(large["blocks"].scores).all()


def test_wrong_arguments_are_refused(network, swept, tmp_path):
    given, _ = spots(2)
    for options, message in (
        ({"top": 0}, "top to be a whole number from 1"),
        ({"top": "9"}, "top to be a whole number from 1. Received: '9'"),
        ({"windows": 1.5}, "windows to be a whole number"),
        ({"batch_size": None}, "batch_size to be a whole number"),
        ({"layers": ["block"]}, "blocks"),
        ({"layers": []}, "Expected one layer or more. Received: none"),
        (
            {"frames": 5},
            "Expected frames 4, as the network is built for: leave frames out.*Received: 5",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            responses.sweep(network, given, verbose=0, **options)
    for clip_source, message in (
        (tmp_path / "none", "a folder with videos"),
        (3, "Expected clips: a folder"),
        ([], "Expected clips: a folder"),
        ([tmp_path / "none.mp4"], "Expected files. Received: .*none.mp4', which does not exist"),
        (np.zeros((2, 5, 6, 6, 3)), "Expected a clip of 4 frames"),
    ):
        with pytest.raises(ValueError, match=message):
            responses.sweep(network, clip_source, verbose=0)
    (tmp_path / "no.npz").write_text("no")
    with pytest.raises(ValueError, match="Expected a sweep's file. .* not an .npz file"):
        responses.Sweep.load(tmp_path / "no.npz")
    with pytest.raises(ValueError, match="Expected one from 0 to 2. Received: 3"):
        swept.top("blocks", 3)
    with pytest.raises(ValueError, match="channel to be a whole number from 0. Received: '1'"):
        swept.top("blocks", "1")
    with pytest.raises(ValueError, match="'blocks'"):
        swept["blokcs"]


def test_layers_that_memory_does_not_hold_at_once_are_read_in_turn(network, swept, monkeypatch):
    monkeypatch.setattr(sweep_result, "_MOST_BYTES", 1)
    again = responses.sweep(network, spots(37)[0], top=3, verbose=0)
    for layer in ("blocks", "dense"):
        for name in sweep_result._ARRAYS:
            np.testing.assert_array_equal(getattr(again[layer], name), getattr(swept[layer], name))


def test_files_of_another_schema_are_refused(swept, tmp_path, monkeypatch):
    path = swept.save(tmp_path / "sweep.npz")
    monkeypatch.setattr(sweep_result, "SCHEMA", 2)
    with pytest.raises(ValueError, match="of schema 2. Received: 1"):
        responses.Sweep.load(path)


def test_ten_times_stopped_a_sweep_ends_in_the_same_bytes(network, tmp_path, monkeypatch):
    """Stopped anywhere, with a file half written as a killed process leaves it."""
    given, _ = spots(16 * 11 + 5)
    responses.sweep(network, given, out=tmp_path / "whole", verbose=0).save(tmp_path / "whole.npz")
    measure, calls = sweeps._measure, []

    def stopping(*arguments):
        inner = measure(*arguments)

        def run(batch):
            calls.append(batch)
            if len(calls) == stop_at:
                raise Stopped
            return inner(batch)

        return run

    monkeypatch.setattr(sweeps, "_measure", stopping)
    parts = tmp_path / "parts" / "parts"
    for stop in range(10):
        calls.clear()
        stop_at = 5 + stop % 4  # a part is four batches, so that each run ends in the second
        with pytest.raises(Stopped):
            responses.sweep(network, given, out=tmp_path / "parts", verbose=0)
        assert len(list(parts.glob("*.npz"))) == stop + 1
        (parts / f".{stop:016x}.tmp").write_bytes(b"half")
    monkeypatch.setattr(sweeps, "_measure", measure)
    responses.sweep(network, given, out=tmp_path / "parts", verbose=0).save(tmp_path / "parts.npz")
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()
    assert not list(parts.glob("*.tmp"))
