"""I3D: the published names and shapes, parity with plain TensorFlow, and each layout of weights.

`tests/data/i3d_*_sonnet_variables.tsv` list the variables of the published checkpoints: facts read
off the files, not made here.
"""

import json
import math
import re
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from i3d_reference import ENDPOINTS, reference, relative_error
from weight_loading import refused, unchanged

from c3dvis import models
from c3dvis.checkpoints.match import StoredWeight, assign_translated
from c3dvis.models import i3d
from c3dvis.models.i3d import from_keras_port, from_pytorch, keras_name, published_name

DATA = Path(__file__).resolve().parent / "data"
SCOPES = {"rgb": "RGB/inception_i3d/", "flow": "Flow/inception_i3d/", "rgb600": ""}
SMALL = {"width": 0.1, "input_shape": (9, 32, 32, 3), "classes": 5}


def table(which: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published checkpoint's variables."""
    lines = (DATA / f"i3d_{which}_sonnet_variables.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return {name: tuple(int(length) for length in shape.split("x")) for name, shape, _ in rows}


def variables(network: keras.Model) -> dict[str, keras.Variable]:
    """A network's weights under the names of Sonnet, without a scope."""
    sonnet = {"kernel": "w", "bias": "b"}
    return {
        f"{layer.name.replace('.', '/')}/{sonnet.get(weight.name, weight.name)}": weight
        for layer in network.layers
        for weight in layer.weights
    }


def fabricate(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that keep activations of order one, and statistics that are not 0 and 1."""
    draw = np.random.default_rng(seed)
    variables = {}
    for name, shape in shapes.items():
        if name.endswith("/w"):
            value = draw.normal(0, math.sqrt(2 / math.prod(shape[:-1])), shape)
        elif name.endswith("moving_variance"):
            value = draw.uniform(0.5, 2.0, shape)
        else:
            value = draw.normal(0, 0.3, shape)
        variables[name] = value.astype(np.float32)
    return variables


def fabricate_for(network: keras.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """The same for a network of any width."""
    return fabricate({name: tuple(w.shape) for name, w in variables(network).items()}, seed)


def write_checkpoint(prefix: Path, arrays: dict[str, np.ndarray], scope: str = "") -> Path:
    names = [f"{scope}{name}" for name in arrays]
    values = [tf.constant(value) for value in arrays.values()]
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=values,
    )
    return prefix


def assert_parity(network, arrays, clips, endpoints, entering=None, **options):
    """Endpoints against the reference, which is given what enters the network's first layer."""
    expected = reference(arrays, clips * 2 - 1 if entering is None else entering, **options)
    tapped = keras.Model(network.input, [network.get_layer(name).output for name in endpoints])
    for name, end in zip(endpoints, tapped(clips), strict=True):
        assert relative_error(end, expected[name]) < 1e-4, name
        assert np.std(expected[name]) > 1e-4, f"{name} says nothing"


def random_clips(shape, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((2, *shape), dtype=np.float32)


# A small network, built once; each test has it with the weights that it began with.


@pytest.fixture(scope="module")
def small():
    network = models.I3D(**SMALL)
    return network, network.get_weights()


@pytest.fixture
def network(small):
    network, weights = small
    network.set_weights(weights)
    return network


# Names, shapes, counts.


@pytest.fixture(scope="module")
def full():
    return models.I3D()


def assert_same_table(network, which):
    published = {
        name.removeprefix(SCOPES[which]): shape[-1:] if shape[:4] == (1,) * 4 else shape
        for name, shape in table(which).items()
        if not name.endswith("/Momentum")
    }
    assert {name: tuple(weight.shape) for name, weight in variables(network).items()} == published


def test_the_rgb_network_is_the_published_one(full):
    assert_same_table(full, "rgb")
    assert full.count_params() == 12_704_544
    shapes = {name: full.get_layer(name).output.shape[1:] for name in ENDPOINTS}
    assert shapes == ENDPOINTS
    assert full.get_layer("Logits.AvgPool3D").pool_size == (2, 7, 7)
    assert full.get_layer("Logits.AvgPool3D").output.shape[1:4] == (7, 1, 1)


@pytest.mark.parametrize(
    "which, arguments", [("flow", {"modality": "flow"}), ("rgb600", {"classes": 600})]
)
def test_the_other_networks_are_the_published_ones(which, arguments):
    assert_same_table(models.I3D(**arguments), which)


def test_parameters_as_the_comparison_with_convlstm_counts_them():
    """PyTorch counts what is trained, a gamma each channel too, and no running statistics."""
    network = models.I3D(classes=174, gamma=True)
    assert sum(math.prod(weight.shape) for weight in network.trainable_weights) == 12_465_614


@pytest.mark.parametrize("which", SCOPES)
def test_names_translate_there_and_back(which):
    for name in table(which):
        layer = keras_name(name)
        assert "/" not in layer
        assert published_name(layer) == name


def test_units_end_in_a_relu_of_their_name(network):
    name = "Mixed_5b.Branch_2.Conv3d_0a_3x3"  # the irregular one
    assert isinstance(network.get_layer(name), keras.layers.ReLU)
    assert network.get_layer(name).input is network.get_layer(f"{name}.batch_norm").output
    assert network.get_layer(f"{name}.batch_norm").epsilon == 1e-3
    assert network.get_layer(f"{name}.conv_3d").kernel.shape == (3, 3, 3, 3, 13)


# Parity.


def test_parity_of_the_full_network(tmp_path):
    """One checkpoint with the published names and shapes, read by both."""
    arrays = fabricate(table("rgb"))
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    network = models.I3D(input_shape=(10, 40, 36, 3))
    report = models.load_weights(network, prefix)
    assert (report.assigned, report.total) == (230, 230)
    assert not report.missing and not report.unused
    assert str(report) == "TensorFlow 1 checkpoint: 230 of 230 weights assigned"
    bare = {name.removeprefix(SCOPES["rgb"]): value for name, value in arrays.items()}
    endpoints = ["Conv3d_1a_7x7", "Mixed_4d", "Mixed_5c", "Logits", "Predictions"]
    assert_parity(network, bare, random_clips((10, 40, 36, 3)), endpoints)


@pytest.mark.parametrize(
    "shape",
    [
        (9, 33, 47, 3),  # odd lengths everywhere: SAME pads one side more than the other
        (10, 64, 50, 3),
        (17, 32, 48, 3),
        (7, 45, 32, 3),
        (8, 31, 33, 3),  # one time step left: the head's pool is one step long
        (1, 16, 16, 3),
    ],
)
def test_parity_at_other_sizes(shape, tmp_path):
    network = models.I3D(width=0.1, input_shape=shape, classes=7)
    arrays = fabricate_for(network)
    models.load_weights(network, write_checkpoint(tmp_path / "model.ckpt", arrays))
    assert_parity(network, arrays, random_clips(shape), ENDPOINTS)


def test_parity_without_strides_in_time(tmp_path):
    network = models.I3D(
        width=0.1, input_shape=(5, 32, 40, 3), classes=7, temporal_strides=(1, 1, 1)
    )
    assert network.get_layer("Mixed_5c").output.shape[1:4] == (5, 1, 2)
    assert network.get_layer("Logits.AvgPool3D").output.shape[1:4] == (4, 1, 1)
    arrays = fabricate_for(network)
    models.load_weights(network, write_checkpoint(tmp_path / "model.ckpt", arrays))
    clips = random_clips((5, 32, 40, 3))
    assert_parity(network, arrays, clips, ENDPOINTS, temporal_strides=(1, 1, 1))


def test_one_stride_in_time_belongs_to_each_of_three_layers():
    network = models.I3D(temporal_strides=(1, 3, 2), width=0.1, input_shape=(12, 32, 32, 3))
    frames = [network.get_layer(name).output.shape[1] for name in ENDPOINTS if "_" in name]
    assert frames == [12] * 7 + [4] * 6 + [2] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "which, arguments", [("rgb", {}), ("flow", {"modality": "flow"}), ("rgb600", {"classes": 600})]
)
def test_parity_of_the_published_tables(which, arguments, tmp_path):
    arrays = fabricate(table(which))
    # All sizes of clips meet the same weights: the largest is tried once.
    size = 224 if which == "rgb" else 64
    shape = (16, size, size, 2 if which == "flow" else 3)
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    network = models.I3D(weights=prefix, input_shape=shape, **arguments)
    entering = random_clips(shape)[:1] * 2 - 1
    clips = entering * 20 if which == "flow" else (entering + 1) / 2
    assert_parity(network, strip(arrays, which), clips, ["Mixed_4d", "Predictions"], entering)


def strip(arrays, which):
    """Without scope and slots, and the vectors of batch normalization as vectors."""
    return {
        name.removeprefix(SCOPES[which]): value.reshape(-1) if "/batch_norm/" in name else value
        for name, value in arrays.items()
        if not name.endswith("/Momentum")
    }


# Input and head.


def test_rgb_becomes_minus_one_to_one(network):
    clip = random_clips((9, 32, 32, 3))
    assert network.get_layer("rgb_input").input is network.input
    np.testing.assert_allclose(network.get_layer("rgb_input")(clip), clip * 2 - 1, atol=1e-6)


def test_flow_is_clipped_at_20_pixels_and_scaled():
    network = models.I3D(**{**SMALL, "input_shape": (9, 32, 32, 2)}, modality="flow")
    assert network.get_layer("flow_input").input is network.input
    flow = np.float32([-50, -20, -5, 0, 10, 20, 21])
    np.testing.assert_allclose(
        network.get_layer("flow_input")(flow), [-1, -1, -0.25, 0, 0.5, 1, 1], atol=1e-7
    )


def test_without_preprocessing_the_input_goes_straight_in(network):
    bare = models.I3D(**SMALL, include_preprocessing=False)
    bare.set_weights(network.get_weights())
    clips = random_clips((9, 32, 32, 3))
    np.testing.assert_allclose(network(clips), bare(clips * 2 - 1), atol=1e-6)
    deep = models.I3D(width=0.1, input_shape=(9, 32, 32, 5), include_preprocessing=False)
    assert deep.input_shape[-1] == 5


def test_the_head_fits_kth():
    network = models.I3D(width=0.1, input_shape=(32, 120, 160, 3), classes=6)
    assert network.get_layer("Logits.AvgPool3D").pool_size == (2, 4, 5)
    assert network.output_shape == (None, 6)


def test_logits_and_no_top():
    network = models.I3D(**SMALL, classifier_activation=None)
    assert network.output is network.get_layer("Logits").output
    headless = models.I3D(include_top=False, width=0.1, input_shape=(None, None, None, 3))
    assert headless.output is headless.get_layer("Mixed_5c").output
    assert headless(random_clips((9, 33, 64, 3))).shape == (2, 2, 2, 2, 102)


def test_any_number_of_frames(network):
    free = models.I3D(**{**SMALL, "input_shape": (None, 32, 32, 3)})
    free.set_weights(network.get_weights())
    clips = random_clips((9, 32, 32, 3))
    np.testing.assert_allclose(free(clips), network(clips), atol=1e-6)
    assert free(random_clips((20, 32, 32, 3))).shape == (2, 5)


def test_options_reach_the_layers():
    network = models.I3D(**SMALL, dropout=0.25, name="mine")
    assert network.name == "mine"
    assert network.get_layer("Logits.Dropout").rate == 0.25
    assert not network.get_layer("Conv3d_1a_7x7.batch_norm").scale
    assert models.I3D(**SMALL, gamma=True).get_layer("Conv3d_1a_7x7.batch_norm").scale


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"modality": "depth"}, "modality to be 'rgb' or 'flow'. Received: modality='depth'"),
        ({"temporal_strides": 2}, "three strides in time.* Received: temporal_strides=2"),
        ({"temporal_strides": (1, 1)}, r"three strides in time.* Received: .*\(1, 1\)"),
        ({"temporal_strides": (2, 0, 2)}, r"1 or more. Received: temporal_strides=\(2, 0, 2\)"),
        ({"input_shape": (16, None, 32, 3)}, "fixed height and width.* Received"),
        ({"input_shape": (16, 32, 32, 2)}, "3 channels for modality='rgb'.* Received"),
        (
            {"input_shape": (16, 32, 32, 3), "modality": "flow"},
            "2 channels for modality='flow'.* Received",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.I3D(**arguments)


# TensorFlow-1 checkpoints.


@pytest.fixture
def arrays(small):
    return fabricate_for(small[0])


@pytest.mark.parametrize(
    "given", ["model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta"]
)
def test_a_checkpoint_is_found_by_its_prefix_and_by_its_files(given, network, arrays, tmp_path):
    write_checkpoint(tmp_path / "model.ckpt", arrays)
    models.load_weights(network, tmp_path / given)
    for name, weight in variables(network).items():
        np.testing.assert_array_equal(weight.numpy(), arrays[name])


@pytest.mark.parametrize("scope", SCOPES.values())
def test_whatever_scope_the_variables_lie_in(scope, network, arrays, tmp_path):
    report = models.load_weights(network, write_checkpoint(tmp_path / "model", arrays, scope))
    assert report.assigned == 230 and not report.notes
    kernel = network.get_layer("Mixed_4d.Branch_1.Conv3d_0b_3x3.conv_3d").kernel
    np.testing.assert_array_equal(
        kernel.numpy(), arrays["Mixed_4d/Branch_1/Conv3d_0b_3x3/conv_3d/w"]
    )


def test_the_layout_of_kinetics_600(network, arrays, tmp_path):
    """Vectors of batch normalization are 1x1x1x1xC, and an optimizer left its slots."""
    trained = ("/w", "/b", "/beta")
    stored = {}
    for name, value in arrays.items():
        stored[name] = value.reshape(1, 1, 1, 1, -1) if "/batch_norm/" in name else value
        if name.endswith(trained):
            stored[f"{name}/Momentum"] = np.full_like(stored[name], 7)
    names = {name for name in table("rgb600")}
    assert set(stored) == names
    stored["global_step"] = np.int64(3)
    report = models.load_weights(network, write_checkpoint(tmp_path / "model.ckpt", stored))
    assert report.assigned == 230
    assert report.notes == ("116 slots of an optimizer left out",)
    for name, weight in variables(network).items():
        np.testing.assert_array_equal(weight.numpy(), arrays[name])


def test_two_shards(network, arrays, tmp_path):
    parts = list(arrays.items())
    first = write_checkpoint(tmp_path / "first", dict(parts[:100]))
    second = write_checkpoint(tmp_path / "second", dict(parts[100:]))
    merged = tmp_path / "model.ckpt"
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(first), str(second)], destination_prefix=str(merged)
    )
    assert models.load_weights(network, merged).assigned == 230
    (tmp_path / "model.ckpt.data-00001-of-00002").unlink()
    refused(network, merged, r"all data files .*Received: model.ckpt.data-00000-of-00002")


