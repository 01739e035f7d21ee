"""Layers inside wrappers and layers of one's own, and frames folded into the batch."""

import keras
import numpy as np
import pytest
from architectures import bidirectional, factorized_convolutions, folded_frames
from keras import layers as L
from keras import ops

from c3dvis import folding, graph, objectives, rewire
from c3dvis.attribution import attribute
from c3dvis.maximize import maximize, scores
from c3dvis.models import layers

FRAMES, SIDE = 4, 12
SHAPE = (FRAMES, SIDE, SIDE, 3)


def frame_cnn(name="cnn"):
    frame = keras.Input((SIDE, SIDE, 3))
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first")(frame)
    x = L.BatchNormalization(name="norm")(x)
    return keras.Model(frame, L.Conv2D(5, 3, padding="same", name="second")(x), name=name)


def head(x):
    """Class scores of features `(N, T, h, w, C)` that change with the frame."""
    x = L.Flatten()(L.AveragePooling3D((1, 2, 2))(x))
    return L.Dense(3, activation="softmax", name="classes")(x)


def twins() -> list[keras.Model]:
    """One CNN for frames in TimeDistributed, on folded frames, and as 3-D convolutions."""
    keras.utils.set_random_seed(0)
    cnn = frame_cnn()
    cnn.get_layer("norm").set_weights(
        [np.linspace(0.5, 2, 4), np.full(4, 0.1), np.full(4, 0.2), np.full(4, 0.5)]
    )
    clip = keras.Input(SHAPE)
    distributed = keras.Model(clip, head(L.TimeDistributed(cnn, name="frames")(clip)))
    clip = keras.Input(SHAPE)
    x = cnn(ops.reshape(clip, (-1, SIDE, SIDE, 3)))
    folded = keras.Model(clip, head(ops.reshape(x, (-1, FRAMES, *x.shape[1:]))))
    clip = keras.Input(SHAPE)
    x = L.Conv3D(4, (1, 3, 3), (1, 2, 2), padding="same", activation="relu", name="first")(clip)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Conv3D(5, (1, 3, 3), padding="same", name="second")(x)
    volumes = keras.Model(clip, head(x))
    for name in ("first", "second"):
        kernel, bias = cnn.get_layer(name).get_weights()
        volumes.get_layer(name).set_weights([kernel[None], bias])
    volumes.get_layer("norm").set_weights(cnn.get_layer("norm").get_weights())
    for network in (folded, volumes):
        network.get_layer("classes").set_weights(distributed.get_layer("classes").get_weights())
    return [distributed, folded, volumes]


@pytest.fixture(scope="module")
def networks():
    return twins()


@pytest.fixture
def clip():
    return np.random.default_rng(0).random(SHAPE, np.float32)


def test_three_forms_of_one_network_have_one_heatmap(networks, clip):
    objective = objectives.logit(1)
    for method, layer in (("gradient", None), ("grad_cam", "first"), ("grad_cam", "second")):
        options = {} if layer is None else {"layer": layer}
        answers = [attribute(n, clip, objective, method=method, **options) for n in networks]
        heatmaps = [answer.heatmap for answer in answers]
        assert np.ptp(heatmaps[2]) > 0
        for heatmap in heatmaps[:2]:
            scale = np.abs(heatmaps[2]).max()
            np.testing.assert_allclose(heatmap / scale, heatmaps[2] / scale, atol=1e-5)


