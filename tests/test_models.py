"""The table of networks: every entry builds, names are checked, nothing heavy loads too early."""

import importlib.util
import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest

from c3dvis import models, motion


@pytest.fixture
def bundled_folder(tmp_path, monkeypatch):
    """A package c3dvis.weights of the test's own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    spec = importlib.util.spec_from_file_location(
        "c3dvis.weights", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "c3dvis.weights", module)
    return folder


def trained_looking(network):
    """Weights that no initializer leaves, so that loading them warns of nothing."""
    draw = np.random.default_rng(0)
    network.set_weights([draw.normal(0, 0.1, value.shape) for value in network.get_weights()])
    return network


# What makes a network quick to build without changing the shapes at its ends. The others are
# small enough as they are.
SLIM = {name: {"width": 0.02} for name in ("c3d", "c3d-motion", "r3d", "mc3", "r2plus1d")}
SLIM |= {"tsm": {"width": 0.125}}
OUTPUTS = {
    "c3d": (None, 487),
    "c3d-motion": (None, 10),
    "r3d": (None, 400),
    "mc3": (None, 400),
    "r2plus1d": (None, 400),
    "tsm": (None, 400),
}
FAMILIES_WITH_PUBLISHED_WEIGHTS = ("c3d", "i3d", "i3d-flow", "r3d", "mc3", "r2plus1d", "tsm")


# Each builder with arguments for a small network, and its layer in the place of preprocessing.
BUILDERS = {
    "c3d": (models.C3D, {"width": 0.02, "input_shape": (16, 16, 16, 3)}, "caffe_input"),
    "i3d": (models.I3D, {"width": 0.02, "input_shape": (9, 32, 32, 3)}, "rgb_input"),
    "i3d-flow": (
        models.I3D,
        {"width": 0.02, "input_shape": (9, 16, 16, 2), "modality": "flow"},
        "flow_input",
    ),
    "convlstm": (models.ConvLSTM, {"input_shape": (4, 24, 24, 3), "filters": (2,)}, None),
    "r3d": (models.R3D, {"width": 0.05, "input_shape": (5, 11, 9, 3)}, "standardize"),
    "mc3": (models.MC3, {"width": 0.05, "input_shape": (5, 11, 9, 3)}, "standardize"),
    "r2plus1d": (models.R2Plus1D, {"width": 0.05, "input_shape": (5, 11, 9, 3)}, "standardize"),
    "tsm": (models.TSM, {"width": 0.125, "input_shape": (3, 21, 26, 3)}, "standardize"),
}
families = pytest.mark.parametrize("family", BUILDERS)
WRONG = (
    ({"input_shape": (64, 128, 128)}, r"\(frames, height, width, channels\)"),
    ({"input_shape": (64, 128, 128, None)}, r"\(frames, height, width, channels\)"),
    ({"input_shape": (0, 128, 128, 3)}, "at least 1"),
    ({"input_shape": (64, "128", 128, 3)}, r"\(frames, height, width, channels\)"),
    ({"input_shape": 64}, r"\(frames, height, width, channels\). Received: input_shape=64"),
    ({"width": 0}, "a width above 0. Received: width=0"),
    ({"width": -1}, "width above 0"),
    ({"width": float("nan")}, "width above 0"),
    ({"width": float("inf")}, "width above 0"),
    ({"width": "small"}, "width above 0. Received: width='small'"),
    ({"classes": 0}, "at least 1 class. Received: classes=0"),
    ({"classes": "10"}, "at least 1 class. Received: classes='10'"),
    ({"classes": 2.5}, "at least 1 class. Received: classes=2.5"),
    ({"dropout": 1.0}, r"in \[0, 1\). Received: dropout=1.0"),
    ({"dropout": None}, r"in \[0, 1\). Received: dropout=None"),
    ({"weights": "no-such-file.pth"}, "does not exist"),
    ({"weights": "i3d-kinetcs"}, "Expected a path of a weight file"),
    ({"weights": [1.0]}, "Expected a path, such as .* Received: list"),
)


@families
def test_builders_refuse_wrong_arguments(family):
    build, small, preprocessing = BUILDERS[family]
    taken = inspect.signature(build).parameters
    wrong = [one for one in WRONG if taken.keys() >= one[0].keys()]
    if preprocessing is not None:
        wrong.append(({"input_shape": (64, 128, 128, 1)}, "Expected [23] channels"))
    assert len(wrong) >= 9
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message) as refused:
            build(**small | arguments)
        assert "Received: " in str(refused.value)


@families
def test_builders_keep_both_ends_precise_under_mixed_precision(family):
    build, small, preprocessing = BUILDERS[family]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build(**small, classes=np.int64(4))  # as labels.max() + 1 is
    finally:
        keras.config.set_dtype_policy("float32")
    convolutions = [layer for layer in network.layers if "Conv" in type(layer).__name__]
    assert convolutions[0].compute_dtype == "bfloat16"
    if preprocessing is not None:
        assert network.get_layer(preprocessing).compute_dtype == "float32"
    clips = np.random.default_rng(0).random((2, *network.input_shape[1:]), np.float32)
    scores = network(clips)
    assert scores.dtype == "float32"
    np.testing.assert_allclose(np.sum(scores, axis=1), 1, atol=1e-5)


@families
def test_a_saved_network_opens_again(family, tmp_path):
    build, small, _ = BUILDERS[family]
    network = trained_looking(build(**small, classes=4))
    network.save(tmp_path / "whole.keras")
    clips = np.random.default_rng(0).random((1, *network.input_shape[1:]), np.float32) * 30 - 15
    again = models.load_keras_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(again(clips), network(clips))
    loaded = build(**small, classes=4, weights=tmp_path / "whole.keras")
    np.testing.assert_array_equal(loaded(clips), network(clips))


@pytest.mark.parametrize("name", models.names())
def test_every_entry_builds(name):
    entry = models.entry(name)
    network = models.build(name, weights=None, **SLIM.get(name, {}))
    frames, height, width, _ = network.input_shape[1:]
    assert entry.shape == network.input_shape[1:]
    assert entry.input.startswith(f"{frames} frames of {height} x {width}")
    assert network.name == name
    assert network.output_shape == OUTPUTS.get(name, network.output_shape)
    assert "https://" in entry.paper and entry.note
    if name not in SLIM:
        assert network.count_params() == entry.parameters
    for layer in entry.layers or ():
        assert len(network.get_layer(layer).output.shape) == 5


def test_the_motion_networks_are_small_enough_to_be_packaged():
    for name in models.names():
        if name.endswith("-motion"):
            assert models.entry(name).parameters * 4 < 2.4e6  # bytes


@pytest.mark.parametrize("name", FAMILIES_WITH_PUBLISHED_WEIGHTS)
def test_published_weights_have_a_source_and_a_licence(name):
    assert "https://" in models.entry(name).source and models.entry(name).licence


def test_default_layers_are_in_network_order():
    for name in ("i3d-motion", "r3d-motion", "tsm-motion"):
        own = [layer.name for layer in models.build(name, weights=None).layers]
        places = [own.index(layer) for layer in models.entry(name).layers]
        assert places == sorted(places) and len(places) > 8


def test_class_names_are_attached_where_they_fit():
    network = models.build("c3d-motion", weights=None)
    assert network.class_names == motion.CLASSES
    assert isinstance(network.class_names, tuple)
    assert models.class_names("c3d") is None
    for other in ({"classes": 9}, {"include_top": False}):
        assert not hasattr(models.build("c3d-motion", weights=None, **other), "class_names")
    assert not hasattr(models.build("c3d", weights=None, width=0.02), "class_names")


def test_arguments_of_the_table_can_be_replaced():
    network = models.build("c3d-motion", weights=None, batch_normalization=True, width=0.02)
    assert network.get_layer("conv1_bn").output.shape[-1] == 1
    assert network.input_shape == (None, 16, 64, 64, 3)


def test_arrays_are_no_weight_file():
    with pytest.raises(ValueError, match="Expected a path, such as .* Received: list"):
        models.build("c3d-motion", weights=[np.zeros(3)])


def test_a_wrong_name_tells_the_nearest():
    with pytest.raises(ValueError, match=r"such as 'c3d-motion'.*Received: 'c3d-motoin'"):
        models.build("c3d-motoin")
    with pytest.raises(ValueError, match="Expected the name of a network, such as 'c3d', "):
        models.build("resnet")
    with pytest.raises(ValueError, match="such as 'c3d-motion'.*Received: 'C3D-Motion'"):
        models.build("C3D-Motion")
    with pytest.raises(ValueError, match="an option of C3D, such as 'classes'.*'num_classes'"):
        models.build("c3d", num_classes=3)
    with pytest.raises(ValueError, match="classes=10, as the weights of 'c3d-motion'.*classes=3"):
        models.build("c3d-motion", classes=3)
    for load in (models.load_keras_model, lambda path: models.load_weights(None, path)):
        with pytest.raises(ValueError, match="Expected a path.*Received: NoneType"):
            load(None)


def test_bundled_weights_are_loaded_by_default(bundled_folder):
    network = trained_looking(models.build("c3d-motion", weights=None))
    network.save_weights(bundled_folder / "c3d-motion.weights.h5")
    again = models.build("c3d-motion")
    for old, new in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    kwargs = models.entry("c3d-motion").kwargs
    by_name = models.C3D(**kwargs, weights="c3d-motion")
    np.testing.assert_array_equal(by_name.get_weights()[0], network.get_weights()[0])


def test_a_network_can_have_a_name_of_its_own():
    assert models.build("c3d-motion", weights=None, width=0.02, name="mine").name == "mine"
    assert models.build("c3d-motion", weights=None, width=0.02).name == "c3d-motion"


def test_bundled_weights_that_do_not_exist_are_refused(bundled_folder):
    with pytest.raises(ValueError, match="that come with the package.*Received: 'c3d-motion'"):
        models.build("c3d-motion")
    (bundled_folder / "c3d-motion.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="such as 'c3d-motion'.*Received: 'c3d-motoin'"):
        models.C3D(width=0.02, weights="c3d-motoin")
    with pytest.raises(ValueError, match="is empty"):
        models.build("c3d-motion")


def test_weights_may_be_a_path(tmp_path):
    network = trained_looking(models.build("c3d-motion", weights=None, width=0.02))
    network.save_weights(tmp_path / "mine.weights.h5")
    again = models.build("c3d-motion", weights=tmp_path / "mine.weights.h5", width=0.02)
    np.testing.assert_array_equal(network.get_weights()[0], again.get_weights()[0])
    with pytest.raises(ValueError, match="Expected shape .* for the kernel of layer 'conv1'"):
        models.build("c3d-motion", weights=tmp_path / "mine.weights.h5", width=0.1)


def test_names_and_wrong_names_load_neither_keras_nor_numpy():
    code = """if True:
        import sys
        from c3dvis import models
        models.names(), dir(models), models.entry("c3d")
        try:
            models.build("resnet")
        except ValueError:
            pass
        print(sorted({"keras", "tensorflow", "numpy", "h5py"} & set(sys.modules)))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", ran.stderr


def test_public_names_exist():
    for name in models.__all__:
        assert getattr(models, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'C2D'"):
        _ = models.C2D