def test_without_the_top_a_whole_checkpoint_loads(arrays, tmp_path):
    headless = models.I3D(include_top=False, width=0.1, input_shape=(9, 32, 32, 3))
    report = models.load_weights(headless, write_checkpoint(tmp_path / "model.ckpt", arrays))
    assert (report.assigned, report.total) == (228, 228)
    assert report.unused == (i3d.CLASSIFIER,)


def test_weights_may_be_given_to_the_builder(arrays, tmp_path):
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays, SCOPES["rgb"])
    network = models.I3D(**SMALL, weights=prefix)
    first = network.get_layer("Conv3d_1a_7x7.conv_3d").kernel.numpy()
    np.testing.assert_array_equal(first, arrays["Conv3d_1a_7x7/conv_3d/w"])


def test_a_name_too_many_is_refused(network, arrays, tmp_path):
    arrays["Mixed_9z/conv_3d/w"] = np.zeros(3, np.float32)
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    refused(network, prefix, r"without \(none\), and with Mixed_9z/conv_3d/w besides")


def test_names_that_do_not_match_are_listed(network, arrays, tmp_path):
    del arrays["Mixed_4c/Branch_0/Conv3d_0a_1x1/batch_norm/beta"]
    arrays["Mixed_9z/conv_3d/w"] = np.zeros(3, np.float32)
    text = refused(
        network, write_checkpoint(tmp_path / "model.ckpt", arrays, "RGB/inception_i3d/"), "besides"
    )
    assert "without Mixed_4c.Branch_0.Conv3d_0a_1x1.batch_norm/beta, and" in text
    assert "with RGB/inception_i3d/Mixed_9z/conv_3d/w besides" in text


