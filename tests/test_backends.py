"""The same answers under TensorFlow, JAX and torch: numbers that TensorFlow gave.

`python tests/test_backends.py` writes them anew, under `KERAS_BACKEND=tensorflow`. Under another
backend, this is the file to run: `KERAS_BACKEND=jax python -m pytest tests/test_backends.py`.
"""

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from c3dvis import clips, models, objectives, responses
from c3dvis.attribution import attribute
from c3dvis.attribution import methods as attribution_methods
from c3dvis.callbacks import GalleryCallback
from c3dvis.gallery import __main__ as gallery
from c3dvis.maximize import Maximizer, parametrizations, regularizers, transforms
from c3dvis.models import bundled
from c3dvis.models.layers import visualizable

# Under TensorFlow other tests ask the same and more.
pytestmark = pytest.mark.slow if keras.backend.backend() == "tensorflow" else []

RECORD = Path(__file__).parent / "data" / "backends.json"
STEPS, SHAPE = 8, (8, 24, 24, 3)
# They read attention, which `small` has none of: asked of `tokens`.
OF_ATTENTION = ("attention_gradient", "attention_lrp", "attention_rollout")
# They draw what they begin with, or a background, by the backend's own random numbers.
DRAWN_BY_THE_BACKEND = ("alpha", "cppn")
# Keras under torch takes no layer whose name has a dot, as those of published networks have.
NETWORKS = {"torch": ("c3d-motion", "convlstm-motion")}
OPTIONS = {
    "extremal_2d": {"areas": [0.2], "steps": 4},
    "extremal_3d": {"areas": [0.2], "steps": 4},
    "integrated_gradients": {"max_steps": 8},
    "occlusion": {"block": [4, 8, 8], "stride": [4, 8, 8]},
    "rise": {"count": 8},
    "score_cam": {"channels": 4},
    "smooth_grad": {"samples": 4},
    "step": {"areas": [0.2], "steps": 4},
    "window": {"stride": 4},
}


@cache
def small() -> keras.Model:
    """Two convolutions and four classes, with weights from a seed that no backend draws."""
    layers = keras.layers
    clip = layers.Input(SHAPE)
    x = layers.Conv3D(8, 3, strides=(1, 2, 2), padding="same", activation="relu", name="low")(clip)
    x = layers.MaxPooling3D((1, 2, 2))(x)
    x = layers.Conv3D(8, 3, padding="same", activation="relu", name="high")(x)
    x = layers.GlobalAveragePooling3D()(x)
    network = keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
    rng = np.random.default_rng(0)
    network.set_weights([0.3 * rng.standard_normal(w.shape) for w in network.weights])
    return network


