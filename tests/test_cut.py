"""What is left out of a network changes nothing: scores and gradients are those of the whole."""

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, models, objectives
from c3dvis.maximize.subnetwork import Subnetwork
from c3dvis.models import layers

L = keras.layers
SHAPE = (9, 21, 18, 3)


def plain():
    """Every kind of window: padded, strided, dilated, and lengths that strides don't divide."""
    clip = L.Input(SHAPE)
    x = L.Rescaling(2.0, -1.0)(clip)
    x = L.Conv3D(5, 3, strides=(1, 2, 1), padding="same", activation="relu", name="conv1")(x)
    x = L.MaxPooling3D((2, 3, 2), (1, 2, 2), padding="same", name="pool1")(x)
    x = L.Conv3D(6, (3, 2, 4), padding="same", dilation_rate=(1, 2, 1), name="conv2")(x)
    x = L.BatchNormalization(name="bn2")(x)
    x = L.ReLU(name="relu2")(x)
    x = L.AveragePooling3D(3, 2, padding="same", name="pool2")(x)
    x = L.ZeroPadding3D((0, (1, 2), 1), name="pad3")(x)
    x = L.Conv3D(8, (2, 3, 3), strides=(1, 2, 2), activation="relu", name="conv3")(x)
    x = L.Conv3D(7, 2, padding="same", activation="elu", name="conv4")(x)
    return keras.Model(clip, L.Dense(4, name="out")(L.GlobalAveragePooling3D()(x)))


def branched():
    """Sums, concatenations and shortcuts, as in residual networks and I3D."""
    clip = L.Input(SHAPE)
    x = L.Conv3D(6, 3, padding="same", activation="relu", name="conv1")(clip)
    y = L.Conv3D(6, 3, padding="same", use_bias=False, name="conv2")(x)
    y = L.BatchNormalization(name="bn2", scale=False)(y)
    x = L.ReLU(name="block")(L.Add(name="sum")([y, x]))
    one = L.Conv3D(4, 1, activation="relu", name="narrow")(x)
    two = L.MaxPooling3D(3, 1, padding="same")(x)
    x = L.Concatenate(name="mixed")([one, two])
    x = L.Conv3D(5, 3, strides=2, padding="same", activation="relu", name="conv3")(x)
    x = L.Cropping3D((1, 1, 0), name="cropped")(x)
    x = L.Conv3D(5, 2, name="conv4")(x)
    return keras.Model(clip, L.Dense(4, activation="softmax", name="out")(L.Flatten()(x)))


def nested():
    """A network twice inside another; the layers' names are the same in both."""
    clip = L.Input(SHAPE)
    inner = L.Input((None, None, None, 3))
    x = L.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(inner)
    backbone = keras.Model(inner, L.Conv3D(5, 3, padding="same", name="conv2")(x), name="backbone")
    copy = keras.models.clone_model(backbone)
    copy.name = "other"
    x = L.Add(name="sum")([backbone(clip), copy(L.Rescaling(0.5)(clip))])
    return keras.Model(clip, L.Conv3D(6, 3, activation="relu", name="conv3")(x))


NETWORKS = {"plain": plain, "branched": branched, "nested": nested}


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(0)
    built = {name: build() for name, build in NETWORKS.items()}
    draw = np.random.default_rng(0)
    for network in built.values():
        for weight in network.weights:  # statistics and biases that are not 0 and 1
            start = np.array(weight)
            weight.assign(start + 0.3 * np.abs(draw.standard_normal(start.shape)) * 0.5)
    return built


def clips(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *SHAPE), np.float32)


def whole(network, objective):
    """The reference: everything is computed, then one number of it is read."""
    tap = layers.tap(network, objective.layers)

    def score(inputs, columns):
        read = tap(inputs, training=False)
        read = read if isinstance(read, list) else [read]
        return objective.score(dict(zip(objective.layers, read, strict=True)), columns)

    return score


def cut_down(cut):
    def score(inputs, columns):
        read, channels = cut(inputs, columns)
        return cut.objective.score(read, channels)

    return score