def test_a_checkpoint_of_something_else_is_refused(network, arrays, tmp_path):
    other = {f"resnet/layer{n}/w": np.ones(2, np.float32) for n in range(9)}
    text = refused(network, write_checkpoint(tmp_path / "other", other), "for each weight of")
    assert "Conv3d_1a_7x7.conv_3d/kernel" in text and "(230 in all)" in text
    assert "resnet/layer0/w" in text and "(9 in all)" in text
    c3d = models.C3D(width=0.02, input_shape=(16, 16, 16, 3), classes=4)
    text = refused(c3d, write_checkpoint(tmp_path / "model.ckpt", arrays), "without conv1/kernel")
    assert "Conv3d_1a_7x7/batch_norm/beta" in text


def test_two_networks_in_one_checkpoint_are_refused(network, arrays, tmp_path):
    both = {f"RGB/{name}": value for name, value in arrays.items()}
    both |= {f"Flow/{name}": value for name, value in arrays.items()}
    refused(network, write_checkpoint(tmp_path / "model.ckpt", both), "'Flow/' and 'RGB/'")


def test_shapes_that_do_not_fit_are_refused(arrays, tmp_path):
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    other = models.I3D(**{**SMALL, "classes": 6})
    refused(other, prefix, r"Expected shape \(1, 1, 1, 102, 6\) for the kernel of layer 'Logits")
    flow = models.I3D(**{**SMALL, "input_shape": (9, 32, 32, 2)}, modality="flow")
    refused(flow, prefix, r"Expected shape \(7, 7, 7, 2, 6\) .* Received: \(7, 7, 7, 3, 6\)")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(wrong, network, arrays, tmp_path):
    # The last in the order of assignment: nothing before it may have been assigned.
    arrays["Logits/Conv3d_0c_1x1/conv_3d/b"][2] = wrong
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    refused(network, prefix, f"1 NaN or infinite of 5 values in layer '{i3d.CLASSIFIER}'")


