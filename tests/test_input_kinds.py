"""Clips of every kind that networks take: clips and heatmaps in Python, and both commands."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
from keras import layers

from c3dvis import clips, objectives
from c3dvis.attribution import attribute
from c3dvis.attribution.__main__ import main as attribution
from c3dvis.gallery.__main__ import main as gallery
from c3dvis.maximize import maximize

SHAPE = (4, 16, 16)


@dataclass(frozen=True)
class Kind:
    """Something that a network takes.

    Attributes:
        begin: Layers in front of the first convolution.
        channels: Of the clip.
        input: Arguments of `keras.Input`.
        policy: Of all layers.
        python: Arguments of `maximize` and `attribute`.
        command: Arguments of the commands.
    """

    begin: tuple = ()
    channels: int = 3
    input: dict = field(default_factory=dict)
    policy: str = "float32"
    python: dict = field(default_factory=dict)
    command: tuple = ()

    def network(self) -> keras.Model:
        keras.utils.set_random_seed(0)
        clip = keras.Input(**{"shape": (*SHAPE, self.channels), **self.input})
        x = clip
        for make in self.begin:
            x = make()(x)
        conv = layers.Conv3D(
            4, 3, padding="same", activation="relu", name="conv", dtype=self.policy
        )
        x = layers.GlobalAveragePooling3D(dtype=self.policy)(conv(x))
        return keras.Model(clip, layers.Dense(2, activation="softmax", dtype="float32")(x))


def known_range():
    return layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])


def augmentation():
    return keras.Sequential(
        [
            keras.Input((*SHAPE, 3)),
            layers.TimeDistributed(layers.RandomFlip()),
            layers.TimeDistributed(layers.RandomTranslation(0.3, 0.3)),
            layers.GaussianNoise(0.5),
            layers.SpatialDropout3D(0.5),
        ]
    )


def times_255(clip):
    return 255 * clip


ANY_SIZE = {"shape": (None, None, None, 3)}
TO_ONE = (lambda: layers.Rescaling(1 / 255),)
KINDS = {
    "uint8": Kind(TO_ONE, input={"dtype": "uint8"}),
    "0 to 255": Kind(
        TO_ONE, python={"preprocess": times_255}, command=("--value-range", "0", "255")
    ),
    "normalization": Kind((known_range,)),
    "augmentation": Kind((augmentation,)),
    "float16": Kind(policy="mixed_float16"),
    "bfloat16": Kind(policy="mixed_bfloat16"),
    "any size": Kind(input=ANY_SIZE, command=("--frames", "4", "--size", "16")),
    "channels first": Kind(
        (lambda: layers.Permute((4, 1, 2, 3)), lambda: layers.Permute((2, 3, 4, 1)))
    ),
    **{f"channels {n}": Kind(channels=n) for n in (1, 2, 4, 10)},
}


def clip_of(kind: Kind) -> np.ndarray:
    return np.random.default_rng(0).random((*SHAPE, kind.channels), np.float32)


@pytest.mark.parametrize("name", KINDS)
def test_clips_and_heatmaps(name):
    kind = KINDS[name]
    network = kind.network()
    size = {"frames": 4, "size": (16, 16)} if kind.input is ANY_SIZE else {}
    start = np.full((*SHAPE, kind.channels), 0.5)
    options = {"parametrization": "pixels", "start": start, "steps": 2, "steps_per_execution": 1}
    objective = objectives.channel("conv", 0, before_activation=True)
    clips = maximize(network, objective, **options, **size, **kind.python)
    assert clips.shape == (1, *start.shape) and np.abs(clips - 0.5).max() > 0.01
    answers = [
        attribute(network, clip_of(kind), 1, method="gradient", **kind.python) for _ in range(2)
    ]
    assert np.abs(answers[0].heatmap).max() > 0
    np.testing.assert_array_equal(answers[0].heatmap, answers[1].heatmap)


@pytest.mark.parametrize("inside", [None, "attention", "recurrent"])
def test_gradients_of_half_precision_are_those_of_single_precision(inside):
    """In float16 itself they would be 0."""

    def build(policy):
        keras.utils.set_random_seed(0)
        clip = keras.Input((*SHAPE, 3))
        x = layers.Conv3D(4, 3, activation="relu", dtype=policy)(clip)
        if inside == "attention":
            x = layers.Reshape((-1, 4), dtype=policy)(x)
            x = layers.MultiHeadAttention(2, 4, dtype=policy)(x, x)
        if inside == "recurrent":
            x = layers.TimeDistributed(layers.Flatten(dtype=policy), dtype=policy)(x)
            x = layers.LSTM(4, return_sequences=True, dtype=policy)(x)
        x = layers.Flatten(dtype="float32")(x)
        # So little of each place, as in a mean over many.
        x = layers.Rescaling(1e-6, dtype=policy)(x)
        return keras.Model(clip, layers.Dense(2, dtype="float32")(x))

    half, single = build("mixed_float16"), build("float32")
    single.set_weights(half.get_weights())
    clip = clip_of(KINDS["float16"])
    heatmaps = [attribute(one, clip, 0, method="gradient").heatmap for one in (half, single)]
    assert np.abs(heatmaps[1]).max() > 0
    np.testing.assert_allclose(*heatmaps, rtol=1e-4, atol=1e-4 * np.abs(heatmaps[1]).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_commands(name, tmp_path):
    kind = KINDS[name]
    kind.network().save(tmp_path / "network.keras")
    clips.write(tmp_path / "clip.gif", clip_of(KINDS["normalization"]))
    own = ["--keras-model", str(tmp_path / "network.keras"), *kind.command]
    units = ["--layers", "conv", "--filters", "0", "--steps", "1", "--compare", "0"]
    assert gallery([*own, *units, "--out", str(tmp_path / "gallery")]) == 0
    errors = io.StringIO()
    asked = ["--method", "gradient", "--short", "hold", "--out", str(tmp_path / "attribution")]
    with contextlib.redirect_stderr(errors):
        code = attribution([str(tmp_path / "clip.gif"), *own, *asked])
    if kind.channels in (1, 3):
        assert code == 0, errors.getvalue()
    else:  # a file of pictures has three
        assert code == 2 and f"{kind.channels}" in errors.getvalue(), errors.getvalue()
        assert len(errors.getvalue().strip().splitlines()) == 1