def check(network, objective, *, count=3, rtol=1e-5, dtype=None):
    cut = Subnetwork(network, objective, SHAPE[:3], dtype=dtype)
    shapes = {n: tuple(o.shape[1:]) for n, o in zip(objective.layers, cut.tap.outputs, strict=True)}
    columns = objective.unit_indices(shapes)
    columns = ops.convert_to_tensor(columns[np.arange(count) % len(columns)])
    errors = []
    for seed in range(1, 4):
        results = []
        for score in (whole(network, objective), cut_down(cut)):
            both = autodiff.value_and_gradient(lambda x, score=score: score(x, columns))
            results.append([ops.convert_to_numpy(one) for one in both(clips(count, seed))])
        (score, gradient), (score_cut, gradient_cut) = results
        np.testing.assert_allclose(score_cut, score, rtol=rtol, atol=1e-6)
        scale = np.abs(gradient).max()
        assert scale > 0
        errors.append(np.abs(gradient_cut - gradient).max() / scale)
        if errors[-1] <= rtol:
            return cut
        # Rounding can decide a near tie of a maximum or ReLU otherwise in the smaller network, and
        # its gradient then takes another way: that befalls one clip, a wrong cut befalls them all.
    raise AssertionError(f"the gradients of three draws of clips differ by {errors}")


def corners(extent):
    ends = [(0, n // 2, n - 1) for n in extent]
    return [(t, y, x) for t in ends[0] for y in ends[1] for x in ends[2]]


CHANNELS = (
    [
        ("plain", name)
        for name in ("conv1", "pool1", "conv2", "bn2", "relu2", "pool2", "conv3", "out")
    ]
    + [("branched", name) for name in ("conv1", "conv2", "bn2", "sum", "block", "narrow", "mixed")]
    + [("nested", "conv3"), ("nested", "backbone/conv2"), ("nested", "sum")]
)


@pytest.mark.parametrize(("name", "layer"), CHANNELS)
def test_a_channel_is_that_of_the_whole_network(networks, name, layer):
    check(networks[name], objectives.channel(layer, [2, 0, 3]))


NEURONS = [
    ("plain", "conv1"),
    ("plain", "pool2"),
    ("plain", "conv3"),
    ("plain", "conv4"),
    ("branched", "mixed"),
    ("branched", "conv4"),
    ("nested", "conv3"),
    ("nested", "other/conv2"),
]


@pytest.mark.parametrize(("name", "layer"), NEURONS)
def test_a_neuron_is_that_of_the_whole_network_at_every_border(networks, name, layer):
    network = networks[name]
    extent = layers.tap(network, [layer]).outputs[0].shape[1:4]
    if None in extent:
        extent = SHAPE[:3]
    smaller = 0
    for position in corners(extent)[::13]:  # the first in all axes, the middle and the last
        objective = objectives.neuron(layer, [1, 0, 3], position=position)
        smaller += check(network, objective).box != tuple((0, n) for n in SHAPE[:3])
    assert smaller or layer == "conv4"


MIXED = {
    "frame": objectives.frame("conv3", [1, 2, 0], frame=0),
    "two places": objectives.neuron("conv3", [1, 2, 0], position=(0, 0, 0))
    - 0.5 * objectives.neuron("conv3", 4, position=(1, 1, 1)),
    "two layers": objectives.neuron("conv1", [1, 2, 0]) + objectives.channel("conv2", [0, 1, 2]),
    "two channels": objectives.channel("conv3", [1, 2, 0]) - objectives.channel("conv3", 4),
    "logit": objectives.logit([1, 2, 0]) + 0.1 * objectives.channel("conv1", 2),
    "interpolation": objectives.interpolation("conv3", 1, "conv3", 4),
    "direction": objectives.direction_neuron("conv3", np.eye(8)[:3], position=(1, 0, 2)),
    "layer": objectives.layer("conv3") + objectives.channel("conv3", [1, 2, 0]),
}


@pytest.mark.parametrize("kind", MIXED)
def test_every_kind_of_reading(networks, kind):
    check(networks["plain"], MIXED[kind])


def test_more_clips_than_channels(networks):
    check(networks["plain"], objectives.channel("conv1", range(5)), count=7)


@pytest.mark.parametrize("name", ["c3d", "i3d", "r3d", "r2plus1d", "mc3"])
def test_our_own_networks_can_be_followed(name):
    network = models.build(f"{name}", weights=None, width=0.125, input_shape=(16, 64, 64, 3))
    names = [info.name for info in layers.describe(network) if info.kind == "Conv3D"]
    cut = Subnetwork(network, objectives.neuron(names[2], [0, 1]), (16, 64, 64))
    assert cut.box != ((0, 16), (0, 64), (0, 64))


def test_only_wanted_channels_of_the_last_convolution_are_computed(networks):
    cut = Subnetwork(networks["plain"], objectives.channel("relu2", [2, 0]), SHAPE[:3])
    needed = cut.network.layer_graph.needed(cut.whole)
    computed = {step.name for step in cut.network.steps if needed.intersection(step.outputs)}
    assert "pool1" in computed and "conv2" not in computed


def test_a_layer_that_mixes_all_positions_is_computed_whole(networks):
    clip = L.Input(SHAPE)
    x = L.ConvLSTM2D(4, 3, padding="same", return_sequences=True, name="lstm")(clip)
    network = keras.Model(clip, L.Conv3D(5, 3, padding="same", name="conv")(x))
    cut = check(network, objectives.neuron("conv", [0, 2]))
    assert cut.box == tuple((0, n) for n in SHAPE[:3])


@pytest.mark.parametrize(
    "objective",
    [objectives.channel("conv3", [1, 2]), objectives.neuron("conv3", [1, 2])],
    ids=["channel", "neuron"],
)
def test_bfloat16_is_near_float32_and_follows_the_weights(objective):
    keras.utils.set_random_seed(1)
    network = plain()
    cut = Subnetwork(network, objective, SHAPE[:3], dtype="bfloat16")
    shapes = {objective.layers[0]: tuple(cut.tap.outputs[0].shape[1:])}
    columns = ops.convert_to_tensor(objective.unit_indices(shapes))
    rounded = autodiff.value_and_gradient(lambda x: cut_down(cut)(x, columns))(clips(2))
    right = autodiff.value_and_gradient(lambda x: whole(network, objective)(x, columns))(clips(2))
    a, b = (ops.convert_to_numpy(one[1]).ravel() for one in (rounded, right))
    assert 0.98 < a @ b / np.linalg.norm(a) / np.linalg.norm(b) < 0.999999
    # Processors without bfloat16 of their own round sums to it, too.
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (rounded[0], right[0])), rtol=0.1)
    for weight in network.weights:
        weight.assign(weight * 0)
    cut.network.refresh()
    assert not np.any(cut_down(cut)(clips(2), columns))


