"""R3D, MC3 and R(2+1)D: torchvision's numbers, also without torchvision, and their options."""

import functools

import keras
import numpy as np
import pytest
from residual_reference import (
    DATA,
    activations,
    all_weights,
    clips_for,
    convolve,
    normalize,
    pytorch,
    randomize,
    randomize_pytorch,
    relative_error,
    relu,
    torchvision,
)

from c3dvis import models
from c3dvis.models import resnet3d
from c3dvis.models.residual import Standardize, convolution

BUILDERS = {"r3d": models.R3D, "mc3": models.MC3, "r2plus1d": models.R2Plus1D}
SMALL = {"width": 0.05, "input_shape": (5, 11, 9, 3), "classes": 4}
MEANS = np.array([0.43216, 0.394666, 0.37645])
DEVIATIONS = np.array([0.22803, 0.22145, 0.216989])

# Counted in torchvision 0.28: trainable parameters, and those of running statistics.
PUBLISHED = {
    "r3d": (33_371_472, 9_600),
    "mc3": (11_695_440, 9_600),
    "r2plus1d": (31_505_325, 25_350),
}
# Output (T, H, W, C) of the stem and the four stages for 16 frames of 112 x 112.
STAGES = {
    "r3d": ((16, 56, 56, 64), (16, 56, 56, 64), (8, 28, 28, 128), (4, 14, 14, 256), (2, 7, 7, 512)),
    "mc3": (
        (16, 56, 56, 64),
        (16, 56, 56, 64),
        (16, 28, 28, 128),
        (16, 14, 14, 256),
        (16, 7, 7, 512),
    ),
}
STAGES["r2plus1d"] = STAGES["r3d"]
families = pytest.mark.parametrize("family", BUILDERS)


@functools.cache
def small(family) -> keras.Model:
    """A network of random weights that the tests only read."""
    return randomize(BUILDERS[family](**SMALL))


# The three networks in NumPy, from the paper and the names of their layers alone.


def in_numpy(weights, family, clips):
    """Activations by name of layer, without a Keras layer in sight."""

    def conv(x, name, strides=(1, 1, 1)):
        return convolve(x, *weights[name], strides)

    def norm(x, name):
        return normalize(x, *weights[name])

    def pair(x, name, step):
        """A convolution over all three directions, over two, or over two and then one."""
        if family == "r2plus1d":
            x = relu(norm(conv(x, f"{name}.0", (1, step, step)), f"{name}.1"))
            return conv(x, f"{name}.3", (step, 1, 1))
        return conv(x, name, (1 if family == "mc3" else step, step, step))

    x = (clips - MEANS) / DEVIATIONS
    x = relu(norm(conv(x, "stem.0", (1, 2, 2)), "stem.1"))
    if family == "r2plus1d":
        x = relu(norm(conv(x, "stem.3"), "stem.4"))
    outputs = {"stem": x}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, past = f"layer{stage}.{block}", x
            step = 2 if stage > 1 and block == 0 else 1
            x = relu(norm(pair(x, f"{name}.conv1.0", step), f"{name}.conv1.1"))
            x = norm(pair(x, f"{name}.conv2.0", 1), f"{name}.conv2.1")
            if step == 2:
                strides = (1 if family == "mc3" else 2, 2, 2)
                past = norm(conv(past, f"{name}.downsample.0", strides), f"{name}.downsample.1")
            x = outputs[name] = relu(x + past)
        outputs[f"layer{stage}"] = x
    kernel, bias = weights["fc"]
    return outputs | {"fc": x.mean(axis=(1, 2, 3)) @ kernel + bias}


@families
@pytest.mark.parametrize("size", [(5, 11, 9), (4, 16, 8), (1, 1, 1)])
def test_parity_with_numpy(family, size):
    network = BUILDERS[family](**SMALL | {"input_shape": (*size, 3)}, classifier_activation=None)
    randomize(network)
    clips = clips_for((2, *size, 3))
    expected = in_numpy(all_weights(network), family, clips.astype(np.float64))
    for name, value in zip(expected, activations(network, list(expected), clips), strict=True):
        assert relative_error(value, expected[name]) < 1e-4, name