def test_three_forms_of_one_network_have_the_same_scores_and_layers(networks, clip):
    clips = np.stack([clip, clip[::-1]])
    for objective in (
        objectives.channel("second", range(5)),
        objectives.neuron("second", [0, 3], position=(1, 2, 3)),
        objectives.frame("first", [2], frame=3),
    ):
        each = [scores(network, objective, clips) for network in networks]
        np.testing.assert_allclose(each[0], each[2], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(each[1], each[2], rtol=1e-4, atol=1e-6)
    for network, name in zip(networks, ("frames/second", "cnn/second", "second"), strict=True):
        shapes = {info.name: info.shape for info in layers.describe(network)}
        assert shapes[name] == (FRAMES, 6, 6, 5)


def test_one_neuron_of_folded_frames_sees_its_frame_alone(networks):
    for network in networks[:2]:
        objective = objectives.neuron("first", 1, position=(2, 3, 3))
        start, later = (maximize(network, objective, steps=n, learning_rate=0.3) for n in (1, 3))
        assert later.shape == (1, *SHAPE) and np.isfinite(later).all()
        assert not np.array_equal(start, later)
    gradient = attribute(networks[0], later[0], objective, method="gradient").heatmap
    assert np.flatnonzero(np.abs(gradient).max(axis=(1, 2))).tolist() == [2]


def test_looking_inside_leaves_no_note_on_the_layers_and_computes_the_same():
    for module in (factorized_convolutions, bidirectional):
        network = module.build()
        every = network._flatten_layers()
        notes = [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in every]
        for name in module.LAYERS:
            layers.tap(network, [name])
        again = [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in network._flatten_layers()]
        assert again == notes
        x = np.random.default_rng(0).random((2, *network.input_shape[1:]), np.float32)
        np.testing.assert_allclose(rewire.Shadow(network)(x), network(x), atol=1e-5)


def test_what_is_inside_is_computed_on_the_weights_as_they_are():
    network = factorized_convolutions.build()
    tap = rewire.Shadow(layers.tap(network, ["stem/space"]))
    stem = network.get_layer("stem")
    x = np.random.default_rng(0).random((1, 6, 24, 24, 3), np.float32)
    for _ in range(2):
        np.testing.assert_allclose(tap(x), stem.space(x), atol=1e-5)
        stem.space.set_weights([2 * weight + 1 for weight in stem.space.get_weights()])


@keras.saving.register_keras_serializable("test_reach")
class Gated(L.Layer):
    """A layer inside, used as `how` says."""

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how, self.dense = how, L.Dense(3, name="dense")

    def call(self, clips):
        if self.how == "batch size":
            return self.dense(clips) * float(clips.shape[0] > 0)
        if self.how == "positions":
            return self.dense(clips + ops.linspace(0.0, 1.0, clips.shape[-1]))
        if self.how == "random":
            return self.dense(clips) * float(np.max(ops.convert_to_numpy(clips)))
        kernel = self.dense.weights[0] if self.how == "weights" else self.dense.kernel
        return self.dense(clips) + ops.matmul(clips, ops.stop_gradient(2 * kernel))

    def build(self, shape):
        self.dense.build(shape)

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_that_can_not_be_opened_says_why_and_can_be_read_as_one():
    for how, reason in (("weights", "not read as attributes"), ("random", "can't be followed")):
        clip = keras.Input(SHAPE)
        network = keras.Model(clip, L.GlobalAveragePooling3D()(Gated(how, name="gate")(clip)))
        (info,) = [info for info in layers.describe(network) if info.name == "gate"]
        assert info.reason is None and reason in info.closed and not info.is_open
        with pytest.raises(ValueError, match="inside 'gate' can't be reached: its code"):
            layers.tap(network, ["gate/dense"])
        assert layers.tap(network, ["gate"]).outputs[0].shape == (None, *SHAPE)


def test_numbers_that_are_made_of_no_weights_keep_no_layer_closed():
    """Positions, masks and the like."""
    clip = keras.Input(SHAPE)
    gate = Gated("positions", name="gate")
    network = keras.Model(clip, L.GlobalAveragePooling3D()(gate(clip)))
    tap = layers.tap(network, ["gate/dense"])
    x = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    for weights in ([np.eye(3), np.zeros(3)], [2 * np.eye(3), np.ones(3)]):
        gate.dense.set_weights(weights)
        np.testing.assert_allclose(tap([x]), gate(x), atol=1e-6)


class Uses(L.Layer):
    """Uses weights, positions or the number of clips as `how` says."""

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how, self.dense = how, L.Dense(3, name="dense")
        self.positions = L.Embedding(FRAMES, 3, name="positions")

    def build(self, shape):
        self.own = self.add_weight(shape=(6, 3), initializer="random_normal", name="own")
        self.token = self.add_weight(shape=(1, 1, 3), initializer="random_normal", name="token")
        self.dense.build(shape)
        self.positions.build(None)

    def call(self, clips):
        x = self.dense(clips)
        if self.how == "kernel":  # as its advice says
            return x + ops.matmul(clips, ops.stop_gradient(2 * self.dense.kernel))
        if self.how == "tied":
            return ops.matmul(x, ops.transpose(self.dense.kernel)) + 2 * self.dense.bias
        if self.how == "positions":
            return x + self.positions(ops.arange(FRAMES))[:, None, None]
        if self.how == "steps":
            return ops.matmul(x, self.own[::2]) + ops.matmul(x, self.own[::-2])
        count = ops.shape(clips)[0]
        if self.how == "reshaped":
            x = ops.reshape(x, (count * FRAMES, SIDE, SIDE, 3))
            return ops.reshape(x, (count, FRAMES, SIDE, SIDE, 3))
        if self.how == "state":
            state = ops.zeros((count, 3))
            for t in range(FRAMES):
                state = ops.tanh(state + ops.mean(x[:, t], axis=(1, 2)))
            return x + state[:, None, None, None]
        rows = ops.reshape(x, (count, FRAMES * SIDE * SIDE, 3))
        tokens = {
            "broadcast": lambda: ops.broadcast_to(self.token, (count, 1, 3)),
            "tiled": lambda: ops.tile(self.token, (count, 1, 1)),
            "repeated": lambda: ops.repeat(self.token, count, axis=0),
            "added": lambda: self.token + ops.zeros_like(rows[:, :1]),
        }
        return ops.concatenate([tokens[self.how](), rows], axis=1)


@pytest.mark.parametrize(
    "how",
    ["kernel", "tied", "positions", "steps", "reshaped", "state"]
    + ["broadcast", "tiled", "repeated", "added"],
)
def test_layers_that_use_weights_positions_and_the_number_of_clips_are_open(how):
    clip, layer = keras.Input(SHAPE), Uses(how, name="uses")
    network = keras.Model(clip, layer(clip))
    info = {info.name: info for info in layers.describe(network)}
    assert info["uses"].closed is None and info["uses/dense"].reason is None
    x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    shadow = rewire.Shadow(network)
    for seed in range(2):  # weights as they are now
        random = np.random.default_rng(seed)
        network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])
        for clips in (x[:1], x):
            np.testing.assert_allclose(shadow(clips), network(clips), atol=1e-5)
    assert layers.tap(network, ["uses/dense"]).outputs[0].shape == (None, *SHAPE)
    answer = attribute(network, x[0], objectives.channel("uses/dense", 0), method="gradient")
    assert np.abs(answer.heatmap).max() > 0