def test_a_shard_that_is_cut_short_is_refused(network, arrays, tmp_path):
    """Even where the cut takes nothing that is read: TensorFlow does not notice that."""
    last = f"{max(arrays)}/Momentum"
    arrays[last] = np.zeros_like(arrays[max(arrays)])
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    models.load_weights(network, prefix)
    shard = tmp_path / "model.ckpt.data-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-4])
    reader = tf.train.load_checkpoint(str(prefix))
    for name, value in arrays.items():
        if name != last:
            np.testing.assert_array_equal(reader.get_tensor(name), value)
    size = sum(value.nbytes for value in arrays.values())
    refused(network, prefix, f"Expected {size:,} bytes .*Received: {size - 4:,} bytes")


def test_a_shard_that_is_empty_or_missing_is_refused(network, arrays, tmp_path):
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    shard = tmp_path / "model.ckpt.data-00000-of-00001"
    shard.write_bytes(b"")
    refused(network, prefix, "Received: 0 bytes in model.ckpt.data-00000-of-00001")
    shard.unlink()
    refused(network, prefix, "all data files of the checkpoint .*Received: none")


def test_a_flipped_bit_is_refused(network, arrays, tmp_path):
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    shard = tmp_path / "model.ckpt.data-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    refused(network, prefix, "cut short or damaged .*Checksum does not match")


