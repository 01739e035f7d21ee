"""Weight files of every layout load; every faulty file is refused and changes nothing."""

import json
import subprocess
import sys
import warnings
import zipfile

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from keras.src.saving import serialization_lib
from weight_loading import assert_same, refused, unchanged

from c3dvis import models
from c3dvis.checkpoints.load import FORMATS
from c3dvis.text import in_short

SMALL = {"width": 0.02, "input_shape": (16, 16, 16, 3), "classes": 4}
CONVOLUTIONS = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")
WEIGHTED = (*CONVOLUTIONS, "fc6", "fc7", "fc8")


@pytest.fixture
def source():
    """A network with weights that no initializer leaves."""
    return randomize(models.C3D(**SMALL), seed=0)


@pytest.fixture
def target():
    return randomize(models.C3D(**SMALL), seed=1)


def randomize(network, seed):
    draw = np.random.default_rng(seed)
    network.set_weights(
        [draw.normal(0, 0.3, value.shape).astype(np.float32) for value in network.get_weights()]
    )
    return network


# The layouts of HDF5 weight files, as they are found.


def write_h5(path, network, layout="keras1", *, rename=None, change=None, leave_out=()):
    """Fabricates a weight file.

    keras1: attributes at the root and `conv1_W:0` in each group, no keras_version.
    bare: the same groups and datasets without any attribute.
    keras2: nested `conv1/kernel:0`, with keras_version and backend.
    model: as keras2, in a group `model_weights` beside a `model_config`.
    nested-bare: the datasets of keras2 without any attribute.
    split: as keras2, with layer_names in two parts, as Keras splits long lists.
    """
    rename = rename or {}
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if layout == "model" else file
        if layout == "model":
            file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": {}}).encode()
        names = []
        for layer in network.layers:
            if layer.name in leave_out or layer.name in ("clip", "caffe_input"):
                continue
            name = rename.get(layer.name, layer.name)
            group = root.create_group(name)
            names.append(name.encode())
            stored = weight_names(layer, name, layout)
            if "bare" not in layout:
                group.attrs["weight_names"] = np.array([key.encode() for key in stored], "S")
            for key, value in zip(stored, layer.get_weights(), strict=True):
                group[key] = change(layer.name, key, value) if change else value
        if layout == "split":
            root.attrs["layer_names0"] = np.array(names[:5], "S")
            root.attrs["layer_names1"] = np.array(names[5:], "S")
        elif "bare" not in layout:
            root.attrs["layer_names"] = np.array(names, "S")
        if layout in ("keras2", "model", "split"):
            root.attrs["keras_version"] = b"2.2.4"
            root.attrs["backend"] = b"tensorflow"
    return path


def weight_names(layer, name, layout):
    if layout in ("keras1", "bare"):
        return [f"{name}_{'W' if weight.name == 'kernel' else 'b'}:0" for weight in layer.weights]
    return [f"{name}/{weight.name}:0" for weight in layer.weights]


LAYOUTS = ("keras1", "bare", "keras2", "model", "nested-bare", "split")
PADDING = {"zeropad5": "zero_padding3d_2"}
OTHER_CONVOLUTIONS = {name: f"convolution3d_{n}" for n, name in enumerate(CONVOLUTIONS, 1)}
DENSE = {"fc6": "dense_1", "fc7": "dense_2", "fc8": "dense_3"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "rename", [{}, PADDING, PADDING | DENSE, PADDING | OTHER_CONVOLUTIONS | DENSE]
)
def test_every_layout_loads(tmp_path, source, target, layout, rename):
    write_h5(tmp_path / "weights.h5", source, layout, rename=rename)
    report = models.load_weights(target, tmp_path / "weights.h5")
    assert (report.assigned, report.total) == (22, 22)
    assert report.unused == report.missing == ()
    by_order = any("matched by order" in note for note in report.notes)
    assert by_order == ("fc6" in rename)
    assert_same(source, target)


def test_eleven_numbered_layers_without_a_list_are_taken_in_natural_order(tmp_path):
    names = [f"layer_{n}" for n in range(1, 12)]

    def stack(called):
        return keras.Sequential(
            [keras.Input((2,)), *(keras.layers.Dense(2, name=name) for name in called)]
        )

    source = randomize(stack(names), 0)
    loaded = randomize(stack([name.replace("layer", "dense") for name in names]), 1)
    write_h5(tmp_path / "weights.h5", source, "bare")
    models.load_weights(loaded, tmp_path / "weights.h5")
    assert_same(source, loaded)


