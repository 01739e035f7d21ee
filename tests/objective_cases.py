"""Every objective, for any network, and small networks of every kind, for tests that cross them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np

from c3dvis import models, objectives
from c3dvis.maximize.regularizers import TotalVariation
from c3dvis.models import layers

L = keras.layers
Make = Callable[[keras.Model], objectives.Objective]


def objectives_for(network: keras.Model) -> list[tuple[str, Make]]:
    """Pairs of an id and a function of the network that gives the objective."""
    classifies = len(network.outputs[0].shape) == 2
    of_classes = ("logit", "log odds", "sum")
    return [case for case in CASES.items() if classifies or case[0] not in of_classes]


def first(network: keras.Model) -> str:
    """The first layer with weights and positions in time and space."""
    return _maps(network)[0].name


def middle(network: keras.Model) -> str:
    """One some way up that has a value before its activation and several channels."""
    infos = [info for info in _maps(network, weightless=True) if "LSTM" not in info.kind]
    return infos[min(len(infos) // 2, 6)].name


def channels(network: keras.Model, name: str) -> int:
    return next(info.channels for info in layers.describe(network) if info.name == name)


def given(network: keras.Model, count: int | None = None) -> np.ndarray:
    """Clips of coarse blocks that the network takes; one without a batch axis for None."""
    shape = network.inputs[0].shape[1:]
    draw = np.random.default_rng(5).random((count or 1, *(-(-n // 4) for n in shape[:3]), shape[3]))
    blocks = draw.repeat(4, 1).repeat(4, 2).repeat(4, 3)
    clips = blocks[:, : shape[0], : shape[1], : shape[2]].astype(np.float32)
    return clips if count else clips[0]


def _maps(network, weightless=False):
    infos = layers.visualizable(network, weightless=weightless)
    return [info for info in infos if len(info.shape) == 4 and info.channels > 2]


def _vectors(network) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, channels(network, middle(network))))


def _logit(network) -> objectives.Objective:
    return objectives.logit([0, 1], output=_output(network))


def _output(network) -> str:
    names = network.output_names
    return names[-1] if len(names) > 1 else ""


def _between(network) -> objectives.Objective:
    return objectives.interpolation(first(network), 0, middle(network), 1, clips=3)


CASES: dict[str, Make] = {
    "channel": lambda n: objectives.channel(middle(n), [0, 1]),
    "channel before": lambda n: objectives.channel(middle(n), [0, 1], before_activation=True),
    "neuron": lambda n: objectives.neuron(middle(n), [0, 1]),
    "neuron at": lambda n: objectives.neuron(middle(n), 2, position=(1, 0, 1)),
    "frame": lambda n: objectives.frame(middle(n), [0, 1], frame=1),
    "layer": lambda n: objectives.layer(middle(n)),
    "direction": lambda n: objectives.direction(middle(n), _vectors(n), power=1),
    "direction neuron": lambda n: objectives.direction_neuron(middle(n), _vectors(n), power=2),
    "logit": _logit,
    "log odds": lambda n: objectives.log_odds([0, 1], output=_output(n)),
    "interpolation": _between,
    "alignment": lambda n: _between(n) + 10 * objectives.alignment(first(n)),
    "diversity": lambda n: objectives.channel(middle(n), [0] * 3) + objectives.diversity(middle(n)),
    "difference": lambda n: objectives.activation_difference(middle(n), given(n, 2)),
    "style": lambda n: objectives.activation_difference(middle(n), given(n), style=True),
    "caricature": lambda n: objectives.caricature(middle(n), given(n)),
    "penalty": lambda n: (
        objectives.channel(middle(n), [0, 1])
        - 0.5 * objectives.penalty(TotalVariation(spatial=1, temporal=1))
    ),
    "sum": lambda n: (
        objectives.channel(middle(n), [0, 1]) + 2 * objectives.frame(first(n), 0) - 0.5 * _logit(n)
    ),
}


def branches(shape=(8, 16, 20, 3), heads=("classes",)) -> keras.Model:
    """Branches of convolution, batch normalization and ReLU that meet, as in I3D."""
    keras.utils.set_random_seed(0)
    clip = L.Input(shape)
    x = L.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(clip)
    x = L.MaxPooling3D(2, name="pool1")(x)
    parts = []
    for name, kernel in (("left", 1), ("right", 3)):
        y = L.Conv3D(3, kernel, padding="same", use_bias=False, name=f"{name}.conv")(x)
        y = L.BatchNormalization(name=f"{name}.norm")(y)
        parts.append(L.ReLU(name=name)(y))
    x = L.Concatenate(name="block")(parts)
    x = L.GlobalAveragePooling3D(name="mean")(x)
    outputs = [L.Dense(3, activation="softmax", name=name)(x) for name in heads]
    return keras.Model(clip, outputs if len(outputs) > 1 else outputs[0])


def _seeded(build: Callable[..., keras.Model], **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build(classes=3, **options)


_BUILDERS: dict[str, Callable[[], keras.Model]] = {
    "branches": branches,
    "two outputs": lambda: branches(heads=("verb", "noun")),
    "grey": lambda: branches((8, 16, 16, 1)),
    "flow": lambda: branches((6, 16, 16, 2)),
    "c3d": lambda: _seeded(models.C3D, width=1 / 16, fc=8, input_shape=(16, 16, 16, 3)),
    "r2plus1d": lambda: _seeded(models.R2Plus1D, width=1 / 16, input_shape=(8, 16, 16, 3)),
    "convlstm": lambda: _seeded(
        models.ConvLSTM, filters=(4,), kernel_size=(3, 3), input_shape=(6, 16, 16, 3)
    ),
}
NETWORKS = tuple(_BUILDERS)


@functools.cache
def network(name: str) -> keras.Model:
    """The network of that name, built once."""
    return _BUILDERS[name]()
