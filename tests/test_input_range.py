"""Networks that begin by scaling from 0 to 255 are given that, others what they take."""

import argparse

import keras
import numpy as np
import pytest
from keras import layers, ops

from c3dvis import models, objectives, responses
from c3dvis.attribution import attribute
from c3dvis.maximize import maximize
from c3dvis.models import chosen
from c3dvis.models.input_range import takes_bytes

SHAPE = (4, 8, 8, 3)
MEANS, DEVIATIONS = np.array([124.0, 117.0, 104.0]), np.array([58.0, 57.0, 57.0])


def network(*scaling):
    """Two paths from the scaled clip to a convolution."""
    clip = keras.Input(SHAPE)
    x = clip
    for step in scaling:
        x = step(x)
    one, other = (layers.Conv3D(2, 3, name=name)(x) for name in ("conv", "other"))
    return keras.Model(clip, layers.GlobalAveragePooling3D()(layers.Add()([one, other])))


def rescaling():
    return layers.Rescaling(1 / 255)


def normalization(factor=1.0):
    return layers.Normalization(mean=MEANS * factor, variance=(DEVIATIONS * factor) ** 2)


def nested(*parts):
    return keras.Sequential([keras.Input(SHAPE), *parts])


def imagenet(mode):
    from keras.applications import imagenet_utils

    return lambda x: imagenet_utils.preprocess_input(x, "channels_last", mode)


BYTES = {
    "rescaling": [rescaling],
    "to -1 and 1": [lambda: layers.Rescaling(1 / 127.5, offset=-1)],
    "in TimeDistributed": [lambda: layers.TimeDistributed(rescaling())],
    "in a model": [lambda: nested(rescaling())],
    "in a model in TimeDistributed": [
        lambda: layers.TimeDistributed(keras.Sequential([keras.Input(SHAPE[1:]), rescaling()]))
    ],
    "behind augmentation": [lambda: layers.TimeDistributed(layers.RandomFlip()), rescaling],
    "normalization": [normalization],
    "normalized to a deviation of 0.2": [rescaling, lambda: normalization(1 / 255)],
    "keras.applications, torch": [lambda: imagenet("torch")],
    "keras.applications, tf": [lambda: imagenet("tf")],
    "keras.applications, caffe": [lambda: imagenet("caffe")],
    "operations": [lambda: lambda x: ops.multiply(x, 1 / 255)],
}
OTHERS = {
    "nothing": [],
    "-1 to 1": [lambda: layers.Rescaling(2.0, offset=-1)],
    "normalized in [0, 1]": [lambda: normalization(1 / 255)],
    "back to 0 and 255": [lambda: layers.Rescaling(255.0), rescaling],
    "Hounsfield units": [lambda: layers.Normalization(mean=-300, variance=400.0**2)],
    "16 bits": [lambda: layers.Rescaling(1 / 65535)],
    "upside down": [lambda: lambda x: 1 - x],
}


@pytest.mark.parametrize("name", BYTES)
def test_first_layers_for_0_to_255_are_found(name):
    one = network(*(make() for make in BYTES[name]))
    assert takes_bytes(one, *one.inputs)
    clip = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    given = models.one_input(one)
    np.testing.assert_allclose(
        given(clip, training=False), one(255 * clip, training=False), rtol=1e-4, atol=1e-5
    )
    assert models.one_input(one, scaled=False) is one and models.one_input(given) is given


@pytest.mark.parametrize("name", OTHERS)
def test_other_first_layers_leave_the_clip_as_it_is(name):
    one = network(*(make() for make in OTHERS[name]))
    assert not takes_bytes(one, *one.inputs) and models.one_input(one) is one


def test_a_second_path_that_reads_the_clip_itself_leaves_it_as_it_is():
    clip = keras.Input(SHAPE)
    both = layers.Concatenate()([rescaling()(clip), clip])
    assert not takes_bytes(keras.Model(clip, layers.Conv3D(2, 3)(both)), clip)


def test_calls_give_what_a_range_given_by_hand_gives():
    one = network(rescaling())
    clip = np.random.default_rng(0).random(SHAPE, np.float32)
    by_hand = {"preprocess": lambda x: 255 * x}
    heat, expected = (attribute(one, clip, 0, method="gradient", **o) for o in ({}, by_hand))
    assert expected.heatmap.any()
    np.testing.assert_allclose(heat.heatmap, expected.heatmap, rtol=1e-4)
    maps, expected = (responses.feature_maps(one, clip, "conv", **o) for o in ({}, by_hand))
    np.testing.assert_allclose(maps.maps, expected.maps, rtol=1e-4, atol=1e-6)
    swept, expected = (responses.sweep(one, [clip], verbose=0, **o) for o in ({}, by_hand))
    np.testing.assert_allclose(swept["conv"].mean, expected["conv"].mean, rtol=1e-4, atol=1e-6)
    start = np.full(SHAPE, 0.5, np.float32)
    options = {"start": start, "steps": 2, "parametrization": "pixels"}
    wanted = objectives.channel("conv", 0)
    clips, expected = (maximize(one, wanted, **options, **o) for o in ({}, by_hand))
    np.testing.assert_allclose(clips, expected, atol=1e-3)


def test_commands_say_so_and_take_another_range(tmp_path):
    network(rescaling()).save(tmp_path / "network.keras")
    nothing = dict.fromkeys(("model", "weights", "labels", "input", "output", "frames", "size"))
    own = {**nothing, "keras_model": str(tmp_path / "network.keras")}
    with pytest.warns(UserWarning, match=r"0 to 255.*--value-range 0 1 prevents this"):
        scaled = chosen.load(argparse.Namespace(**own, value_range=None))
    as_it_is = chosen.load(argparse.Namespace(**own, value_range=(0.0, 1.0)))
    clip = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    np.testing.assert_allclose(scaled(clip), as_it_is(255 * clip), rtol=1e-4, atol=1e-6)


def test_a_second_clip_that_is_held_is_as_grey():
    clips = [keras.Input(SHAPE, name=name) for name in ("rgb", "other")]
    both = layers.Concatenate()([layers.Rescaling(1 / 255)(clip) for clip in clips])
    two = keras.Model(clips, layers.GlobalAveragePooling3D()(layers.Conv3D(2, 3)(both)))
    one = models.one_input(two, "rgb")
    clip = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    expected = two([255 * clip, np.full_like(clip, 128)])
    np.testing.assert_allclose(one(clip), expected, rtol=1e-4, atol=1e-6)
