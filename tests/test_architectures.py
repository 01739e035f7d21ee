"""Networks as Keras users have them: everything works, or is refused in a sentence of ours.

Each file of `architectures/` says in `REFUSED` what cannot be done with it, and with which words.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil
import re
import warnings
from collections.abc import Callable

import architectures
import keras
import numpy as np
import pytest
from shared_data import shared_data

from c3dvis import clips, models, objectives, responses
from c3dvis.attribution import attribute
from c3dvis.attribution.__main__ import main as attribution
from c3dvis.gallery.__main__ import main as gallery
from c3dvis.maximize import maximize
from c3dvis.models import layers

NAMES = [module.name for module in pkgutil.iter_modules(architectures.__path__)]
# The rest of what is tried takes minutes each; it is, where the weights of open-rppg are there.
HEAVY = ("facephys", "me", "physformer", "physmamba", "rhythmmamba")
OPTIONS = {
    "integrated_gradients": {"steps": 4, "max_steps": 8},
    "occlusion": {"block": (3, 12, 12), "stride": (3, 12, 12)},
    "step": {"steps": 2, "areas": (0.1,)},
}
METHODS = ("gradient", "grad_cam", "integrated_gradients", "occlusion", "step")


class Case:
    """A network, a clip for it, and what is said of it."""

    def __init__(self, name: str, **options):
        self.module = importlib.import_module(f"architectures.{name}")
        keras.utils.set_random_seed(0)
        self.network = self.module.build(**options)
        self.given = {"input": self.module.INPUT} if hasattr(self.module, "INPUT") else {}
        one = models.one_input(self.network, **self.given)
        own = tuple(one.inputs[0].shape[1:])
        self.shape = tuple(n or default for n, default in zip(own, (6, 16, 16, 3), strict=True))
        self.clip = np.random.default_rng(0).random(self.shape, np.float32)
        self.any_size = None in own
        self.size = {"frames": self.shape[0], "size": self.shape[1:3]} if self.any_size else {}
        self.objective = getattr(self.module, "objective", lambda: objectives.logit(0))()
        self.refused = getattr(self.module, "REFUSED", {})

    def quick(self) -> dict[str, Callable]:
        """What the default suite tries."""
        middle = self.module.LAYERS[1]
        return {
            "list": lambda: self.listed(),
            f"maximize {middle}": lambda: self.maximized(objectives.channel(middle, 0)),
            "gradient": lambda: self.explained("gradient"),
            "grad_cam": lambda: self.explained("grad_cam"),
            f"maps {middle}": lambda: self.mapped(middle),
        }

    def slow(self, folder) -> dict[str, Callable]:
        """The rest."""
        first, _, last = self.module.LAYERS
        tried: dict[str, Callable] = {}
        if hasattr(self.module, "objective"):  # else it is a class, which the gallery maximizes
            tried["maximize output"] = lambda: self.maximized(self.objective)
        for layer in (first, last):  # the gallery maximizes them
            tried[f"maps {layer}"] = lambda layer=layer: self.mapped(layer)
        for method in METHODS[2:]:
            tried[method] = lambda method=method: self.explained(method)
        tried["gallery"] = lambda: self.command(gallery, folder)
        tried["attribution"] = lambda: self.command(attribution, folder)
        return tried

    def listed(self):
        names = [info.name for info in layers.visualizable(self.network, weightless=True)]
        missing = [name for name in self.module.LAYERS if name not in names]
        assert not missing, f"not listed: {missing}, among {names}"

    def mapped(self, layer):
        responses.feature_maps(self.network, self.clip, layer, **self.given)

    def maximized(self, objective):
        clips = maximize(self.network, objective, steps=1, **self.size, **self.given)
        assert clips.shape == (1, *self.shape) and np.isfinite(clips).all()

    def explained(self, method):
        options = {**OPTIONS.get(method, {}), **self.given}
        answer = attribute(self.network, self.clip, self.objective, method=method, **options)
        assert answer.heatmap.shape == self.shape[:3]

    def command(self, main, folder):
        path, clip = folder / "network.keras", folder / "clip.gif"
        if not path.exists():
            self.network.save(path)
            shown = clips.to_rgb(self.clip)
            clips.write(clip, shown)
        arguments = ["--keras-model", str(path), "--out", str(folder / main.__module__)]
        for name in ("input", "output"):
            value = getattr(self.module, name.upper(), None)
            arguments += [] if value is None else [f"--{name}", value]
        if self.any_size:
            height, width = self.shape[1:3]
            arguments += ["--frames", str(self.shape[0]), "--size", f"{height}x{width}"]
        if main is gallery:
            first, _, last = self.module.LAYERS
            arguments += ["--layers", *dict.fromkeys([first, last])]
            if hasattr(self.module, "OUTPUT") or not hasattr(self.module, "objective"):
                arguments += ["--classes", "0"]
            arguments += ["--filters", "0", "--steps", "1", "--compare", "0"]
        else:
            arguments = [str(clip), "--method", "gradient", "--short", "hold", *arguments]
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = main(arguments)
        if code == 2:
            raise ValueError(errors.getvalue().removeprefix("error: "))
        assert code == 0, errors.getvalue()


def outcomes(tried: dict[str, Callable]) -> dict[str, str]:
    """Of each thing that was tried and did not work, the words."""
    said = {}
    for name, call in tried.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except ValueError as error:
            said[name] = str(error)
    return said


def check(case: Case, tried: dict[str, Callable]) -> None:
    said = outcomes(tried)
    refused = {name: words for name, words in case.refused.items() if name in tried}
    assert set(said) == set(refused), said
    for name, words in refused.items():
        assert re.search(words, said[name]), (name, said[name])
        assert "Exception encountered" not in said[name]


def name_such_as(words: str) -> str:
    """The first name that a refusal suggests."""
    match = re.search(r"such as '([^']+)'", words)
    assert match, words
    return match[1]


# What a refusal says to do, as what is done of it: of the case, what was tried and the words.
OBEYED: dict[str, Callable] = {
    "Expected a layer with rows, columns": lambda case, tried, words: responses.feature_maps(
        case.network, case.clip, name_such_as(words), **case.given
    ),
    "Expected one patch embedding": lambda case, tried, words: responses.feature_maps(
        case.network, case.clip, tried.split()[-1], grid=(case.shape[0], 1, 1), **case.given
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one in HEAVY)) for one in NAMES]
)
def test_layers_clips_and_heatmaps(name, tmp_path):
    """Layers, clips and heatmaps work, and so does what the refusals advise."""
    case = Case(name)
    check(case, case.quick())
    tried = {**case.quick(), **case.slow(tmp_path)}
    for what, pattern in case.refused.items():
        with pytest.raises(ValueError, match=pattern) as refusal:
            tried[what]()
        (advice,) = [obey for words, obey in OBEYED.items() if words in str(refusal.value)]
        advice(case, what, str(refusal.value))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in HEAVY])
def test_everything_else(name, tmp_path):
    case = Case(name)
    check(case, case.slow(tmp_path))


# Of open-rppg (a Python package, MIT), unpacked from its wheel; what its own code
# makes of `np.random.default_rng(0).random(shape)`.
OPEN_RPPG = {
    "physnet.pure": ("physnet", (16, 32, 32, 3), [-0.49418, -0.03511, -0.18227, -0.26436]),
    "physnet.rlap": ("physnet", (16, 32, 32, 3), [1.34113, 1.58410, 1.43929, 0.50861]),
    "TSCAN.pure": ("tscan", (160, 36, 36, 3), [0.11868, 0.02733, 0.04128, -0.00276]),
    "TSCAN.rlap": ("tscan", (160, 36, 36, 3), [-0.03803, -0.27942, -0.34170, -0.09244]),
    "EfficientPhys.pure": ("efficientphys", (16, 72, 72, 3), [0.38785, 0.11755, -0.01935, 0.29250]),
    "EfficientPhys.rlap": (
        "efficientphys",
        (16, 72, 72, 3),
        [0.02839, -0.01549, -0.01938, 0.10207],
    ),
    "PhysFormer.pure": ("physformer", (16, 128, 128, 3), [-2.45409, -0.38149, -1.59409, -0.59181]),
    "PhysFormer.rlap": ("physformer", (16, 128, 128, 3), [0.36395, 3.18020, 0.58349, 0.59456]),
    "PhysMamba.pure": ("physmamba", (32, 32, 32, 3), [-2.34801, -2.30792, -2.02383, -1.40302]),
    "PhysMamba.rlap": ("physmamba", (32, 32, 32, 3), [-0.58039, -0.69114, -0.91314, -1.23274]),
    "RhythmMamba.pure": ("rhythmmamba", (16, 64, 64, 3), [0.77318, 0.77318, 1.47342, 1.47342]),
    "FacePhys.rlap": ("facephys", (6, 36, 36, 3), [-1.05893, -0.62174, -0.55583, -1.13883]),
    "ME.pure": ("me", (16, 36, 36, 3), [-0.34242, -0.16774, -0.50881, -0.02340]),
    "ME.rlap": ("me", (16, 36, 36, 3), [0.58788, 0.49196, 0.13460, -0.36755]),
}


def full_size(name) -> dict:
    """What `build` is given for as many blocks as the weights have."""
    module, _, _ = OPEN_RPPG[name]
    return getattr(importlib.import_module(f"architectures.{module}"), "FULL", {})


def load_open_rppg(network, weights) -> None:
    (model,) = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    model.load_weights(weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPEN_RPPG)
def test_the_weights_of_open_rppg_compute_the_same_here(name):
    module, shape, expected = OPEN_RPPG[name]
    weights = shared_data(f"open-rppg/{name}.weights.h5")
    network = importlib.import_module(f"architectures.{module}").build(shape, **full_size(name))
    load_open_rppg(network, weights)
    clip = np.random.default_rng(0).random(shape).astype(np.float32)
    (got,) = network.predict(clip[None], verbose=0)
    # The wheel's numbers of these two are of JAX, which differs from TensorFlow by 1e-4 itself.
    atol = 3e-4 if module in ("facephys", "rhythmmamba") else 1e-4
    np.testing.assert_allclose(got[: len(expected)], expected, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OPEN_RPPG if name.endswith("rlap")])
def test_everything_with_the_weights_of_open_rppg(name, tmp_path):
    weights = shared_data(f"open-rppg/{name}.weights.h5")
    case = Case(OPEN_RPPG[name][0], **full_size(name))
    load_open_rppg(case.network, weights)
    check(case, {**case.quick(), **case.slow(tmp_path)})


def test_the_advice_for_a_subclassed_model_is_right():
    """`subclassed.build` does what the refusal of the bare model says."""
    bare = importlib.import_module("architectures.subclassed").Subclassed()
    bare(keras.ops.zeros((1, 6, 24, 24, 3)))
    with pytest.raises(ValueError, match=r"wrap a subclassed model: keras.Model\(clip, model"):
        layers.visualizable(bare)
