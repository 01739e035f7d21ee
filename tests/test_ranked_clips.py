"""The clips behind a sweep's ranks: those that were swept, with what the unit sees of them."""

import re

import keras
import numpy as np
import pytest

from c3dvis import clips, responses
from c3dvis.responses.__main__ import main

SHAPE = (4, 20, 20, 3)


@pytest.fixture(scope="module")
def network():
    """Channel k of "blocks" is the mean of colour k over 2 frames, 5 rows and 5 columns."""
    clip = keras.Input(SHAPE)
    blocks = keras.layers.Conv3D(3, (2, 5, 5), strides=(2, 5, 5), use_bias=False, name="blocks")
    wide = keras.layers.Conv3D(1, (1, 4, 4), use_bias=False, name="wide")
    mean = keras.layers.GlobalAveragePooling3D()(wide(blocks(clip)))
    network = keras.Model(clip, keras.layers.Dense(2, name="dense")(mean))
    blocks.set_weights([np.broadcast_to(np.eye(3, dtype=np.float32) / 50, (2, 5, 5, 3, 3))])
    network.class_names = ["red", "dark"]
    return network


def film(t, y, x, brightness):
    """Grey, with one red block."""
    clip = np.full(SHAPE, 0.1, np.float32)
    clip[2 * t : 2 * t + 2, 5 * y : 5 * y + 5, 5 * x : 5 * x + 5, 0] = brightness
    return clip


FILMS = [film(0, 1, 2, 0.5), film(1, 3, 0, 0.9), film(0, 2, 1, 0.7)]


@pytest.fixture(scope="module")
def swept(network):
    return responses.sweep(network, FILMS, top=2, verbose=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    there = tmp_path_factory.mktemp("films")
    for number, one in enumerate(FILMS):
        moving = one.copy()
        moving[:, 0, 0] = np.linspace(0, 0.1, 4)[:, None]  # a GIF merges frames that are equal
        clips.write(there / f"{number}.gif", moving)
    return there


def test_the_clips_are_those_ranked_and_the_field_is_the_block(network, swept):
    (unit,) = responses.unit_clips(network, swept, FILMS, "blocks", [0])
    assert [one.name for one in unit.strongest] == ["1", "2"]
    assert [one.name for one in unit.weakest] == ["0", "2"]
    best = unit.strongest[0]
    np.testing.assert_array_equal(best.clip, FILMS[1])
    assert best.field.slices == (slice(2, 4), slice(15, 20), slice(0, 5))
    assert best.peak == (3, 17.5, 2.5)
    assert best.score == pytest.approx(0.1 + 0.8 / 32, rel=1e-3)
    assert unit.weakest[0].score == pytest.approx(0.1 + 0.4 / 32, rel=1e-3)


def test_what_a_unit_sees_is_outlined_and_cut_out(network, swept):
    (unit,) = responses.unit_clips(network, swept, FILMS, "blocks", [0], count=1)
    best = unit.strongest[0]
    shown, plain = best.marked(), clips.enlarge(best.clip)
    scale = plain.shape[1] // 20
    changed = (shown != plain).any(axis=-1)
    _, rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max() + 1) == (15 * scale, 20 * scale)
    assert (columns.min(), columns.max() + 1) == (0, 5 * scale)
    yellow = (1, np.float32(0.84), 0)
    assert (shown[2, 15 * scale, 0] == yellow).all() and not (
        shown[0, 15 * scale, 0] == yellow
    ).all()
    seen = best.seen()
    assert seen.shape == (4, 5, 5, 3) and np.allclose(seen[3, ..., 0], 0.9)
    assert seen[0].max() < 0.1  # dim, as the unit sees nothing of these frames
    assert best.beside().shape == (4, 20 * scale, 2 * 20 * scale + 4, 3)