def test_weights_that_are_not_listed_are_matched_by_the_whole_of_their_names(tmp_path):
    """`recurrent_kernel` ends as `kernel` does, and the natural order is not Keras's."""

    def build():
        return keras.Sequential(
            [keras.Input((4, 8, 8, 3)), keras.layers.ConvLSTM2D(2, 3, name="recurrent")]
        )

    source, loaded = randomize(build(), 0), randomize(build(), 1)
    write_h5(tmp_path / "weights.h5", source, "nested-bare")
    with pytest.warns(UserWarning, match="hard_sigmoid"):
        assert models.load_weights(loaded, tmp_path / "weights.h5").assigned == 3
    assert_same(source, loaded)


def test_where_only_some_names_agree_the_others_are_not_guessed(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source, rename={"fc7": "extra"}, leave_out=("fc8",))
    fc7 = target.get_layer("fc7").get_weights()[0]
    with pytest.warns(UserWarning, match="fc7 .not in the file., fc8 .not in the file"):
        report = models.load_weights(target, tmp_path / "weights.h5")
    assert (report.missing, report.unused) == (("fc7", "fc8"), ("extra",))
    np.testing.assert_array_equal(target.get_layer("fc7").get_weights()[0], fc7)


def test_a_file_without_suffix_in_the_working_folder_is_a_path(tmp_path, source, monkeypatch):
    write_h5(tmp_path / "download", source)
    monkeypatch.chdir(tmp_path)
    assert_same(models.C3D(**SMALL, weights="download"), source)


def test_the_report_tells_what_happened(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source, "keras2", rename=DENSE)
    report = models.load_weights(target, tmp_path / "weights.h5")
    assert report == models.LoadReport(
        "HDF5 of Keras 2.2.4",
        22,
        22,
        notes=("matched by order, as the names differ: dense_1, dense_2, dense_3",),
    )
    assert str(report).startswith("HDF5 of Keras 2.2.4: 22 of 22 weights assigned; matched by")


def test_layers_beyond_a_network_without_top_are_reported(tmp_path, source):
    bottom = models.C3D(width=0.02, input_shape=(16, 16, 16, 3), include_top=False)
    for layout in ("keras1", "bare"):
        write_h5(tmp_path / "weights.h5", source, layout)
        report = models.load_weights(bottom, tmp_path / "weights.h5")
        assert (report.assigned, report.total, report.unused) == (16, 16, ("fc6", "fc7", "fc8"))
        assert "unused: fc6, fc7, fc8" in str(report)
        randomize(bottom, 5)
    source.save_weights(tmp_path / "source.weights.h5")
    report = models.load_weights(bottom, tmp_path / "source.weights.h5")
    assert (report.assigned, report.unused) == (16, ("fc6", "fc7", "fc8"))
    np.testing.assert_array_equal(
        bottom.get_layer("conv5b").get_weights()[0], source.get_layer("conv5b").get_weights()[0]
    )


def test_batch_normalization_of_keras_1_is_matched_by_its_old_names(tmp_path):
    network = models.C3D(**SMALL, batch_normalization=True)
    source = randomize(network, 0)
    old = {"gamma": "gamma", "beta": "beta"} | {
        "moving_mean": "running_mean",
        "moving_variance": "running_std",
        "kernel": "W",
        "bias": "b",
    }
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for layer in source.layers:
            for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
                file[f"{layer.name}/{layer.name}_{old[weight.name]}"] = value
    loaded = randomize(models.C3D(**SMALL, batch_normalization=True), 1)
    report = models.load_weights(loaded, tmp_path / "weights.h5")
    assert report.assigned == report.total == 10 * 5 + 2
    assert_same(source, loaded)


# Keras 3's own files.


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("under_its_name", [True, False])
def test_keras_3_files_load_whatever_their_name(tmp_path, source, target, suffix, under_its_name):
    path = tmp_path / f"saved{suffix}"
    source.save_weights(path) if suffix == ".weights.h5" else source.save(path)
    if not under_its_name:
        path = path.rename(tmp_path / "download")
    report = models.load_weights(target, path)
    assert report.assigned == report.total == 22
    assert_same(source, target)


def test_weights_of_a_compiled_network_load_into_one_that_is_not(tmp_path, source, target):
    source.compile("adam", "mse")
    source.fit(np.zeros((2, 16, 16, 16, 3)), np.zeros((2, 4)), verbose=0)
    source.save_weights(tmp_path / "trained.weights.h5")
    models.load_weights(target, tmp_path / "trained.weights.h5")
    assert_same(source, target)
    target.compile("adam", "mse")
    target.save_weights(tmp_path / "plain.weights.h5")
    randomize(source, 5)
    models.load_weights(source, tmp_path / "plain.weights.h5")
    assert_same(source, target)


