"""Networks of several inputs, one of which takes the clips."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from c3dvis import models, objectives, responses
from c3dvis.attribution import attribute
from c3dvis.maximize import maximize, scores
from c3dvis.models import chosen, layers

RNG = np.random.default_rng(0)
RGB = RNG.random((2, 6, 24, 24, 3), np.float32)
FLOW = RNG.normal(size=(6, 24, 24, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def two_streams():
    keras.utils.set_random_seed(0)
    return importlib.import_module("architectures.two_streams").build()


@pytest.fixture(scope="module")
def with_metadata():
    keras.utils.set_random_seed(0)
    return importlib.import_module("architectures.clip_and_metadata").build()


def notes(network) -> list[tuple[int, int]]:
    every = [network, *network.layers]
    return [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in every]


def test_it_computes_what_the_network_does_with_the_held_values(two_streams):
    before = notes(two_streams)
    one = models.one_input(two_streams, "rgb", {"flow": FLOW})
    whole = two_streams.predict({"rgb": RGB, "flow": np.stack([FLOW] * 2)}, verbose=0)
    np.testing.assert_allclose(one.predict(RGB, verbose=0), whole, rtol=1e-5)
    assert notes(two_streams) == before


def test_each_input_can_be_the_one_that_takes_clips(two_streams):
    one = models.one_input(two_streams, "flow", {"rgb": RGB[0]})
    whole = two_streams.predict({"rgb": RGB[:1], "flow": FLOW[None]}, verbose=0)
    np.testing.assert_allclose(one.predict(FLOW[None], verbose=0), whole, rtol=1e-5)


def test_a_shared_layer_has_its_calls_under_the_names_of_the_whole_network():
    left, right = (keras.Input((4, 8, 8, 3), name=name) for name in ("left", "right"))
    conv, pool = keras.layers.Conv3D(2, 3, name="conv"), keras.layers.GlobalAveragePooling3D()
    pooled = [pool(conv(left)), pool(conv(right))]
    network = keras.Model([left, right], keras.layers.Dense(2)(keras.layers.Concatenate()(pooled)))
    clip = RNG.random((4, 8, 8, 3), np.float32)
    for name, number in (("left", 1), ("right", 2)):
        maps = responses.feature_maps(network, clip, f"conv@{number}", input=name).maps
        np.testing.assert_allclose(maps, conv(clip[None])[0], atol=1e-5)
        answer = attribute(network, clip, 0, method="grad_cam", input=name)
        assert answer.settings["layer"] == f"conv@{number}"
        with pytest.raises(ValueError, match=f"Received: 'conv@{3 - number}'"):
            responses.feature_maps(network, clip, f"conv@{3 - number}", input=name)


def test_it_reads_the_weights_as_they_are_now(two_streams):
    one = models.one_input(two_streams, "rgb")
    before = one.predict(RGB, verbose=0)
    kept = two_streams.get_weights()
    two_streams.set_weights([2 * weight for weight in kept])
    after = one.predict(RGB, verbose=0)
    two_streams.set_weights(kept)
    assert np.abs(after - before).max() > 1e-3


def test_what_is_held_is_neutral_where_nothing_is_said(two_streams, with_metadata):
    grey = np.full((1, 6, 24, 24, 3), 0.5, np.float32)
    one = models.one_input(two_streams, "flow")
    whole = two_streams.predict({"rgb": grey, "flow": FLOW[None]}, verbose=0)
    np.testing.assert_allclose(one.predict(FLOW[None], verbose=0), whole, rtol=1e-5)
    neutral = {"clip": RGB[:1], "frame_mask": np.ones((1, 6)), "metadata": np.zeros((1, 5))}
    whole = with_metadata.predict(neutral, verbose=0)
    outputs = models.one_input(with_metadata).predict(RGB[:1], verbose=0)
    assert outputs.keys() == {"action", "speed"}
    np.testing.assert_allclose(outputs["action"], whole["action"], rtol=1e-5)


def test_clips_heatmaps_scores_and_maps_take_the_same_words(two_streams):
    given = {"input": "rgb", "inputs": {"flow": FLOW}}
    clips = maximize(two_streams, "rgb_conv_1:0-1", steps=2, **given)
    assert clips.shape == (2, 6, 24, 24, 3)
    answer = attribute(two_streams, RGB[0], 0, method="gradient", **given)
    maps = responses.feature_maps(two_streams, RGB[0], "rgb_conv_1", **given)
    one = models.one_input(two_streams, **given)
    np.testing.assert_allclose(answer.score, scores(one, objectives.logit(0), RGB)[0, 0], rtol=1e-5)
    assert maps.maps.shape == (6, 24, 24, 6)
    other = attribute(two_streams, RGB[0], 0, method="gradient", input="rgb")
    assert answer.score != other.score  # what is held counts


def test_what_only_held_inputs_reach_is_refused_and_never_the_default(two_streams):
    for call in (
        lambda: maximize(two_streams, "flow_conv_1:0", input="rgb", steps=1),
        lambda: responses.feature_maps(two_streams, RGB[0], "flow_conv_1", input="rgb"),
    ):
        with pytest.raises(ValueError, match="the input 'rgb' reaches.*'flow'.*'flow_conv_1'"):
            call()
    for name, clip in (("rgb", RGB[0]), ("flow", np.abs(FLOW) % 1)):
        answer = attribute(two_streams, clip, 0, method="grad_cam", input=name)
        assert answer.settings["layer"].startswith(name)
    with pytest.raises(ValueError, match="the input 'rgb' reaches.*'flow_conv_2'"):
        attribute(two_streams, RGB[0], 0, method="grad_cam", input="rgb", layer="flow_conv_2")


def test_layers_that_only_held_inputs_reach_are_not_among_those_to_show(two_streams):
    network = models.one_input(two_streams, "rgb", {"flow": FLOW})
    reasons = {info.name: info.reason for info in layers.describe(network)}
    assert reasons["flow_conv_1"] == "it is the same for every clip"
    assert reasons["rgb_conv_1"] is None and reasons["average"] is None
    shown = [info.name for info in layers.visualizable(network)]
    assert shown == ["rgb_conv_1", "rgb_conv_2", "rgb_classes"]


def test_one_copy_serves_equal_words_and_keeps_what_is_compiled(two_streams):
    one = models.one_input(two_streams, "rgb", {"flow": FLOW})
    assert models.one_input(two_streams, "rgb", {"flow": FLOW.copy()}) is one
    assert models.one_input(two_streams, "rgb", {"flow": FLOW + 1}) is not one
    assert models.one_input(one) is one


def test_an_output_of_a_dictionary_is_called_by_its_key(with_metadata):
    speed = objectives.logit(0, output="speed")
    assert np.isfinite(attribute(with_metadata, RGB[0], speed, method="gradient").score)
    with pytest.raises(ValueError, match=r"'action', 'speed'.*Received: 'speed_in_pixels'"):
        attribute(with_metadata, RGB[0], objectives.logit(0, output="speed_in_pixels"))


def test_whole_numbers_are_made_of_clips():
    clip = keras.Input((4, 8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(clip)
    x = keras.layers.Conv3D(2, 3, name="conv")(x)
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(x))
    stored = RNG.integers(0, 256, (1, 4, 8, 8, 3), np.uint8)
    one = models.one_input(network)
    given = stored.astype(np.float32) / 255
    np.testing.assert_allclose(
        one.predict(given, verbose=0), network.predict(stored, verbose=0), rtol=1e-4
    )
    as_they_are = attribute(network, given[0], 0, method="gradient")
    by_hand = attribute(network, given[0], 0, method="gradient", preprocess=lambda x: 255 * x)
    assert np.abs(as_they_are.heatmap).max() > 0
    np.testing.assert_allclose(as_they_are.heatmap, by_hand.heatmap, rtol=1e-4)
    start = np.full((4, 8, 8, 3), 0.5)
    maximized = maximize(network, "conv:0", start=start, steps=4, parametrization="pixels")
    assert np.abs(maximized - 0.5).max() > 0.01


def test_a_held_clip_of_any_size_is_as_large_as_the_other():
    clip = keras.Input((None, None, None, 1), name="clip")
    flow = keras.Input((None, None, None, 2), name="flow")
    x = keras.layers.Concatenate()([clip, flow])
    network = keras.Model([clip, flow], keras.layers.Conv3D(2, 1, name="conv")(x))
    one = models.one_input(network, "clip", {"flow": 0.25})
    flow = np.full((1, 3, 5, 7, 2), 0.25)
    given = RNG.random((1, 3, 5, 7, 1), np.float32)
    np.testing.assert_allclose(
        one.predict(given, verbose=0), network.predict([given, flow], verbose=0), rtol=1e-5
    )
    assert maximize(one, "conv:0", frames=3, size=(8, 8), steps=1).shape == (1, 3, 8, 8, 1)


def test_frames_of_features_of_any_number_have_to_be_given():
    clip = keras.Input((4, 8, 8, 3), name="clip")
    features = keras.Input((None, 5), name="features")
    means = keras.layers.GlobalAveragePooling3D()(clip)
    x = keras.layers.Concatenate()([means, keras.layers.GlobalAveragePooling1D()(features)])
    network = keras.Model([clip, features], keras.layers.Dense(2)(x))
    with pytest.raises(ValueError, match=r"Expected inputs={'features': array}"):
        models.one_input(network)
    one = models.one_input(network, inputs={"features": np.ones((9, 5))})
    assert one.output_shape == (None, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, r"Expected input= one of 'flow', 'rgb'.*Received: none"),
        ({"input": "rbg"}, r"Expected the name of an input.*'rgb'.*Received: 'rbg'"),
        ({"input": "rgb", "inputs": {"flwo": 0}}, "input that is held.*'flow'.*Received: 'flwo'"),
        ({"input": "rgb", "inputs": {"rgb": 0}}, "input that is held.*Received: 'rgb'"),
        ({"input": "rgb", "inputs": {"flow": FLOW[:3]}}, r"shape \(6, 24, 24, 2\) without"),
        ({"input": "rgb", "inputs": {"flow": FLOW * np.nan}}, "Expected finite values"),
        ({"input": "rgb", "inputs": {"flow": "zero"}}, "Expected a number, or an array"),
        ({"input": "rgb", "inputs": [0.5]}, "Expected inputs={name: value}. Received: list"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(two_streams, given, words):
    for call in (
        lambda: maximize(two_streams, "rgb_conv_1:0", steps=1, **given),
        lambda: attribute(two_streams, RGB[0], 0, **given),
        lambda: responses.feature_maps(two_streams, RGB[0], "rgb_conv_1", **given),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_an_input_that_takes_no_clips_is_refused(with_metadata):
    with pytest.raises(ValueError, match=r"input of shape \(N, T, H, W, C\).*'metadata'"):
        models.one_input(with_metadata, "metadata")


def test_places_of_a_network_of_any_size_are_those_of_the_clip():
    clip = keras.Input((None, None, None, 3))
    x = keras.layers.Conv3D(2, 1, use_bias=False, name="conv")(clip)
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(x))
    given = RGB[0, :, :8, :8]
    neuron = objectives.neuron("conv", 1, position=(2, 3, 4))
    answer = attribute(network, given, neuron, method="gradient")
    kernel = network.get_layer("conv").get_weights()[0][0, 0, 0]
    np.testing.assert_allclose(answer.score, given[2, 3, 4] @ kernel[:, 1], rtol=1e-5)
    assert np.argwhere(answer.heatmap).tolist() == [[2, 3, 4]]
    frame = objectives.frame("conv", 0, frame=5)
    assert np.unique(
        np.argwhere(attribute(network, given, frame, method="gradient").heatmap)[:, 0]
    ) == [5]


def test_a_command_names_its_options_and_says_what_is_held(two_streams, with_metadata):
    nothing = SimpleNamespace(input=None, output=None, value_range=None)
    with pytest.raises(ValueError, match="Expected --input, one of 'flow', 'rgb'"):
        chosen._part(two_streams, nothing)
    with pytest.raises(ValueError, match="Expected --output, one of 'action', 'speed'"):
        with pytest.warns(UserWarning, match="held constant: 'frame_mask' at 1, 'metadata' at 0"):
            chosen._part(with_metadata, nothing)
    asked = SimpleNamespace(input="rgb", output=None, value_range=None)
    with pytest.warns(UserWarning, match="held constant: .flow. at 0; in Python, inputs="):
        assert chosen._part(two_streams, asked).input_shape == (None, 6, 24, 24, 3)
    speed = SimpleNamespace(input=None, output="speed", value_range=None)
    with pytest.warns(UserWarning, match="held"):
        assert chosen._part(with_metadata, speed).output_shape == (None, 1)
    with pytest.raises(ValueError, match="Expected --output.*Received: 'sped'"):
        with pytest.warns(UserWarning, match="held"):
            chosen._part(with_metadata, SimpleNamespace(**{**vars(speed), "output": "sped"}))