def test_recurrent_layers_compute_in_bfloat16():
    """Their copies don't begin with orthogonal matrices, which can't be drawn in bfloat16."""
    clip = L.Input(SHAPE)
    x = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True, name="frames")(clip)
    x = L.Bidirectional(L.LSTM(4), name="both")(L.TimeDistributed(L.GlobalAveragePooling2D())(x))
    network = keras.Model(clip, L.Dense(2, name="scores")(x))
    cut = Subnetwork(network, objectives.channel("scores", 0), SHAPE[:3], dtype="bfloat16")
    columns = ops.convert_to_tensor([[0], [0]])
    right = ops.convert_to_numpy(network(clips(2), training=False)[:, 0])
    np.testing.assert_allclose(cut_down(cut)(clips(2), columns), right, rtol=0.1, atol=0.01)


def test_wrong_dtypes_are_refused(networks):
    with pytest.raises(ValueError, match="'bfloat16'.*Received: 'float8'"):
        Subnetwork(networks["plain"], objectives.channel("conv1", 0), SHAPE[:3], dtype="float8")


def test_a_layer_that_cannot_be_copied_is_told():
    class Odd(L.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {}

    clip = L.Input(SHAPE)
    x = Odd(2.0)(L.Conv3D(4, 3, name="conv1")(clip))
    network = keras.Model(clip, L.Conv3D(4, 3, name="conv2")(x))
    with pytest.raises(ValueError, match="Received: layer 'odd', a Odd"):
        Subnetwork(network, objectives.channel("conv2", 0), SHAPE[:3], dtype="bfloat16")