@cache
def tokens() -> keras.Model:
    """Patches of a clip, one block of attention and four classes, with weights from a seed."""
    layers = keras.layers
    clip = layers.Input(SHAPE)
    x = layers.Conv3D(8, (2, 8, 8), strides=(2, 8, 8), name="patches")(clip)
    x = layers.Reshape((-1, 8))(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    x = layers.GlobalAveragePooling1D()(x)
    network = keras.Model(clip, layers.Dense(4, activation="softmax", name="classes")(x))
    rng = np.random.default_rng(0)
    network.set_weights([0.3 * rng.standard_normal(w.shape) for w in network.weights])
    return network


@cache
def film() -> np.ndarray:
    """A bright square that moves."""
    clip = np.full(SHAPE, 0.2, np.float32)
    for frame in range(SHAPE[0]):
        clip[frame, 6:14, 2 * frame : 2 * frame + 8] = (0.9, 0.5, 0.1)
    return clip


def score(objective, **options) -> list[float]:
    """What clips of a few steps score."""
    maximizer = Maximizer(small(), objective, **options)
    return [float(result.score) for result in maximizer.make(steps=STEPS, seed=1)]


def heat(method: str) -> list[float]:
    network = tokens() if method in OF_ATTENTION else small()
    result = attribute(
        network, film(), objectives.logit(1), method=method, **OPTIONS.get(method, {})
    )
    parts = np.array_split(result.heatmap, 2, axis=1)
    return [result.score, *(float(np.abs(part).sum()) for part in parts)]


def logits(name: str) -> list[float]:
    """The logits of a bundled network for a clip of noise."""
    network = models.build(name)
    clip = np.random.default_rng(2).random((1, *network.input_shape[1:]), np.float32)
    # Compiled as a whole: JAX compiles each operation of a network that is called by itself.
    return np.ravel(network.predict(clip, verbose=0)).tolist()


def command() -> list[float]:
    """Brightness of the two clips that the gallery's command writes."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = ("--layers", "conv1", "--filters", "0-1", "--steps", "8")
        assert gallery.main([*chosen, "--out", folder]) == 0
        written = sorted(Path(folder).glob("conv1/*.gif"))
        return [float(clips.read(path, frames=16, size=(64, 64)).mean()) for path in written]


SPATIAL = [
    transforms.Pad(4),
    transforms.Jitter(8),
    transforms.Crop(),
    transforms.Rotate(),
    transforms.Scale(),
]
TEMPORAL = [
    transforms.TemporalJitter(2),
    transforms.Speed(),
    transforms.Freeze(2),
    transforms.ColourNoise(),
]
REGULARIZERS = [
    regularizers.Blur(spatial=0.1, temporal=0.1),
    regularizers.Norm(weight=0.1),
    regularizers.TemporalSmoothness(first=0.1, second=0.1),
    regularizers.TotalVariation(spatial=0.1, temporal=0.1),
]


def feature_maps() -> list[float]:
    shown = responses.feature_maps(small(), film(), "high")
    return [float(np.abs(each).mean()) for each in np.moveaxis(shown.maps, -1, 0)]


def sweep() -> list[float]:
    """Mean of each channel over four clips."""
    still = np.repeat(film()[:1], SHAPE[0], axis=0)
    shown = np.stack([film(), film()[::-1], still, 1 - film()])
    with tempfile.TemporaryDirectory() as folder:
        swept = responses.sweep(small(), shown, layers=["low"], out=folder)
        return np.ravel(swept.layers["low"].mean).tolist()


def training() -> list[float]:
    """Brightness of two clips of a network in training, whose weights stay as they were."""
    small().compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    with tempfile.TemporaryDirectory() as folder:
        callback = GalleryCallback({"low": [0, 5]}, folder, steps=STEPS)
        targets = np.eye(4, dtype=np.float32)[:1]
        small().fit(film()[None], targets, callbacks=[callback], verbose=0)
        written = sorted(callback.folder.glob("*/epoch-0001.gif"))
        return [float(clips.read(path, frames=8, size=(24, 24)).mean()) for path in written]


def questions() -> dict[str, Callable[[], list[float]]]:
    """Each name's question, whose answer is some numbers."""
    asked: dict[str, Callable[[], list[float]]] = {}
    for name in bundled.names():
        asked[f"network {name}"] = lambda name=name: logits(name)
    for name in parametrizations.names():
        if name in DRAWN_BY_THE_BACKEND:
            continue
        asked[f"parametrization {name}"] = lambda name=name: score("high:1", parametrization=name)
    for name, objective in {
        "channels": objectives.channel("low", [0, 5]),
        "neuron": objectives.neuron("high", 3),
        "logits": objectives.logit([0, 2]),
        "log odds": objectives.log_odds(1),
        "a sum": objectives.channel("low", 1) + 2 * objectives.logit(3),
    }.items():
        asked[f"objective {name}"] = lambda objective=objective: score(objective)
    for name in attribution_methods.names():
        asked[f"method {name}"] = lambda name=name: heat(name)
    for name, chosen in {"space": SPATIAL, "time and colour": TEMPORAL}.items():
        asked[f"transforms in {name}"] = lambda chosen=chosen: score("low:1", transforms=chosen)
    asked["regularizers"] = lambda: score("low:1", transforms=[], regularizers=REGULARIZERS)
    asked["no transforms"] = lambda: score("high:2", transforms=[])
    for ask in (command, feature_maps, sweep, training):
        asked[ask.__name__] = ask
    return asked


@pytest.mark.parametrize("name", questions())
def test_a_backend_gives_what_tensorflow_gave(name):
    kind, _, own = name.partition(" ")
    if kind == "network" and own not in NETWORKS.get(keras.backend.backend(), (own,)):
        pytest.skip(
            "a network with dots in names of layers, under torch, or one of many, under JAX"
        )
    expected = json.loads(RECORD.read_text(encoding="utf-8"))[name]
    np.testing.assert_allclose(questions()[name](), expected, rtol=1e-2, atol=1e-4)


def test_every_transform_and_regularizer_is_asked():
    assert {type(one).__name__ for one in SPATIAL + TEMPORAL} == set(transforms.names())
    assert {type(one).__name__ for one in REGULARIZERS} == set(regularizers.names())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch runs its modules")
def test_a_module_of_torch_is_one_layer():
    import torch

    class LastChannels(torch.nn.Module):
        """A convolution of clips whose channels are last."""

        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv3d(3, 4, 3, padding=1)

        def forward(self, x):
            return torch.relu(self.conv(x.permute(0, 4, 1, 2, 3))).permute(0, 2, 3, 4, 1)

    layers, shape = keras.layers, (4, 12, 12, 3)
    clip = layers.Input(shape)
    x = layers.TorchModuleWrapper(
        LastChannels(), output_shape=(None, *shape[:3], 4), name="module"
    )(clip)
    scores = layers.Dense(3, name="scores")(layers.GlobalAveragePooling3D()(x))
    network = keras.Model(clip, scores)
    listed = [(info.name, info.channels) for info in visualizable(network)]
    assert listed == [("module", 4), ("scores", 3)]
    before = [keras.ops.convert_to_numpy(weight) for weight in network.weights]
    low, high = (
        next(iter(Maximizer(network, "module:1").make(steps=steps))).score for steps in (1, 16)
    )
    assert high > low
    frames = np.random.default_rng(0).random(shape, np.float32)
    for method, options in (("gradient", {}), ("grad_cam", {"layer": "module", "signed": True})):
        heatmap = attribute(network, frames, 0, method=method, **options).heatmap
        assert heatmap.shape == shape[:3] and np.abs(heatmap).max() > 0
    after = [keras.ops.convert_to_numpy(weight) for weight in network.weights]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="steps are not compiled under torch")
def test_a_step_is_traced_once():
    """Operations that run one by one give the same clips, but fifty times slower under JAX."""
    unit = objectives.channel("high", 0)
    maximizer = Maximizer(small(), unit, batch_size=1)
    for _ in range(2):
        list(maximizer.make(steps=STEPS))
    assert maximizer.traces == 1


if __name__ == "__main__":
    if keras.backend.backend() != "tensorflow":
        raise SystemExit("Expected KERAS_BACKEND=tensorflow, whose numbers others are held to.")
    answers = {name: ask() for name, ask in questions().items()}
    RECORD.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