# torchvision's blocks with an input and output, kept in a file.


@families
def test_parity_with_a_block_of_torchvision(family):
    stored = np.load(DATA / "blocks.npz")
    clips = np.moveaxis(stored["input"], 1, -1)
    inputs = keras.Input(clips.shape[1:])
    ways = {
        "r3d": resnet3d._whole,
        "mc3": resnet3d._spatial,
        "r2plus1d": resnet3d._factored,
    }
    network = keras.Model(inputs, resnet3d._block(inputs, "layer2.0", 6, ways[family], 2))
    report = models.load_weights(network, DATA / f"{family}_block.pth")
    assert report.assigned == report.total == (25 if family == "r2plus1d" else 15)
    output = np.moveaxis(np.asarray(network(clips)), -1, 1)
    assert relative_error(output, stored[family]) < 1e-5


# torchvision's whole networks, where it is installed.


@families
@pytest.mark.parametrize("size", [(5, 33, 47), (8, 32, 32), (1, 17, 16)])
def test_parity_with_torchvision(family, size, tmp_path):
    compare_with_torchvision(family, size, tmp_path)


@pytest.mark.slow
@families
def test_parity_with_torchvision_at_full_size(family, tmp_path):
    compare_with_torchvision(family, (16, 112, 112), tmp_path)


def compare_with_torchvision(family, size, folder):
    torch, video = pytorch(), torchvision("torchvision.models.video")
    theirs = randomize_pytorch(getattr(video, f"{family}_18")())
    torch.save(theirs.state_dict(), folder / "random.pth")
    ours = BUILDERS[family](
        input_shape=(*size, 3), classifier_activation=None, weights=folder / "random.pth"
    )
    clips = clips_for((2, *size, 3))
    standardized = torch.from_numpy(np.moveaxis((clips - MEANS) / DEVIATIONS, -1, 1)).float()
    between = {}
    theirs.layer2.register_forward_hook(lambda *call: between.update(layer2=call[-1]))
    with torch.no_grad():
        logits = theirs(standardized).numpy()
    layer2 = np.moveaxis(between["layer2"].numpy(), 1, -1)
    outputs = activations(ours, ["layer2", "fc"], clips)
    assert relative_error(outputs[0], layer2) < 1e-4
    assert relative_error(outputs[1], logits) < 1e-4


@families
def test_layers_are_torchvisions(family):
    """Every layer with weights has the name and the shapes of one in torchvision."""
    theirs = getattr(torchvision("torchvision.models.video"), f"{family}_18")()
    shapes = {}
    for name, value in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            shapes.setdefault(name.rpartition(".")[0], []).append(sorted(value.shape))
    ours = {
        layer.name: [sorted(weight.shape) for weight in layer.weights]
        for layer in BUILDERS[family]().layers
        if layer.weights
    }
    assert ours == shapes


# Figures that need no reference.


@families
def test_full_size_network_is_as_published(family):
    network = BUILDERS[family]()
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert (trainable, network.count_params() - trainable) == PUBLISHED[family]
    assert network.input_shape == (None, 16, 112, 112, 3)
    assert network.output_shape == (None, 400)
    names = ("stem", "layer1", "layer2", "layer3", "layer4")
    shapes = tuple(network.get_layer(name).output.shape[1:] for name in names)
    assert shapes == STAGES[family]
    assert network.name == family


def test_channels_between_space_and_time():
    """45 in the stem; else so many that a pair has the parameters of one 3x3x3 convolution."""
    network = models.R2Plus1D()
    for name, channels in [
        ("stem.0", 45),
        ("layer1.0.conv1.0.0", 144),
        ("layer2.0.conv1.0.0", 230),
        ("layer2.0.conv2.0.0", 230),
        ("layer2.1.conv1.0.0", 288),
        ("layer4.0.conv2.0.0", 921),
        ("layer4.1.conv2.0.0", 1152),
    ]:
        assert network.get_layer(name).filters == channels, name