def test_a_layer_of_positions_is_the_same_for_every_clip():
    clip = keras.Input(SHAPE)
    network = keras.Model(clip, Uses("positions", name="uses")(clip))
    (info,) = [info for info in layers.describe(network) if info.name == "uses/positions"]
    assert info.reason == "it is the same for every clip" and info.shape == (FRAMES, 3)
    with pytest.raises(ValueError, match="the clip reaches. Received: 'uses/positions', which is"):
        layers.tap(network, ["uses/positions"])
    clips = maximize(network, objectives.neuron("uses", 0, position=(1, 2, 2)), steps=2)
    assert clips.shape == (1, *SHAPE) and np.isfinite(clips).all()


@keras.saving.register_keras_serializable("test_reach")
class StateSpace(L.Layer):
    """Its code computes new values from its own weights before any clip is read."""

    def build(self, shape):
        self.rates = {"decay": self.add_weight(shape=shape[-1:], initializer="ones", name="decay")}
        self.dense = L.Dense(3, name="dense")
        self.dense.build(shape)

    def call(self, clips):
        return self.dense(clips * ops.exp(-ops.exp(self.rates["decay"])))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_layer_that_computes_with_its_own_weights_is_open_and_follows_them(policy):
    clip = keras.Input(SHAPE)
    space = StateSpace(name="space", dtype=policy)
    network = keras.Model(clip, L.GlobalAveragePooling3D()(space(clip)))
    names = [info.name for info in layers.describe(network)]
    assert names[:2] == ["space/dense", "space"] and len(names) == 3  # and no weight
    tap = layers.tap(network, ["space/dense"])
    x = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    space.dense.set_weights([np.eye(3), np.zeros(3)])
    for decay in (1.0, 0.1):
        space.rates["decay"].assign([decay] * 3)
        expected = x * np.exp(-np.exp(decay))
        np.testing.assert_allclose(tap([x]), expected, atol=1e-6 if policy == "float32" else 2e-3)


@keras.saving.register_keras_serializable("test_reach")
class Frames(L.Layer):
    """Folds frames into the batch, and says of the shape that it makes all but how many rows."""

    def call(self, clips):
        return ops.reshape(clips, (-1, *SHAPE[1:]))

    def compute_output_shape(self, shape):
        return (None, *SHAPE[1:])