@pytest.mark.parametrize("keep", [0, 10, -5])
def test_an_index_that_is_cut_short_is_refused(keep, network, arrays, tmp_path):
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays)
    index = tmp_path / "model.ckpt.index"
    index.write_bytes(index.read_bytes()[:keep])
    refused(network, prefix, "Received: '.*model.ckpt.index', which is cut short or damaged")
    index.unlink()
    refused(
        network, prefix, "Expected '.*model.ckpt.index', the index .*Received: its data files only"
    )


def test_another_file_beside_a_checkpoint_is_not_taken_for_it(network, arrays, tmp_path):
    write_checkpoint(tmp_path / "model.ckpt", arrays)
    (tmp_path / "model.ckpt").write_text("<html>")
    refused(network, tmp_path / "model.ckpt", "is it a web page")


def test_a_prefix_without_files_is_refused(network, tmp_path):
    refused(network, tmp_path / "model.ckpt", "does not exist")
    refused(network, tmp_path / "no" / "folder" / "model.ckpt", "does not exist")
    (tmp_path / "model.ckpt.data-00000-of-00001.tmp").write_bytes(b"half a download")
    refused(network, tmp_path / "model.ckpt", "does not exist")


# The ports.


def keras_port_name(published: str) -> str:
    """The rule of the Keras port, spelled out from its files: `Mixed_3b/Branch_1/Conv3d_0b_3x3`
    is `Conv3d_3b_1b_3x3`; the kernel sizes stay, and the irregular name is mended."""
    if published.startswith("Logits/"):
        return "Conv3d_6a_1x1"
    if "/" not in published:
        return published
    block, branch, unit = published.split("/")
    letter = unit.split("_")[1][1]
    if (block, branch, letter) == ("Mixed_5b", "Branch_2", "a") and unit.endswith("3x3"):
        letter = "b"
    return f"Conv3d_{block[6:]}_{branch[7:]}{letter}_{unit[-3:]}"


