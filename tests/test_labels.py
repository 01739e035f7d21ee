"""Names of classes, the best classes of a prediction, and clips made into what a network takes."""

from __future__ import annotations

import hashlib

import keras
import numpy as np
import pytest

from c3dvis import models
from c3dvis.models import labels as labels_module
from c3dvis.models.labels import LabelList, decode_predictions, labels, read_labels

L = keras.layers
CONTENT = b"abseiling\nair drumming\nanswering questions\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A list of labels to be had from a file:// address, and an empty cache; counts downloads."""
    source = tmp_path / "label_map.txt"
    source.write_bytes(CONTENT)
    monkeypatch.setitem(labels_module.LISTS, "three", LabelList(source.as_uri(), SHA256))
    cache = tmp_path / "cache"
    get_file, asked = keras.utils.get_file, []

    def counting(name, **options):
        asked.append(name)
        return get_file(name, cache_dir=str(cache), **options)

    cache.mkdir()
    monkeypatch.setattr(keras.utils, "get_file", counting)
    return source, cache / "c3dvis" / "three.txt", asked


def test_labels_are_downloaded_once(server):
    source, cached, _ = server
    assert labels("three") == ("abseiling", "air drumming", "answering questions")
    assert cached.read_bytes() == CONTENT
    source.unlink()  # from now on there is only the cache
    assert len(labels("three")) == 3


def test_a_damaged_file_in_the_cache_is_replaced(server):
    _, cached, asked = server
    cached.parent.mkdir()
    cached.write_bytes(CONTENT[:5])
    assert len(labels("three")) == 3
    assert cached.read_bytes() == CONTENT and len(asked) == 2


def test_another_file_is_deleted_then_tried_once_more_then_told_with_both_hashes(server):
    source, cached, asked = server
    source.write_bytes(b"<!doctype html>")
    with pytest.raises(ValueError, match=SHA256) as error:
        labels("three")
    assert hashlib.sha256(b"<!doctype html>").hexdigest() in str(error.value)
    assert len(asked) == 2 and not cached.exists()


def test_no_connection_is_told(server):
    source, cached, _ = server
    source.unlink()
    with pytest.raises(OSError, match="could not be downloaded"):
        labels("three")
    assert not cached.exists()


def test_the_published_list_is_asked_for_by_name(server):
    with pytest.raises(ValueError, match="such as 'kinetics400'. Received: 'kinetics'"):
        labels("kinetics")
    assert len(labels_module.LISTS["kinetics400"].sha256) == 64


def test_labels_of_a_text_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfwave\r\nclap \xc3\xa9\r\n")
    assert read_labels(path) == ("wave", "clap é")
    with pytest.raises(ValueError, match="Expected 3 labels.* Received: 2 in .*names.txt"):
        read_labels(path, 3)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="text file of labels"):
        read_labels(path)


def test_the_best_classes_of_each_clip(tmp_path, server):
    scores = np.array([[0.1, 0.6, 0.3], [0.5, 0.0, 0.5]], np.float32)
    got = decode_predictions(scores, 2, class_names=("wave", "clap", "jump"))
    assert [[(i, name) for i, name, _ in clip] for clip in got] == [
        [(1, "clap"), (2, "jump")],
        [(0, "wave"), (2, "jump")],
    ]
    assert got[0][0][2] == pytest.approx(0.6) and type(got[0][0][2]) is float
    assert len(decode_predictions(scores, class_names=("wave", "clap", "jump"))[0]) == 3
    assert decode_predictions(scores, 1, class_names="three")[0][0][1] == "air drumming"
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    assert decode_predictions(scores, 1, class_names=tmp_path / "names.txt")[0][0][1] == "b"


@pytest.mark.parametrize(
    "scores, top, names, message",
    [
        ([0.1, 0.9], 1, "ab", r"\(N, classes\). Received: shape \(2,\)"),
        ([[0.1, np.nan]], 1, ("a", "b"), "Received: 1 NaN"),
        ([[0.1, 0.9]], 0, ("a", "b"), "top=0"),
        ([[0.1, 0.9]], 1, ("a", "b", "c"), "Expected 2 class names.* Received: 3"),
        ([[0.1, 0.9]], 1, "none.txt", "text file of labels"),
    ],
)
def test_what_is_no_prediction_is_refused(scores, top, names, message):
    with pytest.raises(ValueError, match=message):
        decode_predictions(scores, top, class_names=names)


def taking(*shape):
    clip = L.Input(shape)
    return keras.Model(clip, L.GlobalAveragePooling3D()(clip))


def test_whole_numbers_become_floats_and_frames_and_size_fit():
    video = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.full((1, 6, 10, 3), 30, np.uint8)
    batch = models.preprocess_input(video, taking(4, 3, 3, 3))
    assert batch.shape == (1, 4, 3, 3, 3) and batch.dtype == np.float32
    # The middle frame of each quarter, each of one colour.
    np.testing.assert_allclose(batch[0, :, 0, 0, 0], np.array([1, 3, 5, 7]) * 30 / 255, atol=1e-6)
    same = models.preprocess_input(video / 255.0, taking(4, 3, 3, 3))
    np.testing.assert_allclose(batch, same, atol=1e-6)


def test_several_clips_open_axes_and_other_channels():
    grey = np.zeros((2, 5, 6, 7, 1))
    assert models.preprocess_input(grey, taking(None, None, None, 3)).shape == (2, 5, 6, 7, 3)
    assert models.preprocess_input(grey[0], taking(5, None, 7, 1)).shape == (1, 5, 6, 7, 1)
    assert models.preprocess_input(grey[0], taking(8, 6, 7, 1), short="hold").shape[1] == 8


@pytest.mark.parametrize(
    "video, message",
    [
        (np.zeros((3, 4, 4, 3)), "at least 4 frames"),
        (np.full((4, 4, 4, 3), 200.0), "divide by 255"),
        (np.full((4, 4, 4, 3), 300), "from 0 to 255. Received: from 300"),
        (np.zeros((4, 4, 4, 2)), "3 channels. Received: 2 channels"),
        (np.zeros((4, 4, 3)), "axes"),
        (np.zeros((0, 4, 4, 4, 3)), "at least one clip"),
    ],
)
def test_what_does_not_fit_a_network_is_refused(video, message):
    with pytest.raises(ValueError, match=message):
        models.preprocess_input(video, taking(4, 4, 4, 3))


def test_networks_that_take_no_pictures_are_refused():
    flow = models.I3D(modality="flow", width=0.05, input_shape=(16, 32, 32, 2), classes=2)
    with pytest.raises(ValueError, match="optical flow"):
        models.preprocess_input(np.zeros((16, 32, 32, 2)), flow)
    dense = keras.Sequential([L.Input((3,)), L.Dense(2)])
    with pytest.raises(ValueError, match=r"input_shape=\(None, 3\)"):
        models.preprocess_input(np.zeros((16, 32, 32, 2)), dense)
