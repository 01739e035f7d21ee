"""Names of classes, the best classes of a prediction, and clips made into what a network takes."""

from __future__ import annotations

import hashlib

import keras
import numpy as np
import pytest

from c3dvis import models, objectives
from c3dvis.models.labels import KINETICS_400, decode_predictions, read_labels
from c3dvis.objectives.terms import names_of_classes

L = keras.layers
# Of label_map.txt in https://github.com/google-deepmind/kinetics-i3d.
SHA256 = "e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f"


def test_the_names_of_kinetics_are_the_published_file():
    text = "".join(f"{name}\n" for name in KINETICS_400)
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256


@pytest.mark.parametrize("name", ["i3d", "i3d-flow", "r3d", "mc3", "r2plus1d"])
def test_networks_of_kinetics_know_their_classes(name):
    assert models.class_names(name) == KINETICS_400


def test_a_network_of_other_classes_has_no_names_of_kinetics():
    small = {"width": 0.02, "input_shape": (3, 8, 8, 3), "weights": None}
    assert models.build("r3d", **small).class_names == KINETICS_400
    assert not hasattr(models.build("r3d", classes=3, **small), "class_names")
    assert models.class_names("tsm") is None  # in which order its authors count is not known


def test_labels_of_a_text_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfwave\r\nclap \xc3\xa9\r\n")
    assert read_labels(path) == ("wave", "clap é")
    with pytest.raises(ValueError, match="Expected 3 labels.* Received: 2 in .*names.txt"):
        read_labels(path, 3)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="text file of labels"):
        read_labels(path)


def test_the_best_classes_of_each_clip(tmp_path):
    scores = np.array([[0.1, 0.6, 0.3], [0.5, 0.0, 0.5]], np.float32)
    got = decode_predictions(scores, 2, class_names=("wave", "clap", "jump"))
    assert [[(i, name) for i, name, _ in clip] for clip in got] == [
        [(1, "clap"), (2, "jump")],
        [(0, "wave"), (2, "jump")],
    ]
    assert got[0][0][2] == pytest.approx(0.6) and type(got[0][0][2]) is float
    assert len(decode_predictions(scores, class_names=("wave", "clap", "jump"))[0]) == 3
    (best,) = decode_predictions(np.eye(400)[None, 7], 1, class_names="kinetics400")[0]
    assert best == (7, "arranging flowers", 1.0)
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
        ([[0.1, 0.9]], 1, {"a", "b"}, "class_names as a list of names in the order"),
        ([["a", "b"]], 1, None, "of numbers. Received: .*'a', 'b'"),
        ([[0.1, 0.9], [0.1]], 1, None, "of numbers. Received: "),
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
        ([np.zeros((4, 4, 4, 3)), np.zeros((5, 4, 4, 3))], "Received: several shapes"),
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


def test_an_endless_or_huge_file_of_labels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a file"):
        read_labels("/dev/zero")
    (tmp_path / "huge.txt").write_text("a\n" * 2**20)
    with pytest.raises(ValueError, match="more than 1,048,576 characters"):
        read_labels(tmp_path / "huge.txt")


def test_labels_are_split_at_ends_of_lines_only(tmp_path):
    (tmp_path / "labels.txt").write_bytes("a\u2028b\r\nc\x85d\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("a\u2028b", "c\x85d")


def test_names_are_those_of_the_network_or_numbers():
    class Network:
        layers = ()

    assert decode_predictions([[0.2, 0.8]], 1) == [[(1, "class 1", 0.8)]]
    network = Network()
    assert decode_predictions([[0.2, 0.8]], 1, class_names=network) == [[(1, "class 1", 0.8)]]
    network.class_names = ("left", "right")
    assert decode_predictions([[0.2, 0.8]], 1, class_names=network) == [[(1, "right", 0.8)]]


def test_names_of_classes_are_a_list_an_array_or_a_dict():
    network = keras.Sequential([L.Input((2, 4, 4, 3)), L.Flatten(), L.Dense(3)])
    assert names_of_classes(network) is None
    for names in (
        ["wave", "clap", "jump"],
        np.array(["wave", "clap", "jump"]),
        {"clap": 1, "jump": 2, "wave": 0},
        {2: "jump", 0: "wave", 1: "clap"},
    ):
        network.class_names = names
        assert names_of_classes(network) == ("wave", "clap", "jump")
        assert decode_predictions([[0.1, 0.7, 0.2]], 1, class_names=names)[0][0][1] == "clap"
        assert objectives.of("clap", network) == objectives.logit("clap")
    for wrong, told in (
        (["wave"], "3 class names, one per output. Received: 1"),
        ("names.txt", "class_names as a list.*Received: 'names.txt'"),
        ({"wave": 1, "clap": 2, "jump": 3}, "indices from 0"),
        (7, "class_names as a list"),
    ):
        network.class_names = wrong
        with pytest.raises(ValueError, match=told):
            objectives.of("clap", network)
