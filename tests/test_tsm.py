"""TSM: torchvision's ResNet50 with the shift put in, also without torchvision, and its options."""

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
from c3dvis.models import tsm
from c3dvis.models.tsm import FramePooling, TemporalShift

SMALL = {"width": 0.125, "input_shape": (3, 21, 26, 3), "classes": 4}
MEANS = np.array([0.485, 0.456, 0.406])
DEVIATIONS = np.array([0.229, 0.224, 0.225])
BLOCKS = {1: 3, 2: 4, 3: 6, 4: 3}


def test_the_shift_worked_by_hand():
    """Eight channels: the first comes from the next frame, the second from the previous one."""
    frames = np.array([[10, 20, 30]], np.float32)[:, :, None, None, None] + np.arange(8)
    shifted = np.asarray(TemporalShift()(frames))[0, :, 0, 0]
    np.testing.assert_array_equal(
        shifted,
        [
            [20, 0, 12, 13, 14, 15, 16, 17],
            [30, 11, 22, 23, 24, 25, 26, 27],
            [0, 21, 32, 33, 34, 35, 36, 37],
        ],
    )


def test_a_part_is_rounded_down_and_may_be_chosen():
    frames = clips_for((2, 4, 3, 2, 19))
    for parts, width in ((8, 2), (4, 4), (2, 9)):
        shifted = np.asarray(TemporalShift(parts)(frames))
        np.testing.assert_array_equal(shifted[:, :-1, ..., :width], frames[:, 1:, ..., :width])
        second = slice(width, 2 * width)
        np.testing.assert_array_equal(shifted[:, 1:, ..., second], frames[:, :-1, ..., second])
        np.testing.assert_array_equal(shifted[..., 2 * width :], frames[..., 2 * width :])
        assert not shifted[:, -1, ..., :width].any() and not shifted[:, 0, ..., second].any()


def test_one_frame_has_no_neighbours():
    frame = np.ones((1, 1, 2, 2, 16), np.float32)
    shifted = np.asarray(TemporalShift()(frame))
    assert not shifted[..., :4].any() and shifted[..., 4:].all()


def test_too_few_channels_or_parts_are_refused():
    with pytest.raises(ValueError, match="Expected at least 8 channels.* Received: 7 channels"):
        TemporalShift()(np.zeros((1, 2, 1, 1, 7), np.float32))
    with pytest.raises(ValueError, match="Expected at least 2 parts. Received: parts=1"):
        TemporalShift(1)


def test_frames_are_pooled_one_by_one():
    frames = clips_for((2, 3, 4, 5, 6))
    np.testing.assert_allclose(FramePooling()(frames), frames.mean(axis=(2, 3)), rtol=1e-5)


# The network in NumPy, from the paper and the names of its layers alone.


def shift(x):
    part, moved = x.shape[-1] // 8, np.zeros_like(x)
    moved[:, :-1, ..., :part] = x[:, 1:, ..., :part]
    moved[:, 1:, ..., part : 2 * part] = x[:, :-1, ..., part : 2 * part]
    moved[..., 2 * part :] = x[..., 2 * part :]
    return moved


def pool(x):
    """3x3 maxima at every second place, beyond the edges minus infinity."""
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows[:, :, ::2, ::2].max(axis=(-2, -1))


def in_numpy(weights, clips):
    def conv(x, name, step=1):
        return convolve(x, *weights[name], (1, step, step))

    def norm(x, name):
        return normalize(x, *weights[name])

    x = (clips - MEANS) / DEVIATIONS
    x = pool(relu(norm(conv(x, "conv1", 2), "bn1")))
    outputs = {"maxpool": x}
    for stage, blocks in BLOCKS.items():
        for block in range(blocks):
            name, past = f"layer{stage}.{block}", x
            step = 2 if stage > 1 and block == 0 else 1
            x = relu(norm(conv(shift(x), f"{name}.conv1"), f"{name}.bn1"))
            x = relu(norm(conv(x, f"{name}.conv2", step), f"{name}.bn2"))
            x = norm(conv(x, f"{name}.conv3"), f"{name}.bn3")
            if block == 0:
                past = norm(conv(past, f"{name}.downsample.0", step), f"{name}.downsample.1")
            x = outputs[name] = relu(x + past)
        outputs[f"layer{stage}"] = x
    kernel, bias = weights["new_fc"]
    frames = x.mean(axis=(2, 3)) @ kernel + bias
    return outputs | {"new_fc": frames, "consensus": frames.mean(axis=1)}