@families
def test_blocks_and_stages_have_layers(family):
    network = small(family)
    names = ["stem", "layer1", "layer2", "layer3", "layer4"]
    ends = ["stem.5" if family == "r2plus1d" else "stem.2", *(f"layer{n}.1" for n in "1234")]
    clips = clips_for((1, 5, 11, 9, 3))
    for stage, end in zip(
        activations(network, names, clips), activations(network, ends, clips), strict=True
    ):
        np.testing.assert_array_equal(stage, end)
        assert stage.min() == 0 < stage.max()
    assert isinstance(network.get_layer("layer3.0"), keras.layers.ReLU)


# Options.


@families
def test_width_scales_channels(family):
    network = BUILDERS[family](width=0.25, input_shape=(4, 16, 16, 3), classes=3)
    names = ("stem", "layer1", "layer2", "layer3", "layer4")
    channels = [network.get_layer(name).output.shape[-1] for name in names]
    assert channels == [16, 16, 32, 64, 128]
    assert network.get_layer("fc").units == 3
    thin = BUILDERS[family](width=0.0001, input_shape=(4, 16, 16, 3), classes=3)
    assert thin.get_layer("layer4").output.shape[-1] == 1


@families
def test_sizes_may_be_open(family):
    network = randomize(BUILDERS[family](**SMALL | {"input_shape": (None, None, None, 3)}))
    clips = clips_for((2, 5, 11, 9, 3))
    np.testing.assert_allclose(network(clips), small(family)(clips), rtol=1e-5, atol=1e-6)
    assert network(clips[:, :3, :7]).shape == (2, 4)


@families
def test_options_of_the_ends(family):
    clips = clips_for((2, 5, 11, 9, 3))
    scores = np.asarray(small(family)(clips))
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-5)
    bare = randomize(BUILDERS[family](**SMALL, include_preprocessing=False))
    standardized = ((clips - MEANS) / DEVIATIONS).astype(np.float32)
    np.testing.assert_allclose(bare(standardized), scores, rtol=1e-4, atol=1e-6)
    bottom = BUILDERS[family](**SMALL, include_top=False, name="mine")
    assert bottom.name == "mine"
    assert bottom.output_shape == (None, *bottom.get_layer("layer4.1").output.shape[1:])
    two = BUILDERS[family](
        width=0.05, input_shape=(4, 8, 8, 2), include_preprocessing=False, classes=3
    )
    assert two.input_shape[-1] == 2


def test_a_training_step_moves_statistics_by_a_tenth():
    network = models.R3D(**SMALL)
    clips = clips_for((2, 5, 11, 9, 3))
    (entering,) = activations(network, ["stem.0"], clips)
    network(clips, training=True)
    normalization = network.get_layer("stem.1")
    mean, variance = entering.mean(axis=(0, 1, 2, 3)), entering.var(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(normalization.moving_mean, 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(normalization.moving_variance, 0.9 + 0.1 * variance, rtol=1e-4)


def test_standardizing():
    values = np.array([[[[[0.43216, 0.394666, 0.37645], [1, 1, 1]]]]], np.float32)
    standardized = np.asarray(
        Standardize(resnet3d.KINETICS_MEANS, resnet3d.KINETICS_DEVIATIONS)(values)
    )
    expected = [[0, 0, 0], [0.56784 / 0.22803, 0.605334 / 0.22145, 0.62355 / 0.216989]]
    np.testing.assert_allclose(standardized[0, 0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("strides", [(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 1, 1)])
@pytest.mark.parametrize("size", [(5, 6, 7), (4, 5, 6), (1, 2, 1)])
def test_convolutions_pad_both_sides_alike(size, strides):
    """TensorFlow's own "same" starts elsewhere where a stride meets an even size."""
    inputs = keras.Input((*size, 2))
    network = randomize(keras.Model(inputs, convolution(inputs, "conv", 3, (3, 3, 3), strides)))
    x = clips_for((2, *size, 2))
    expected = convolve(x, *network.get_weights(), strides)
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-5)