def test_dropout_makes_no_difference_to_what_loads(tmp_path, source):
    source.save_weights(tmp_path / "with.weights.h5")
    without = randomize(models.C3D(**SMALL, dropout=0.0), 1)
    models.load_weights(without, tmp_path / "with.weights.h5")
    assert_same(source, without)
    without.save_weights(tmp_path / "without.weights.h5")
    randomize(source, 5)
    models.load_weights(source, tmp_path / "without.weights.h5")
    assert_same(source, without)


def test_other_layers_and_nested_networks_load(tmp_path):
    def build():
        inner = keras.Sequential(
            [keras.Input((4, 8, 8, 3)), keras.layers.Conv3D(2, 3, name="inside")], name="inner"
        )
        x = inputs = keras.Input((4, 8, 8, 3))
        x = inner(x)
        x = keras.layers.ConvLSTM2D(2, 3, name="recurrent")(x)
        return keras.Model(inputs, keras.layers.Dense(2, name="scores")(x))

    source = randomize(build(), 0)
    source.save_weights(tmp_path / "a.weights.h5")
    source.save(tmp_path / "a.keras")
    source.save(tmp_path / "a.h5")
    for name in ("a.weights.h5", "a.keras", "a.h5"):
        loaded = randomize(build(), 1)
        report = models.load_weights(loaded, tmp_path / name)
        assert report.assigned == report.total == 7
        assert_same(source, loaded)


def test_bfloat16_files_load(tmp_path):
    source = models.C3D(**SMALL)
    keras.config.set_dtype_policy("bfloat16")
    try:
        source = randomize(models.C3D(**SMALL), 0)
    finally:
        keras.config.set_dtype_policy("float32")
    source.save_weights(tmp_path / "half.weights.h5")
    loaded = randomize(models.C3D(**SMALL), 1)
    models.load_weights(loaded, tmp_path / "half.weights.h5")
    np.testing.assert_array_equal(
        loaded.get_weights()[0], source.get_weights()[0].astype(np.float32)
    )


# Whole models.