def pytorch_key(published: str) -> str:
    """The rule of the PyTorch port: `Mixed_3b/Branch_1/Conv3d_0b_3x3` is `Mixed_3b.b1b`."""
    if published.startswith("Logits/"):
        return "logits"
    if "/" not in published:
        return published
    place = keras_port_name(published).split("_")[2]
    return f"{published.partition('/')[0]}.b{'0' if place == '0a' else place}"


def write_keras_port(path: Path, arrays: dict[str, np.ndarray], shuffled: bool = True) -> Path:
    """The HDF5 layout of Keras 2; in another order than the network's, which must not matter."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        unit, kind, variable = name.rsplit("/", 2)
        layer = f"{keras_port_name(unit)}_{'conv' if kind == 'conv_3d' else 'bn'}"
        variable = {"w": "kernel", "b": "bias"}.get(variable, variable)
        layers.setdefault(layer, {})[f"{layer}/{variable}:0"] = value
    names = sorted(layers, reverse=shuffled)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in ["input_1", *names]], "S")
        file.attrs["keras_version"] = b"2.0.8"
        file.attrs["backend"] = b"tensorflow"
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for name in names:
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([key.encode() for key in layers[name]], "S")
            for key, value in layers[name].items():
                group[key] = value
    return path


def state_dict(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The PyTorch port's tensors: kernels out first, a gamma of ones, a counter of batches."""
    words = {
        "w": "conv3d.weight",
        "b": "conv3d.bias",
        "beta": "bn.bias",
        "moving_mean": "bn.running_mean",
        "moving_variance": "bn.running_var",
    }
    tensors = {}
    for name, value in arrays.items():
        unit, _, variable = name.rsplit("/", 2)
        key = pytorch_key(unit)
        tensors[f"{key}.{words[variable]}"] = (
            value.transpose(4, 3, 0, 1, 2) if variable == "w" else value
        )
        if variable == "beta":
            tensors[f"{key}.bn.weight"] = np.ones_like(value)
    return tensors