@pytest.mark.parametrize("size", [(3, 21, 26), (2, 32, 16), (1, 1, 1)])
def test_parity_with_numpy(size):
    network = randomize(models.TSM(**SMALL | {"input_shape": (*size, 3)}))
    clips = clips_for((2, *size, 3))
    expected = in_numpy(all_weights(network), clips.astype(np.float64))
    for name, value in zip(expected, activations(network, list(expected), clips), strict=True):
        assert relative_error(value, expected[name]) < 1e-4, name


def test_parity_with_a_block_of_torchvision():
    stored = np.load(DATA / "blocks.npz")
    clips = np.moveaxis(stored["tsm_input"].reshape(2, 5, 16, 7, 6), 2, -1)
    inputs = keras.Input(clips.shape[1:])
    network = keras.Model(inputs, tsm._bottleneck(inputs, "layer2.0", 3, 2))
    report = models.load_weights(network, DATA / "tsm_block.pth")
    assert report.assigned == report.total == 20
    output = np.moveaxis(np.asarray(network(clips)), -1, 2).reshape(stored["tsm"].shape)
    assert relative_error(output, stored["tsm"]) < 1e-5


# torchvision's ResNet50 with the shift, where torchvision is installed.


def shifted_resnet50(frames, classes=400):
    """ResNet50 as the authors' code alters it, in a checkpoint's layout."""
    torch = pytorch()
    resnet50 = torchvision("torchvision.models").resnet50

    class Shifted(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            clips = x.unflatten(0, (-1, frames))
            part = clips.shape[2] // 8
            following = torch.roll(clips[:, :, :part], -1, 1)
            following[:, -1] = 0
            previous = torch.roll(clips[:, :, part : 2 * part], 1, 1)
            previous[:, 0] = 0
            moved = torch.cat([following, previous, clips[:, :, 2 * part :]], 2)
            return self.net(moved.flatten(0, 1))

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.base_model = resnet50()
            for stage in BLOCKS:
                for block in getattr(self.base_model, f"layer{stage}"):
                    block.conv1 = Shifted(block.conv1)
            self.new_fc = torch.nn.Linear(self.base_model.fc.in_features, classes)
            self.base_model.fc = torch.nn.Dropout(0.5)

        def forward(self, clips):
            """(N, T, C, H, W) to the mean of the logits of the frames."""
            return (
                self.new_fc(self.base_model(clips.flatten(0, 1))).unflatten(0, (-1, frames)).mean(1)
            )

    torch.manual_seed(0)
    return randomize_pytorch(Whole())


@pytest.mark.parametrize("size", [(3, 65, 47), (8, 32, 64)])
def test_parity_with_torchvision(size, tmp_path):
    compare_with_torchvision(size, tmp_path)


@pytest.mark.slow
def test_parity_with_torchvision_at_full_size(tmp_path):
    compare_with_torchvision((8, 224, 224), tmp_path)


def compare_with_torchvision(size, folder):
    torch, theirs = pytorch(), shifted_resnet50(size[0])
    state = torch.nn.DataParallel(theirs).state_dict()
    assert "module.base_model.layer1.0.conv1.net.weight" in state
    assert "module.new_fc.bias" in state
    checkpoint = {"epoch": 50, "state_dict": state, "best_prec1": torch.tensor(74.1)}
    torch.save(checkpoint, folder / "random.pth", _use_new_zipfile_serialization=False)
    ours = models.TSM(input_shape=(*size, 3), weights=folder / "random.pth")
    clips = clips_for((2, *size, 3))
    between = {}
    theirs.base_model.layer2.register_forward_hook(lambda *call: between.update(out=call[-1]))
    with torch.no_grad():
        standardized = torch.from_numpy((clips - MEANS) / DEVIATIONS).float()
        logits = theirs(standardized.permute(0, 1, 4, 2, 3)).numpy()
    outputs = activations(ours, ["layer2", "consensus"], clips)
    layer2 = between["out"].permute(0, 2, 3, 1).numpy().reshape(outputs[0].shape)
    assert relative_error(outputs[0], layer2) < 1e-4
    assert relative_error(outputs[1], logits) < 1e-4


# Figures that need no reference, and options.


def test_full_size_network_is_as_published():
    network = models.TSM()
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    # ResNet50's 25,557,032 less its classifier of 1000, and one of 400.
    assert trainable == 25_557_032 - 2_049_000 + 2048 * 400 + 400
    assert network.input_shape == (None, 8, 224, 224, 3)
    names = ("maxpool", "layer1", "layer2", "layer3", "layer4")
    assert [network.get_layer(name).output.shape[1:] for name in names] == [
        (8, 56, 56, 64),
        (8, 56, 56, 256),
        (8, 28, 28, 512),
        (8, 14, 14, 1024),
        (8, 7, 7, 2048),
    ]
    shifts = [layer.name for layer in network.layers if isinstance(layer, TemporalShift)]
    assert shifts == [f"layer{n}.{m}.shift" for n, count in BLOCKS.items() for m in range(count)]


def test_blocks_and_stages_have_layers():
    network = randomize(models.TSM(**SMALL))
    ends = [f"layer{stage}.{blocks - 1}" for stage, blocks in BLOCKS.items()]
    clips = clips_for((1, 3, 21, 26, 3))
    stages = activations(network, ["layer1", "layer2", "layer3", "layer4"], clips)
    for stage, end in zip(stages, activations(network, ends, clips), strict=True):
        np.testing.assert_array_equal(stage, end)
        assert stage.min() == 0 < stage.max()


def test_width_scales_channels_down_to_what_can_be_shifted():
    for width, expected in ((0.25, [16, 64, 128, 256, 512]), (0.01, [8, 32, 32, 32, 32])):
        network = models.TSM(width=width, input_shape=(2, 32, 32, 3), classes=3)
        names = ("conv1", "layer1", "layer2", "layer3", "layer4")
        assert [network.get_layer(name).output.shape[-1] for name in names] == expected


def test_sizes_may_be_open():
    network = randomize(models.TSM(**SMALL | {"input_shape": (None, None, None, 3)}))
    fixed = randomize(models.TSM(**SMALL))
    clips = clips_for((2, 3, 21, 26, 3))
    np.testing.assert_allclose(network(clips), fixed(clips), rtol=1e-5, atol=1e-6)
    assert network(clips[:, :1, :7]).shape == (2, 4)


def test_options_of_the_ends():
    whole = randomize(models.TSM(**SMALL, name="mine", dropout=0.25))
    assert whole.name == "mine" and whole.get_layer("dropout").rate == 0.25
    clips = clips_for((2, 3, 21, 26, 3))
    scores = np.asarray(whole(clips))
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-5)
    bare = randomize(models.TSM(**SMALL, include_preprocessing=False))
    standardized = ((clips - MEANS) / DEVIATIONS).astype(np.float32)
    np.testing.assert_allclose(bare(standardized), scores, rtol=1e-4, atol=1e-6)
    logits = randomize(models.TSM(**SMALL, classifier_activation=None))
    np.testing.assert_allclose(keras.ops.softmax(logits(clips)), scores, rtol=1e-4, atol=1e-6)
    assert models.TSM(**SMALL, include_top=False).output_shape == (None, 3, 1, 1, 256)