def test_frames_are_found_in_the_batch_where_a_layer_does_not_say_how_many():
    clip = keras.Input(SHAPE)
    x = L.GlobalAveragePooling2D()(L.Conv2D(2, 3, name="conv")(Frames(name="frames")(clip)))
    network = keras.Model(clip, L.Dense(2)(L.Flatten()(ops.reshape(x, (-1, SHAPE[0], 2)))))
    shapes = {info.name: info.shape for info in layers.describe(network)}
    assert shapes["frames"] == SHAPE and shapes["conv"] == (SHAPE[0], 10, 10, 2)
    assert maximize(network, "conv:0", steps=1).shape == (1, *SHAPE)


def test_a_name_inside_two_layers_needs_its_path(networks):
    clip = keras.Input(SHAPE)
    both = [L.TimeDistributed(frame_cnn(), name=name)(clip) for name in ("left", "right")]
    network = keras.Model(clip, L.Add()(both))
    with pytest.raises(ValueError, match="'left/first' or 'right/first'"):
        layers.tap(network, ["first"])
    assert layers.tap(network, ["right/first"]).outputs[0].shape == (None, FRAMES, 6, 6, 4)


def test_the_default_layer_is_found_inside_and_on_folded_frames(networks, clip):
    names = ["frames", "cnn/second", "second"]
    for network, name in zip(networks, names, strict=True):
        answer = attribute(network, clip, objectives.logit(0), method="grad_cam")
        assert answer.settings["layer"] == name and answer.settings["grid"] == [FRAMES, 6, 6]


def test_rows_of_the_batch_are_counted_also_where_a_network_takes_any_size():
    clip = keras.Input((None, 24, 24, 3))
    x = L.Conv2D(2, 3, name="conv")(folded_frames.Fold()(clip))
    x = L.GlobalAveragePooling2D()(x)
    network = keras.Model(clip, ops.mean(ops.reshape(x, (ops.shape(clip)[0], -1, 2)), axis=1))
    flat = graph.flattened(network)
    assert folding.rows(flat, network.inputs)[flat.steps[1].outputs[0]] == 16
    tap = layers.tap(network, ["conv"])
    assert tap([np.zeros((2, 5, 24, 24, 3), np.float32)]).shape == (2, 5, 22, 22, 2)


def kinds():
    """Layers of many kinds: those that Keras also gives a mask, and others."""
    return [
        L.BatchNormalization(),
        L.LayerNormalization(),
        L.ConvLSTM2D(2, 3, padding="same", return_sequences=True),
        L.TimeDistributed(L.Conv2D(2, 3, padding="same")),
        L.TimeDistributed(keras.Sequential([L.Conv2D(2, 3, padding="same"), L.ReLU()])),
        L.Bidirectional(L.ConvLSTM2D(2, 3, padding="same", return_sequences=True)),
        L.Softmax(),
        L.SpatialDropout3D(0.5),
        L.GroupNormalization(1),
        keras.Sequential([L.Reshape((-1, 3)), L.LSTM(2, return_sequences=True)]),
        keras.Sequential([L.Reshape((-1, 3)), L.Bidirectional(L.LSTM(2, return_sequences=True))]),
        keras.Sequential([L.Reshape((-1, 3)), L.GRU(2, return_sequences=True)]),
        L.MultiHeadAttention(1, 2),
    ]


@pytest.mark.parametrize("nested", [False, True])
def test_a_network_with_each_kind_of_layer_can_be_maximized(nested):
    x = clip = keras.Input((2, 6, 6, 3))
    outputs = []
    for layer in kinds():
        arguments = (x, x) if isinstance(layer, L.MultiHeadAttention) else (x,)
        if nested:
            inner = keras.Input(clip.shape[1:])
            model = keras.Model(inner, layer(*[inner] * len(arguments)))
            outputs.append(model(x))
        else:
            outputs.append(layer(*arguments))
    flat = [ops.mean(y, axis=tuple(range(1, len(y.shape) - 1))) for y in outputs]
    network = keras.Model(clip, L.Dense(2, name="scores")(ops.concatenate(flat, axis=-1)))
    clips = maximize(network, objectives.channel("scores", 0), steps=2)
    assert clips.shape == (1, 2, 6, 6, 3) and np.isfinite(clips).all()


def test_a_layer_that_a_model_inside_has_not_is_told_by_its_path(networks):
    with pytest.raises(ValueError, match="'frames/second', .*Received: 'frames/secnd'"):
        layers.tap(networks[0], ["frames/secnd"])