def test_whole_models_open_in_a_process_that_never_built_one(tmp_path, source):
    suffixes = (".keras", ".h5")
    for suffix in suffixes:
        source.save(tmp_path / f"whole{suffix}")
    clips = np.random.default_rng(0).random((1, 16, 16, 16, 3), dtype=np.float32)
    np.save(tmp_path / "clips.npy", clips)
    code = (
        "import sys, numpy as np; from c3dvis import models; folder = sys.argv[1]\n"
        "clips = np.load(folder + '/clips.npy')\n"
        f"for suffix in {suffixes}:\n"
        "    network = models.load_keras_model(folder + '/whole' + suffix)\n"
        "    np.save(folder + '/scores' + suffix, network.predict(clips, verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=240)
    expected = source.predict(clips, verbose=0)
    for suffix in suffixes:
        scores = np.load(tmp_path / f"scores{suffix}.npy")
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


def with_lambda():
    inputs = keras.Input((4, 8, 8, 3))
    x = keras.layers.Conv3D(2, 3, name="conv")(inputs)
    return keras.Model(inputs, keras.layers.Lambda(lambda y: y * 2, name="evil")(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_is_explained_and_never_run(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"whole{suffix}"
    with_lambda().save(path)
    monkeypatch.setattr(keras.saving, "load_model", None)  # must not even be asked
    with pytest.raises(ValueError, match="Lambda layer 'evil', which is code") as refusal:
        models.load_keras_model(path)
    assert "\n" not in str(refusal.value)


def test_a_lambda_as_an_activation_is_explained(tmp_path):
    clip = keras.Input((2, 4, 4, 3))
    conv = keras.layers.Conv3D(2, 1, activation=lambda y: y * 2, name="own")
    with pytest.warns(UserWarning, match="lambda"):
        keras.Model(clip, conv(clip)).save(tmp_path / "whole.keras")
    with pytest.raises(ValueError, match="a lambda in the layer 'own', which is code"):
        models.load_keras_model(tmp_path / "whole.keras")


def test_a_lambda_of_keras_2_is_explained(tmp_path):
    layer = {
        "class_name": "Lambda",
        "config": {"name": "old", "function": ["4wEAAAA=", None, None], "function_type": "lambda"},
    }
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.create_group("model_weights")
    with pytest.raises(ValueError, match="Lambda layer 'old'"):
        models.load_keras_model(tmp_path / "old.h5")


def test_code_is_refused_even_where_keras_would_run_it(tmp_path):
    with_lambda().save(tmp_path / "whole.keras")
    before = serialization_lib.in_safe_mode()
    keras.config.enable_unsafe_deserialization()
    try:
        assert keras.saving.load_model(tmp_path / "whole.keras").get_layer("evil")
        with pytest.raises(ValueError, match="Lambda layer 'evil'"):
            models.load_keras_model(tmp_path / "whole.keras")
    finally:
        serialization_lib.SafeModeScope(before).__enter__()


@pytest.mark.parametrize(
    "kind, message",
    [
        ("__lambda__", "a Python lambda 'odd'"),
        ("TorchModuleWrapper", "a pickled PyTorch module 'odd'"),
        ("TFSMLayer", "a TensorFlow SavedModel 'odd'"),
    ],
)
def test_other_layers_that_hold_code_are_refused(tmp_path, source, kind, message):
    source.save(tmp_path / "whole.keras")
    odd = {"class_name": kind, "config": {"name": "odd"}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [odd]}}
    rewrite(tmp_path / "whole.keras", {"config.json": json.dumps(config).encode()})
    with pytest.raises(ValueError, match=message):
        models.load_keras_model(tmp_path / "whole.keras")


@keras.saving.register_keras_serializable(package="test_checkpoints")
def halve(x):
    return x / 2


def test_a_lambda_layer_of_a_registered_function_opens(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(halve)]).save(tmp_path / "a.keras")
    network = models.load_keras_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(network(np.ones((1, 4), np.float32)), np.full((1, 4), 0.5))


def rewrite(path, parts):
    """Replaces members of an archive."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()} | parts
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_weights_alone_are_no_model(tmp_path, source):
    write_h5(tmp_path / "weights.h5", source)
    with pytest.raises(ValueError, match="holds weights only; build the network, then use load_w"):
        models.load_keras_model(tmp_path / "weights.h5")


def test_an_unknown_class_is_explained(tmp_path):
    class Mine(keras.layers.Layer):
        def call(self, x):
            return x

    keras.Sequential([keras.Input((4,)), Mine()]).save(tmp_path / "mine.keras")
    with pytest.raises(ValueError, match="register custom classes first.*Mine"):
        models.load_keras_model(tmp_path / "mine.keras")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_whole_model_with_nan_is_refused(tmp_path, source, suffix):
    poison(source, "fc7")
    source.save(tmp_path / f"whole{suffix}")
    with pytest.raises(ValueError, match="1 NaN or infinite of .* in layer 'fc7'"):
        models.load_keras_model(tmp_path / f"whole{suffix}")


def test_a_model_whose_weights_link_outside_is_refused(tmp_path, source):
    """The link is inside the HDF5 file inside the archive."""
    source.save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    with h5py.File(tmp_path / "model.weights.h5", "a") as file:
        del file["layers/conv3d/vars/0"]
        file["layers/conv3d/vars/0"] = h5py.ExternalLink("/etc/passwd", "/x")
    inner = (tmp_path / "model.weights.h5").read_bytes()
    rewrite(tmp_path / "whole.keras", {"model.weights.h5": inner})
    with pytest.raises(ValueError, match="an external link at '/layers/conv3d/vars/0'"):
        models.load_keras_model(tmp_path / "whole.keras")


def test_a_damaged_archive_is_refused(tmp_path, source, target):
    source.save(tmp_path / "whole.keras")
    raw = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "short.keras").write_bytes(raw[: len(raw) // 2])
    refused(target, tmp_path / "short.keras", "zip archive of something else, or cut short")
    at = raw.index(b"model.weights.h5") + 2000  # inside the stored HDF5 file
    (tmp_path / "bad.keras").write_bytes(raw[:at] + bytes(3000) + raw[at + 3000 :])
    refused(target, tmp_path / "bad.keras", "bad.keras'")
    at = raw.rindex(b"PK\x01\x02")  # the last entry of the table of contents
    (tmp_path / "lost.keras").write_bytes(raw[:at] + bytes(4) + raw[at + 4 :])
    refused(target, tmp_path / "lost.keras", "zip archive of something else, or cut short")


# Files that are not what they are called.

WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>Quota exceeded</title></head></html>" * 40


@pytest.mark.parametrize(
    "load", [models.load_weights, lambda _, path: models.load_keras_model(path)]
)
@pytest.mark.parametrize(
    "name, content, message",
    [
        ("page.h5", WEB_PAGE, "is not an HDF5 file; is it a web page\\? It begins with '<!DOCTYPE"),
        ("page.keras", WEB_PAGE, "is it a web page"),
        ("empty.h5", b"", "is empty"),
        ("missing.h5", None, "does not exist"),
        ("noise.h5", bytes(range(128, 256)) * 9, "is not an HDF5 file"),
        ("other.zip", b"PK\x03\x04" + bytes(99), "zip archive of something else"),
    ],
)
def test_files_of_no_known_format_are_refused(tmp_path, target, load, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with unchanged(target), pytest.raises(ValueError, match=message) as refusal:
        load(target, tmp_path / name)
    assert f"{tmp_path / name}" in str(refusal.value)


def test_a_folder_is_refused(tmp_path, target):
    refused(target, tmp_path, "is a folder")


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("layout", ["keras1", "keras3"])
def test_a_truncated_file_is_refused(tmp_path, source, target, part, layout):
    path = tmp_path / "whole.weights.h5"
    source.save_weights(path) if layout == "keras3" else write_h5(path, source, layout)
    raw = path.read_bytes()
    (tmp_path / "short.h5").write_bytes(raw[: int(len(raw) * part)])
    refused(target, tmp_path / "short.h5", "is not an HDF5 file that can be read; is it cut short")


@pytest.mark.parametrize("layout", ["keras1", "keras3"])
def test_a_file_damaged_inside_is_refused(tmp_path, source, target, layout):
    """Zeros over the first half of the structure, behind the superblock."""
    path = tmp_path / "whole.weights.h5"
    source.save_weights(path) if layout == "keras3" else write_h5(path, source, layout)
    raw = path.read_bytes()
    path.write_bytes(raw[:200] + bytes(len(raw) // 2) + raw[200 + len(raw) // 2 :])
    refused(target, path, "whole.weights.h5'")


def test_every_reader_survives_a_path_that_is_no_file(tmp_path):
    for format in FORMATS:
        for path in (tmp_path, tmp_path / "missing"):
            assert not format.recognises(path)


# Files of another network.


def test_names_of_which_none_matches_are_refused_with_both_lists(tmp_path, target):
    other = randomize(
        keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8) for _ in range(9))]), 0
    )
    text = refused(target, write_h5(tmp_path / "other.h5", other, "keras2"), "no name matches")
    assert "conv1, conv2, conv3a, conv3b, conv4a, ..., fc8 (11 in all)" in text
    assert f"{other.layers[0].name}, " in text and "(9 in all)" in text
    other.save_weights(tmp_path / "other.weights.h5")
    text = refused(target, tmp_path / "other.weights.h5", "does not fit")
    assert "conv1, conv2, " in text
    other.save(tmp_path / "other.keras")
    refused(target, tmp_path / "other.keras", "no name matches")


def test_a_file_without_weights_is_refused(tmp_path, target):
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"conv1"], "S")
        file.create_group("conv1").attrs["weight_names"] = np.array([], "S")
    refused(target, tmp_path / "empty.h5", r"with layers \(none\); no name matches")
    with h5py.File(tmp_path / "nothing.h5", "w"):
        pass
    refused(target, tmp_path / "nothing.h5", r"with layers \(none\)")


@pytest.mark.parametrize("layout", ["keras1", "keras3", ".keras"])
def test_another_shape_is_refused_naming_layer_and_shapes(tmp_path, target, layout):
    wrong = randomize(models.C3D(**{**SMALL, "classes": 5}), 0)
    path = tmp_path / ("a.keras" if layout == ".keras" else "a.weights.h5")
    if layout == "keras1":
        write_h5(path, wrong)
    else:
        wrong.save(path) if layout == ".keras" else wrong.save_weights(path)
    text = refused(target, path, r"Expected shape \(82, 4\) for the kernel of layer 'fc8'")
    assert "Received: (82, 5)" in text


def test_a_layer_missing_in_the_middle_is_refused(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source, leave_out=("conv4a",))
    refused(target, tmp_path / "weights.h5", "without conv4a")


def test_a_layer_with_too_few_weights_is_refused(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source, "bare")
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        del file["conv2/conv2_b:0"]
    refused(target, tmp_path / "weights.h5", "Expected 2 weights for layer 'conv2': kernel, bias")


def test_a_listed_weight_that_is_not_there_is_refused(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source)
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        del file["conv2/conv2_b:0"]
    refused(target, tmp_path / "weights.h5", "Expected a dataset 'conv2_b:0'")


def test_weights_that_are_no_numbers_are_refused(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source)
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        del file["conv1/conv1_b:0"]
        file["conv1/conv1_b:0"] = ["a"]
    refused(target, tmp_path / "weights.h5", "Expected numbers in '/conv1/conv1_b:0'")


@pytest.mark.parametrize("layout", ["keras2", "keras3"])
def test_batch_normalization_that_would_be_lost_is_refused(tmp_path, target, layout):
    trained = randomize(models.C3D(**SMALL, batch_normalization=True), 0)
    biased = models.C3D(**SMALL)
    path = tmp_path / "trained.weights.h5"
    if layout == "keras3":
        trained.save_weights(path)
    else:
        write_h5(path, trained, layout)
        with h5py.File(path, "a") as file:  # with biases too, everything the network asks is there
            for layer in biased.layers[:-4]:
                if layer.weights:
                    file[f"{layer.name}/{layer.name}/bias:0"] = layer.get_weights()[1]
                    file[layer.name].attrs["weight_names"] = np.array(
                        [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"], "S"
                    )
    text = refused(target, path, "without batch normalization")
    assert "fold_batch_normalization" in text


@pytest.mark.parametrize("backend", [None, b"theano"])
def test_kernels_in_theanos_manner_are_refused(tmp_path, source, target, backend):
    def transposed(layer, key, value):
        return value.transpose(4, 3, 0, 1, 2) if value.ndim == 5 and backend is None else value

    write_h5(tmp_path / "weights.h5", source, change=transposed)
    if backend:
        with h5py.File(tmp_path / "weights.h5", "a") as file:
            file.attrs["backend"] = backend
    refused(target, tmp_path / "weights.h5", "Kernels in Theano's manner have to be converted")


# Values that are no weights.


def poison(network, name, value=np.nan):
    kernel, bias = network.get_layer(name).get_weights()
    kernel.flat[7] = value
    network.get_layer(name).set_weights([kernel, bias])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", ["keras1", "keras3"])
def test_weights_that_are_not_finite_are_refused_naming_the_layer(
    tmp_path, source, target, value, layout
):
    poison(source, "conv4b", value)
    path = tmp_path / "weights.weights.h5"
    source.save_weights(path) if layout == "keras3" else write_h5(path, source)
    refused(target, path, "1 NaN or infinite of 2700 values in layer 'conv4b'")


def test_numbers_that_float32_cannot_hold_are_refused(tmp_path, source, target):
    def huge(layer, key, value):
        return value.astype(np.float64) * 1e300 if (layer, key) == ("fc7", "fc7_b:0") else value

    write_h5(tmp_path / "weights.h5", source, change=huge)
    refused(target, tmp_path / "weights.h5", "82 NaN or infinite of 82 values in layer 'fc7'")


# Files that reach outside themselves, or claim what they do not hold.


def hostile(kind, file, name, folder):
    shape = file[name].shape
    del file[name]
    if kind == "external link":
        file[name] = h5py.ExternalLink(str(folder / "elsewhere.h5"), "/secret")
    elif kind == "soft link":
        file[name] = h5py.SoftLink("/elsewhere/secret")
    elif kind == "virtual dataset":
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(str(folder / "elsewhere.h5"), "secret", shape)
        file.create_virtual_dataset(name, layout)
    elif kind == "external storage":
        outside = [(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(name, shape, "f4", external=outside)
    else:
        file.create_dataset(name, (2**29,), "f4", chunks=(2**20,))


@pytest.fixture
def no_reading(monkeypatch):
    """Makes any reading of an array fail the test."""

    def read(self, *args, **kwargs):
        raise AssertionError(f"{self.name} was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", read)
    monkeypatch.setattr(h5py.Dataset, "__array__", read)


@pytest.mark.parametrize(
    "kind, message",
    [
        ("external link", "an external link at"),
        ("soft link", "a soft link at"),
        ("virtual dataset", "a virtual dataset at"),
        ("external storage", "external storage at"),
        ("2 GiB", r"a dataset of shape \(536870912,\) \(2,147,483,648 bytes\) at"),
    ],
)
@pytest.mark.parametrize("layout", ["keras1", "model", "keras3"])
def test_hostile_files_are_refused_before_anything_is_read(
    tmp_path, source, target, kind, message, layout, no_reading
):
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["secret"] = np.zeros(3, np.float32)
    path = tmp_path / "weights.weights.h5"
    if layout == "keras3":
        source.save_weights(path)
        name = "layers/conv3d_1/vars/1"
    else:
        write_h5(path, source, layout)
        name = {"keras1": "conv2/conv2_b:0", "model": "model_weights/conv2/conv2/bias:0"}[layout]
    with h5py.File(path, "a") as file:
        hostile(kind, file, name, tmp_path)
    text = refused(target, path, message)
    assert f"'/{name}'" in text and "nothing of it was read" in text


def test_a_whole_model_with_a_claim_of_two_gib_is_refused(tmp_path, source):
    source.save(tmp_path / "whole.h5")
    with h5py.File(tmp_path / "whole.h5", "a") as file:
        hostile("2 GiB", file, "model_weights/conv2/conv2/bias", tmp_path)
    with pytest.raises(ValueError, match=r"a dataset of shape \(536870912,\)"):
        models.load_keras_model(tmp_path / "whole.h5")


@pytest.mark.parametrize(
    "dtype, message",
    [
        ("c8", "Expected numbers in '/layers/conv3d_1/vars/1' of .* Received: complex64"),
        ("S8", r"Expected numbers in .* Received: \|S8"),
        ("S450000000", r"a dataset of shape \(3,\) \(1,350,000,000 bytes\) at"),
        ("S300000000", "Expected numbers in"),
        (h5py.string_dtype(), "Expected numbers in .* Received: object"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_what_is_no_number_is_refused_before_it_is_read(
    tmp_path, source, target, dtype, message, whole, no_reading
):
    """A few megabytes, packed, can be gigabytes of text; a bias of complex numbers would load."""
    path = tmp_path / "weights.weights.h5"
    source.save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/conv3d_1/vars/1"]
        file.create_dataset("layers/conv3d_1/vars/1", (3,), dtype, chunks=(1,))
    if not whole:
        refused(target, path, message)
        return
    source.save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.write(path, "model.weights.h5")
    refused(target, tmp_path / "bad.keras", "Expected numbers in|a dataset of shape")


def test_a_dataset_of_a_type_that_numpy_lacks_is_refused(tmp_path, source, target):
    path = tmp_path / "weights.weights.h5"
    source.save_weights(path)
    with h5py.File(path, "a") as file:
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
    refused(target, path, "a dataset of an unknown type at '/time'")


def test_weights_in_bfloat16_load(tmp_path, source, target):
    path = tmp_path / "weights.weights.h5"
    source.save_weights(path)
    with h5py.File(path, "a") as file:
        value = file["layers/conv3d_1/vars/1"][()].astype(ml_dtypes.bfloat16)
        del file["layers/conv3d_1/vars/1"]
        file["layers/conv3d_1/vars/1"] = value
        file["layers/conv3d_1/vars/1"].attrs["dtype"] = "bfloat16"
    models.load_weights(target, path)
    bias = target.get_layer("conv2").bias.numpy()
    np.testing.assert_array_equal(bias, value.astype(np.float32))


@pytest.mark.parametrize(
    "damage, message",
    [
        ("deflated", "damaged"),
        ("version", "a zip archive of something else, or cut short"),
        ("class", "opens in safe mode"),
        ("deep", "damaged|too deep"),
        ("text", "damaged"),
    ],
)
def test_a_damaged_archive_is_refused_in_one_sentence(tmp_path, source, target, damage, message):
    source.save(tmp_path / "whole.keras")
    path = tmp_path / "bad.keras"
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if damage == "class":
        parts["config.json"] = parts["config.json"].replace(b'"Conv3D"', b'["Conv3D"]')
    elif damage == "deep":
        parts["config.json"] = b'{"config": ' * 5000 + b"1" + b"}" * 5000
    elif damage == "text":
        parts["config.json"] = b"\xff\xfe\xfd"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    if damage == "deflated":
        with zipfile.ZipFile(path) as archive:
            start = archive.getinfo("config.json").header_offset + 30 + len("config.json")
        raw = bytearray(path.read_bytes())
        raw[start : start + 4] = b"\xff\xff\xff\xff"
        path.write_bytes(raw)
    elif damage == "version":
        raw = path.read_bytes()
        at = raw.index(b"PK\1\2") + 6
        path.write_bytes(raw[:at] + b"\xf8" + raw[at + 1 :])
    refused(target, path, message)


@pytest.mark.parametrize("layout", ["keras1", "keras3"])
def test_shapes_are_compared_before_anything_is_read(tmp_path, source, target, layout, no_reading):
    path = tmp_path / "weights.weights.h5"
    source.save_weights(path) if layout == "keras3" else write_h5(path, source)
    name = "layers/conv3d_1/vars/1" if layout == "keras3" else "conv2/conv2_b:0"
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, (10**6,), "f4")
    refused(target, path, r"Expected shape \(3,\) for the bias of layer 'conv2'. Received: \(1000")


def test_a_group_that_holds_itself_ends(tmp_path, source, target):
    write_h5(tmp_path / "weights.h5", source)
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        file["conv1/again"] = file["/"]
    assert models.load_weights(target, tmp_path / "weights.h5").assigned == 22


# Layers that were never converted.


@pytest.mark.parametrize("layout", ["keras1", "keras2"])
def test_a_file_without_fully_connected_layers_warns(tmp_path, source, target, layout):
    write_h5(tmp_path / "weights.h5", source, layout, leave_out=("fc6", "fc7", "fc8"))
    with pytest.warns(UserWarning, match=r"fc6 \(not in the file\), fc7 .*, fc8 ") as warned:
        report = models.load_weights(target, tmp_path / "weights.h5")
    assert "transfers no fully connected layer" in str(warned[0].message)
    assert "permute" in str(warned[0].message)
    assert warned[0].filename == __file__
    assert (report.assigned, report.total) == (16, 22)
    assert report.missing == ("fc6", "fc7", "fc8")
    np.testing.assert_array_equal(
        target.get_layer("conv5b").get_weights()[0], source.get_layer("conv5b").get_weights()[0]
    )


def test_other_names_and_no_fully_connected_layers_warn_too(tmp_path, source, target):
    write_h5(
        tmp_path / "weights.h5", source, rename=OTHER_CONVOLUTIONS, leave_out=("fc6", "fc7", "fc8")
    )
    with pytest.warns(UserWarning, match="not in the file"):
        report = models.load_weights(target, tmp_path / "weights.h5")
    assert report.assigned == 16


def test_fully_connected_layers_of_zeros_warn(tmp_path, source, target):
    def zeros(layer, key, value):
        return value * 0 if layer == "fc7" else value

    write_h5(tmp_path / "weights.h5", source, change=zeros)
    with pytest.warns(UserWarning, match=r": fc7 \(all zeros\)\."):
        models.load_weights(target, tmp_path / "weights.h5")


@pytest.mark.parametrize("layout", ["keras1", "keras3"])
def test_fully_connected_layers_at_initial_scale_warn(tmp_path, source, target, layout):
    keras.utils.set_random_seed(0)  # Of small kernels, some draws are wider than the check allows.
    fresh = models.C3D(**SMALL)
    for name in CONVOLUTIONS:
        fresh.get_layer(name).set_weights(source.get_layer(name).get_weights())
    path = tmp_path / "weights.weights.h5"
    fresh.save_weights(path) if layout == "keras3" else write_h5(path, fresh)
    with pytest.warns(UserWarning, match="fc6 .still at its initial scale.*fc7 .*, fc8 "):
        models.load_weights(target, path)


def test_trained_layers_do_not_warn(tmp_path, target):
    """One step of training is enough: the bias is no longer zero."""
    trained = models.C3D(**SMALL)
    for layer in trained.layers[-6:]:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, bias + 1e-6])
    write_h5(tmp_path / "weights.h5", trained)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.load_weights(target, tmp_path / "weights.h5")


# Networks that cannot take weights, and the small parts.


def test_a_network_that_is_not_built_is_refused(tmp_path, source):
    write_h5(tmp_path / "weights.h5", source)
    with pytest.raises(ValueError, match="Expected a network that has been built"):
        models.load_weights(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "weights.h5")
    with pytest.raises(ValueError, match="Expected a Keras model. Received: str"):
        models.load_weights("c3d", tmp_path / "weights.h5")


def test_names_in_short():
    assert in_short("abc") == "a, b, c"
    assert in_short("abcdefg") == "a, b, c, d, e, f, g"
    assert in_short("abcdefgh") == "a, b, c, d, e, ..., h (8 in all)"
    assert in_short([]) == "(none)"


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["keras1", "keras2"])
def test_the_full_network_in_the_published_layout(tmp_path, layout):
    source = models.C3D()
    for layer in source.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, bias + 0.01])
    path = write_h5(tmp_path / "sports1M_weights_tf.h5", source, layout, rename=PADDING)
    loaded = models.C3D(weights=path)
    assert_same(source, loaded)
    assert models.load_weights(loaded, path).assigned == 22


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_models_inside_with_several_normalizations_get_their_own_weights(tmp_path, renamed, frozen):
    """A residual block with a projection: Keras writes what is trained first, of all its layers."""

    def build(suffix=""):
        x = keras.Input((2, 4, 4, 3))
        main = keras.layers.Conv3D(4, 1, use_bias=False, name=f"main{suffix}")(x)
        short = keras.layers.Conv3D(4, 1, use_bias=False, name=f"short{suffix}")(x)
        main = keras.layers.BatchNormalization(name=f"bn_main{suffix}")(main)
        short = keras.layers.BatchNormalization(name=f"bn_short{suffix}")(short)
        block = keras.Model(x, keras.layers.Add()([main, short]), name="block")
        clip = keras.Input((2, 4, 4, 3))
        return keras.Model(clip, keras.layers.GlobalAveragePooling3D()(block(clip)))

    saved = build()
    rng = np.random.default_rng(0)
    saved.set_weights([rng.uniform(0.3, 1, w.shape).astype("float32") for w in saved.get_weights()])
    saved.get_layer("block").trainable = not frozen
    path = tmp_path / "saved.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's, that the format is an old one
        saved.save(path)
    loaded = build("_2" if renamed else "")
    models.load_weights(loaded, path)
    clip = rng.random((1, 2, 4, 4, 3), np.float32)
    np.testing.assert_allclose(
        loaded.predict(clip, verbose=0), saved.predict(clip, verbose=0), rtol=1e-5
    )