def test_the_names_of_the_ports_are_all_known():
    published = {name.removeprefix(SCOPES["rgb"]) for name in table("rgb")}
    units = {name.rsplit("/", 2)[0] for name in published}
    assert len(units) == 58
    for unit in units:
        kinds = {"conv_3d": "conv"} | ({} if "Logits" in unit else {"batch_norm": "bn"})
        for ours, theirs in kinds.items():
            layer = f"{unit}/{ours}".replace("/", ".")
            assert from_keras_port(f"{keras_port_name(unit)}_{theirs}") == layer
            torch = "conv3d" if ours == "conv_3d" else "bn"
            assert from_pytorch(f"{pytorch_key(unit)}.{torch}.weight") == (layer, "weight")


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("Conv3d_1a_7x7.conv_3d", "Conv3d_1a_7x7_conv"),
        ("Conv3d_1a_7x7.batch_norm", "Conv3d_1a_7x7_bn"),
        ("Mixed_3b.Branch_0.Conv3d_0a_1x1.conv_3d", "Conv3d_3b_0a_1x1_conv"),
        ("Mixed_3b.Branch_1.Conv3d_0b_3x3.conv_3d", "Conv3d_3b_1b_3x3_conv"),
        ("Mixed_3b.Branch_3.Conv3d_0b_1x1.conv_3d", "Conv3d_3b_3b_1x1_conv"),
        ("Mixed_5b.Branch_2.Conv3d_0a_3x3.batch_norm", "Conv3d_5b_2b_3x3_bn"),
        ("Logits.Conv3d_0c_1x1.conv_3d", "Conv3d_6a_1x1_conv"),
        (None, "Conv3d_6a_1x1_bn"),
        (None, "Conv3d_3b_3a_1x1_conv"),  # a pool in the published network
        (None, "Conv3d_3b_1b_3x3"),
        (None, "conv1"),
    ],
)
def test_names_of_the_keras_port(ours, theirs):
    assert from_keras_port(theirs) == ours


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (("Conv3d_1a_7x7.conv_3d", "weight"), "Conv3d_1a_7x7.conv3d.weight"),
        (("Conv3d_1a_7x7.batch_norm", "running_var"), "Conv3d_1a_7x7.bn.running_var"),
        (("Mixed_3b.Branch_0.Conv3d_0a_1x1.conv_3d", "weight"), "Mixed_3b.b0.conv3d.weight"),
        (("Mixed_4f.Branch_1.Conv3d_0a_1x1.batch_norm", "bias"), "Mixed_4f.b1a.bn.bias"),
        (("Mixed_5b.Branch_2.Conv3d_0a_3x3.conv_3d", "weight"), "Mixed_5b.b2b.conv3d.weight"),
        (("Mixed_5c.Branch_2.Conv3d_0b_3x3.conv_3d", "weight"), "Mixed_5c.b2b.conv3d.weight"),
        (("Logits.Conv3d_0c_1x1.conv_3d", "bias"), "logits.conv3d.bias"),
        (None, "Mixed_3b.b3a.conv3d.weight"),
        (None, "logits.bn.weight"),
        (None, "fc.weight"),
        (None, "layer1.0.conv1.0.weight"),
    ],
)
def test_names_of_the_pytorch_port(ours, theirs):
    assert from_pytorch(theirs) == ours