def test_a_unit_that_sees_all_has_a_cross_and_no_cut(network, swept):
    (unit,) = responses.unit_clips(network, swept, FILMS, "wide", [0], count=1)
    one = unit.strongest[0]
    assert one.field.shape == (2, 20, 20) and one.seen() is None
    (changed,) = np.nonzero((one.marked() != clips.enlarge(one.clip)).any(axis=(1, 2, 3)))
    assert changed.tolist() == [int(one.peak[0])]
    (unit,) = responses.unit_clips(network, swept, FILMS, "dense", [1], count=1)
    assert unit.strongest[0].field is None
    np.testing.assert_array_equal(unit.strongest[0].marked(), clips.enlarge(unit.strongest[0].clip))


def test_a_notebook_shows_the_synthetic_clip_before_the_real_ones(network, swept):
    (unit,) = responses.unit_clips(network, swept, FILMS, "blocks", [0])
    assert repr(unit) == "UnitClips('blocks', 0: 2 strongest, 2 weakest)"
    assert unit._repr_html_().count("<img") == 2
    shown = unit.show(FILMS[0], score=2.5).html
    assert shown.count("<img") == 3 and shown.index("2.5: synthetic") < shown.index(": 1<")


def test_files_and_datasets_are_read_again(network, folder):
    swept = responses.sweep(network, folder, windows=2, layers=["blocks"], top=2, verbose=0)
    (unit,) = responses.unit_clips(network, swept, folder, "blocks", [0], windows=2)
    assert unit.strongest[0].name.startswith("1.gif#")

    class Batches(keras.utils.PyDataset):
        num_batches = 3

        def __getitem__(self, index):
            return FILMS[index][None]

    swept = responses.sweep(network, Batches(), layers=["blocks"], verbose=0)
    (unit,) = responses.unit_clips(network, swept, Batches(), "blocks", [0])
    np.testing.assert_array_equal(unit.strongest[0].clip, FILMS[1])


def test_other_clips_than_those_swept_are_refused(network, swept):
    with pytest.raises(ValueError, match="the clips that were swept. Received: others, without"):
        responses.unit_clips(network, swept, FILMS[:1], "blocks", [0])
    with pytest.raises(ValueError, match="Expected channels from 0 to 2. Received: 3"):
        responses.unit_clips(network, swept, FILMS, "blocks", [3])


def test_the_command_writes_scores_and_pages_and_reads_what_is_done(
    network, folder, tmp_path, capsys
):
    network.save(tmp_path / "network.keras")
    (folder / "broken.mp4").write_text("no video")
    command = [str(folder), "--sweep", "--keras-model", str(tmp_path / "network.keras")]
    command += ["--out", str(tmp_path / "out"), "--top", "2", "--filters", "0,2"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "broken.mp4 could not be read: " in printed
    assert "Sweep(3 clips, 6 units of 3 layers)" in printed
    loaded = responses.Sweep.load(tmp_path / "out" / "sweep.npz")
    assert list(loaded) == ["blocks", "wide", "logits/"]
    index = (tmp_path / "out" / "index.html").read_text()
    assert index.count("<h2>") == 2 + 1 + 1 and index.count("data-frames=") == 4 * 4
    assert re.search(r"strongest 1: 0\.1\d+, 1\.gif", index) and "class 0" in index
    first = (tmp_path / "out" / "sweep.npz").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "out" / "sweep.npz").read_bytes() == first
    assert "blocks" in index and (tmp_path / "out" / "blocks" / "0-weakest-2.jpg").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--sweep"], "Expected a folder of clips. Received: None"),
        (["{folder}/0.gif", "--sweep"], "Expected a folder of clips"),
        (["{folder}", "--sweep", "--step", "2"], "--step: not allowed with argument --sweep"),
        (["--layer", "conv1", "--top", "3"], "--top: Expected --windows or --sweep with it"),
        (["{folder}", "--sweep", "--layer", "conv1"], "not allowed with argument"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main([one.format(folder=folder) for one in arguments])
    assert stopped.value.code == 2 and message in capsys.readouterr().err
