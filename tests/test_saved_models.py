"""SavedModels: the layers and weights of Keras 2's are read, and no graph is ever run.

`data/saved_model` was written by tf_keras 2.21 (`model.save(folder, save_format="tf")`): a CNN with
batch normalization in TimeDistributed, an LSTM and a softmax. Its graph is left out.
"""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from c3dvis import models, objectives
from c3dvis.attribution import attribute
from c3dvis.checkpoints import saved_models
from c3dvis.gallery.__main__ import main as gallery
from c3dvis.maximize import maximize
from c3dvis.models import layers

DATA = pathlib.Path(__file__).parent / "data" / "saved_model"
CLIP = (4, 8, 8, 3)
# What tf_keras computed for `clips()`.
OUTPUTS = [[0.5328480, 0.4671520], [0.5316380, 0.4683621]]


@pytest.fixture
def folder(tmp_path):
    """The SavedModel with something in the place of its graph that is none."""
    shutil.copytree(DATA, tmp_path / "saved")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"whoever reads this fails")
    return tmp_path / "saved"


def clips():
    return np.random.default_rng(0).random((2, *CLIP)).astype(np.float32)


def write_metadata(folder, root: dict) -> None:
    message = saved_models._metadata_type()()
    message.objects.add(path="root", json=json.dumps(root))
    (folder / "keras_metadata.pb").write_bytes(message.SerializeToString())


def test_a_network_of_keras_2_is_the_same_without_its_graph(folder):
    network = models.load_keras_model(folder)
    np.testing.assert_allclose(network.predict(clips(), verbose=0), OUTPUTS, atol=1e-6)
    assert "frames/c" in [info.name for info in layers.visualizable(network)]


def test_its_weights_alone_are_loaded(folder):
    network = models.load_keras_model(folder)
    expected = network.get_weights()
    network.set_weights([np.zeros_like(weight) for weight in expected])
    with pytest.warns(UserWarning, match="never trained"):
        report = models.load_weights(network, folder)
    assert report.assigned == report.total == len(expected)
    for weight, value in zip(network.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_command_takes_the_folder(folder, tmp_path):
    units = ["--filters", "0", "--layers", "frames/c", "--steps", "1", "--compare", "0"]
    assert gallery(["--keras-model", str(folder), *units, "--out", str(tmp_path / "made")]) == 0


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network, and what Keras 3 exports of it."""
    keras.utils.set_random_seed(0)
    clip = keras.Input(CLIP)
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(2, 3)(clip))
    network = keras.Model(clip, keras.layers.Dense(2)(x))
    folder = tmp_path_factory.mktemp("exported") / "graph"
    network.export(folder, verbose=False)
    return network, folder


def test_a_graph_alone_is_refused_and_what_that_advises_works(exported):
    network, folder = exported
    with pytest.raises(ValueError, match=r"none of a file is run.*TFSMLayer\('.*graph'"):
        models.load_keras_model(folder)
    clip = keras.Input(CLIP)
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")
    wrapped = keras.Model(clip, layer(clip))
    some = clips()[0]
    expected, got = (
        attribute(one, some, objectives.logit(1), method="gradient") for one in (network, wrapped)
    )
    np.testing.assert_allclose(got.heatmap, expected.heatmap, atol=1e-6)
    assert maximize(wrapped, 1, steps=1).shape == (1, *CLIP)


def test_code_in_a_saved_model_is_refused(folder):
    code = {"class_name": "__tuple__", "items": ["4wEAAAAAAAAA\n", None, None]}
    part = {"class_name": "Lambda", "config": {"name": "own", "function": code}}
    root = {"class_name": "Sequential", "config": {"name": "lambdas", "layers": [part]}}
    write_metadata(folder, root)
    with pytest.raises(ValueError, match=r"without code.*Lambda layer 'own'.*TFSMLayer"):
        models.load_keras_model(folder)


def test_a_model_that_is_code_is_refused(folder):
    write_metadata(folder, {"class_name": "Mine", "config": {}})
    with pytest.raises(ValueError, match="class 'Mine', defined in code.*TFSMLayer"):
        models.load_keras_model(folder)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def with_other_layers(path):
    text = saved_models._metadata_type().FromString(path.read_bytes()).objects[0].json
    write_metadata(path.parent, json.loads(text.replace('"units": 3', '"units": 4')))


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("keras_metadata.pb", cut, "keras_metadata.pb is damaged"),
        ("keras_metadata.pb", lambda path: path.write_bytes(b""), "keras_metadata.pb is damaged"),
        ("keras_metadata.pb", with_other_layers, r"\(4, 16\)|\(2, 16\)"),
        ("variables/variables.index", cut, "variables.index', which is cut short or damaged"),
        ("variables/variables.data-00000-of-00001", cut, "cut short or damaged"),
        ("variables/variables.index", pathlib.Path.unlink, "variables.index"),
    ],
)
def test_a_damaged_saved_model_is_refused(folder, file, damage, words):
    damage(folder / file)
    with pytest.raises(ValueError, match=rf"^Expected.*(?:{words})"):
        models.load_keras_model(folder)