def test_parity_through_the_keras_port(network, arrays, tmp_path):
    report = models.load_weights(network, write_keras_port(tmp_path / "i3d.h5", arrays))
    assert report.assigned == 230 and not report.unused and not report.notes
    assert_parity(network, arrays, random_clips((9, 32, 32, 3)), ["Mixed_4d", "Predictions"])


def test_the_keras_port_without_a_top_warns(network, arrays, tmp_path):
    trunk = {name: value for name, value in arrays.items() if not name.startswith("Logits")}
    path = write_keras_port(tmp_path / "i3d_no_top.h5", trunk)
    with pytest.warns(UserWarning, match=re.escape(f"{i3d.CLASSIFIER} (not in the file)")):
        assert models.load_weights(network, path).missing == (i3d.CLASSIFIER,)
    headless = models.I3D(include_top=False, width=0.1, input_shape=(9, 32, 32, 3))
    assert models.load_weights(headless, path).assigned == 228


def test_a_hole_in_the_keras_port_is_refused(network, arrays, tmp_path):
    arrays = {name: value for name, value in arrays.items() if "Mixed_3c/Branch_1" not in name}
    path = write_keras_port(tmp_path / "i3d.h5", arrays)
    refused(network, path, "without Mixed_3c.Branch_1.Conv3d_0a_1x1.conv_3d")


@pytest.fixture
def load_state_dict(monkeypatch, tmp_path):
    """Loads tensors by way of a safetensors file: a header in JSON, then the bytes."""
    entry = models.Entry(name="i3d", module="c3dvis.models.i3d", builder="I3D")
    monkeypatch.setattr("c3dvis.models.table.NETWORKS", (entry,))

    def load(network, tensors):
        header, data = {}, b""
        for key, value in tensors.items():
            offsets = [len(data), len(data) + value.nbytes]
            header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": offsets}
            data += np.ascontiguousarray(value).tobytes()
        text = json.dumps(header).encode()
        path = tmp_path / "i3d.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return models.load_weights(network, path)

    return load


def test_parity_through_the_pytorch_port(network, arrays, load_state_dict):
    report = load_state_dict(network, state_dict(arrays))
    assert report.assigned == 230
    assert report.notes == ("57 gammas left out, all ones",)
    assert_parity(network, arrays, random_clips((9, 32, 32, 3)), ["Mixed_4d", "Predictions"])


def test_gammas_that_are_not_one_need_a_network_that_has_them(network, arrays, load_state_dict):
    tensors = state_dict(arrays)
    tensors["Mixed_4b.b2a.bn.weight"][0] = 1.5
    layer = "Mixed_4b.Branch_2.Conv3d_0a_1x1.batch_norm"
    with unchanged(network), pytest.raises(ValueError, match=f"gamma of ones for layer '{layer}'"):
        load_state_dict(network, tensors)
    scaled = models.I3D(**SMALL, gamma=True)
    assert load_state_dict(scaled, tensors).assigned == 287
    assert scaled.get_layer(layer).gamma.numpy()[0] == 1.5


def test_a_tensor_too_many_or_too_few_is_refused(network, arrays, load_state_dict):
    tensors = state_dict(arrays)
    with unchanged(network), pytest.raises(ValueError, match=r"without \(none\), and with extra.x"):
        load_state_dict(network, {**tensors, "extra.x": np.ones(2, np.float32)})
    del tensors["Mixed_4b.b2a.conv3d.weight"]
    layer = "Mixed_4b.Branch_2.Conv3d_0a_1x1.conv_3d"
    with unchanged(network), pytest.raises(ValueError, match=rf"without {layer}/kernel, .*\(none"):
        load_state_dict(network, tensors)


def test_two_tensors_for_one_weight_are_refused(network, arrays):
    def place(name):
        return ("Conv3d_1a_7x7.conv_3d", "kernel")

    twice = [StoredWeight(name, (1,), lambda: np.zeros(1)) for name in ("a", "b")]
    with unchanged(network), pytest.raises(ValueError, match="with 'a' and 'b' for the same"):
        assign_translated(network, "x", "any", twice, place, classifier="none")
