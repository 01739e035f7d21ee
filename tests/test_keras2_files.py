"""Whole models of Keras 1 and 2, written here as those wrote them, compute what they did."""

import json
import pickle
import warnings

import h5py
import keras
import numpy as np
import pytest

from c3dvis import models

CLIP = (4, 6, 6, 3)
K = keras.layers


def write(path, config, layers, version="2.11.0"):
    """A whole model: its configuration, and the arrays of each layer by name."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([name.encode() for name in layers], "S")
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        for name, values in layers.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = np.array([f"w{n}:0".encode() for n in range(len(values))])
            for number, value in enumerate(values):
                own[f"w{number}:0"] = value
    return path


def part(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, "trainable": True, **config}}


def sequential(*parts):
    return {"class_name": "Sequential", "config": {"name": "old", "layers": list(parts)}}


RECURRENT = {"return_sequences": False, "time_major": False, "unroll": False, "implementation": 2}


def arrays(*layers, seed=0):
    """Builds layers of Keras 3 in a row, with random weights: the network and its arrays."""
    network = keras.Sequential([keras.Input(CLIP), *layers])
    draw = np.random.default_rng(seed)
    network.set_weights([draw.normal(0, 0.6, w.shape) for w in network.get_weights()])
    return network, {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def assert_computes_the_same(old, new):
    clips = np.random.default_rng(1).random((2, *CLIP), np.float32)
    np.testing.assert_allclose(np.asarray(old(clips)), np.asarray(new(clips)), atol=1e-6)


def test_conv3d_of_a_sequential_without_input_layer(tmp_path):
    new, weights = arrays(
        K.Conv3D(2, 3, name="a"), K.SpatialDropout3D(0.5), K.Flatten(), K.Dense(2, name="b")
    )
    config = sequential(
        part("Conv3D", "a", batch_input_shape=[None, *CLIP], filters=2, kernel_size=[3, 3, 3]),
        part("SpatialDropout3D", "drop", rate=0.5, noise_shape=None, seed=None),
        part("Flatten", "flat", data_format="channels_last"),
        part("Dense", "b", units=2, kernel_initializer={"class_name": "Mine", "config": {}}),
    )
    path = write(tmp_path / "old.h5", config, weights, "2.2.4-tf")
    assert_computes_the_same(models.load_keras_model(path), new)


def test_keras_1_names_and_a_list_of_layers(tmp_path):
    new, weights = arrays(
        K.Conv3D(2, 2, padding="same", name="a"), K.Flatten(), K.Dense(2, name="b")
    )
    conv = {"nb_filter": 2, "kernel_dim1": 2, "kernel_dim2": 2, "kernel_dim3": 2}
    conv |= {"border_mode": "same", "dim_ordering": "tf", "subsample": [1, 1, 1], "bias": True}
    conv |= {"init": "glorot_uniform", "W_regularizer": None, "batch_input_shape": [None, *CLIP]}
    config = sequential(
        part("Convolution3D", "a", **conv), part("Flatten", "f"), part("Dense", "b", output_dim=2)
    )
    config["config"] = config["config"]["layers"]
    path = write(tmp_path / "old.h5", config, weights, None)
    assert_computes_the_same(models.load_keras_model(path), new)


@pytest.mark.parametrize("said", [{"recurrent_activation": "hard_sigmoid"}, {}])
def test_convlstm_keeps_its_hard_sigmoid(tmp_path, said):
    cell = K.ConvLSTM2D(2, 3, name="a", recurrent_activation=models.keras2_hard_sigmoid)
    new, weights = arrays(cell)
    shape = {"batch_input_shape": [None, *CLIP], "filters": 2, "kernel_size": [3, 3]}
    config = sequential(part("ConvLSTM2D", "a", **shape, **RECURRENT, **said))
    old = models.load_keras_model(write(tmp_path / "old.h5", config, weights))
    assert_computes_the_same(old, new)
    old.save(tmp_path / "new.keras")
    assert_computes_the_same(models.load_keras_model(tmp_path / "new.keras"), new)


def test_lstm_of_keras_1_by_hand(tmp_path):
    """Twelve arrays, gate by gate in the order input, cell, forget, output."""
    draw = np.random.default_rng(0)
    shapes = [(18 * 6, 2), (2, 2), (2,)] * 4
    gates = [draw.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]
    config = sequential(
        part("Reshape", "r", batch_input_shape=[None, *CLIP], target_shape=[4, 18 * 6]),
        part("LSTM", "a", output_dim=2, inner_activation="hard_sigmoid", consume_less="cpu"),
    )
    old = models.load_keras_model(write(tmp_path / "old.h5", config, {"a": gates}, "1.2.2"))
    clip = draw.random((1, *CLIP), np.float32)
    state, memory = np.zeros((1, 2)), np.zeros((1, 2))
    for x in clip.reshape(4, 1, -1):
        i, c, f, o = (x @ gates[n] + state @ gates[n + 1] + gates[n + 2] for n in (0, 3, 6, 9))
        i, f, o = (np.clip(0.2 * gate + 0.5, 0, 1) for gate in (i, f, o))
        memory = f * memory + i * np.tanh(c)
        state = o * np.tanh(memory)
    np.testing.assert_allclose(np.asarray(old(clip)), state, atol=1e-5)


def test_wrappers_without_modules(tmp_path):
    frames = K.TimeDistributed(K.Conv2D(2, 3), name="t")
    both = K.Bidirectional(K.GRU(2, reset_after=False), name="b")
    new, weights = arrays(frames, K.TimeDistributed(K.Flatten()), both)
    conv = part("Conv2D", "c", filters=2, kernel_size=[3, 3], groups=1)
    gru = part("GRU", "g", units=2, recurrent_activation="sigmoid", **RECURRENT)
    config = sequential(
        part("TimeDistributed", "t", layer=conv, batch_input_shape=[None, *CLIP]),
        part("TimeDistributed", "u", layer=part("Flatten", "f")),
        part("Bidirectional", "b", layer=gru, merge_mode="concat"),
    )
    path = write(tmp_path / "old.h5", config, weights)
    assert_computes_the_same(models.load_keras_model(path), new)


def test_a_functional_model_inside_another_counts_its_calls_from_one(tmp_path):
    new, weights = arrays(K.Conv3D(2, 3, name="inner"))
    shape = [None, *CLIP]
    node = [[["in", 0, 0, {}]]]
    layers = [
        part("InputLayer", "in", batch_input_shape=shape) | {"name": "in", "inbound_nodes": []},
        part("Conv3D", "c", filters=2, kernel_size=[3, 3, 3])
        | {"name": "c", "inbound_nodes": node},
    ]
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [["c", 0, 0]]}
    inner = {"class_name": "Model", "config": {"name": "inner", "layers": layers, **ends}}
    outer = [layers[0], inner | {"name": "inner", "inbound_nodes": node}]
    outer.append(part("Activation", "a", activation="linear") | {"name": "a"})
    outer[2]["inbound_nodes"] = [[["inner", 1, 0, {}]]]
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [["a", 0, 0]]}
    config = {"class_name": "Model", "config": {"name": "outer", "layers": outer, **ends}}
    path = write(tmp_path / "old.h5", config, weights, "2.3.1")
    assert_computes_the_same(models.load_keras_model(path), new)


@pytest.mark.parametrize(
    "layer, message",
    [
        (part("LSTM", "a", units=2, time_major=True), "of Keras 2.11.0, whose LSTM 'a' has time_m"),
        (part("Mine", "a"), "class 'Mine', .*register it with keras.saving"),
        (part("TFOpLambda", "a", function="math.add"), "operation of TensorFlow, 'math.add'"),
        (part("Dense", "a", units="many"), "Keras opens in safe mode. Received: .*Keras 2.11.0"),
        ({"class_name": ["Dense"], "config": 3}, "Keras opens in safe mode"),
        (part("Lambda", "a", function=["4wE=", None, None]), "Lambda layer 'a', which is code"),
    ],
)
def test_what_keras_3_lacks_is_refused_by_name(tmp_path, layer, message):
    path = write(tmp_path / "old.h5", sequential(layer), {})
    with pytest.raises(ValueError, match=message) as refusal:
        models.load_keras_model(path)
    assert "\n" not in str(refusal.value)
    assert ("register it" in str(refusal.value)) == (layer["class_name"] == "Mine")


def test_arrays_of_no_numbers_are_refused_unread(tmp_path):
    config = sequential(part("Dense", "a", units=2, batch_input_shape=[None, 3]))
    values = [np.zeros((3, 2), np.complex64), np.zeros(2, np.float32)]
    for version in ("2.11.0", "3.5.0"):
        path = write(tmp_path / "old.h5", config, {"a": values}, version)
        with pytest.raises(ValueError, match="Expected numbers in .* Received: complex64"):
            models.load_keras_model(path)


@pytest.mark.parametrize("activation", ["hard_sigmoid", "sigmoid"])
def test_weights_alone_warn_of_another_hard_sigmoid(tmp_path, activation):
    new, weights = arrays(K.ConvLSTM2D(2, 3, name="a", recurrent_activation=activation))
    path = write(tmp_path / "old.h5", None, weights)
    with h5py.File(path, "a") as file:
        del file.attrs["model_config"]
    with pytest.warns(UserWarning, match="Keras 2.11.0 may have trained .* now: a; if so, build"):
        models.load_weights(new, path)
    right = K.ConvLSTM2D(2, 3, name="a", recurrent_activation=models.keras2_hard_sigmoid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.load_weights(arrays(right)[0], path)


def test_weights_of_other_layers_are_refused_with_their_names_and_no_advice_on_c3d(tmp_path):
    path = tmp_path / "other.weights.h5"
    arrays(K.Conv3D(2, 3, name="stem"), K.BatchNormalization(name="bn"))[0].save_weights(path)
    with pytest.raises(ValueError, match="with layers bn, stem; no name matches") as refusal:
        models.load_weights(arrays(K.Flatten(), K.Dense(2, name="fc"))[0], path)
    assert "C3D" not in str(refusal.value) and "<" not in str(refusal.value)


def test_a_long_pickle_of_other_things_is_called_that(tmp_path):
    path = tmp_path / "other.ckpt"
    path.write_bytes(pickle.dumps({"text": "a" * (17 * 2**20)}))
    with pytest.raises(ValueError, match="a pickle that torch.save did not write, of other things"):
        models.load_weights(arrays(K.Flatten(), K.Dense(2))[0], path)
