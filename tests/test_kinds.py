"""Adding one of a kind touches one file; and settings of each make another like it."""

import gc
import inspect
import sys
from dataclasses import dataclass

import pytest

from c3dvis import objectives
from c3dvis.attribution import methods
from c3dvis.attribution.explain import methods_with_options
from c3dvis.gallery.arguments import arguments_parser
from c3dvis.maximize import conditioning, parametrizations, regularizers, transforms
from c3dvis.maximize.parametrizations import alpha

PARAMETRIZATION = """
from c3dvis.maximize.parametrizations.pixels import Pixels

class Ripples(Pixels):
    pass
"""
TRANSFORM = """
from c3dvis.maximize.transforms import Transform

class Mirror(Transform):
    def call(self, clips, uniforms):
        return clips[:, :, :, ::-1]
"""
OBJECTIVE = """
from c3dvis.objectives import Objective, channel

def first_channel(layer: str) -> Objective:
    return channel(layer, 0)
"""


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Adds a file to a package, as if it lay in its folder."""
    modules = set(sys.modules)

    def add(package, file, text):
        (tmp_path / file).write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])

    yield add
    for name in set(sys.modules) - modules:
        if name.startswith("c3dvis."):
            del sys.modules[name]


def test_a_parametrization_is_a_file(add):
    add(parametrizations, "soft_ripples.py", PARAMETRIZATION)
    assert "soft-ripples" in parametrizations.names()
    assert type(parametrizations.build("soft-ripples")).__name__ == "Ripples"
    assert "soft-ripples" in " ".join(arguments_parser().format_help().split()).replace("- ", "-")


METHOD = """
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c3dvis.attribution.result import Attribution

if TYPE_CHECKING:
    from nowhere import Scorer, Shade

def attribute(scorer: Scorer, clip, *, shade: Shade = None, steps: int = 1, plain=0):
    heat = np.full(clip.shape[:3], steps + plain, np.float32)
    return Attribution("shaded", heat, 1.0, clip)
"""


def test_options_of_a_method_whose_types_are_for_checkers_alone(add):
    add(methods, "shaded.py", METHOD)
    ((_, own),) = methods_with_options(["shaded"], {"steps": 2, "shade": 1, "plain": 3}).values()
    assert own == {"steps": 2, "shade": 1, "plain": 3}
    with pytest.raises(ValueError, match="Expected steps of 'shaded' as a whole number"):
        methods_with_options(["shaded"], {"steps": "two"})


def test_a_file_with_an_underscore_is_none(add):
    add(parametrizations, "_ripples.py", PARAMETRIZATION)
    assert not [name for name in parametrizations.names() if "ripples" in name]


def test_a_transform_is_a_layer_in_a_file(add):
    add(transforms, "mirror.py", TRANSFORM)
    assert "Mirror" in transforms.names()


def test_an_objective_is_a_function_in_a_file(add):
    add(objectives, "first.py", OBJECTIVE)
    assert "first_channel" in objectives.names()


def test_a_regularizer_is_a_class():
    @dataclass(frozen=True, kw_only=True)
    class Darkness(regularizers.Regularizer):
        weight: float = 0.0

    assert "Darkness" in regularizers.names()
    del Darkness
    gc.collect()
    assert "Darkness" not in regularizers.names()


@pytest.mark.parametrize("package", [objectives, transforms, regularizers])
def test_every_name_is_public(package):
    assert package.names() and set(package.names()) <= set(package.__all__)


SETTINGS = [
    (transforms.Pad, {"pixels": 3}),
    (transforms.Jitter, {"pixels": 3}),
    (transforms.Scale, {"smallest": 0.7, "largest": 1.4}),
    (transforms.Rotate, {"degrees": 30.0}),
    (transforms.Crop, {"smallest": 0.5}),
    (transforms.TemporalJitter, {"frames": 2}),
    (transforms.Speed, {"slowest": 0.5, "fastest": 2.0}),
    (transforms.Freeze, {"frames": 5}),
    (transforms.ColourNoise, {"gain": 0.5, "offset": 0.3, "channels": 2}),
    (conditioning.UnitGradient, {}),
    (conditioning.LaplacianGradient, {"levels": 2}),
    (alpha.Clearing, {"share": 0.3}),
    (alpha.OverBackground, {"shape": (8, 16, 16, 3)}),
    (regularizers.TotalVariation, {"spatial": 2.0, "temporal": 3.0}),
    (regularizers.TemporalSmoothness, {"first": 2.0, "second": 3.0}),
    (regularizers.Norm, {"weight": 2.0, "power": 3.0}),
    (regularizers.Blur, {"spatial": 2.0, "temporal": 3.0}),
    (
        parametrizations.Fourier,
        {
            "directions": (0.0, 90.0),
            "spatial_exponent": 2.0,
            "temporal_exponent": 3.0,
            "deviation": 0.1,
        },
    ),
    (parametrizations.Pixels, {"deviation": 0.2}),
    (parametrizations.Pyramid, {"levels": 3, "fineness": 0.5, "deviation": 0.2}),
    (parametrizations.CPPN, {"layers": 2, "units": 8, "detail": 2.0, "stiffness": 3.0}),
    (
        parametrizations.MaCo,
        {
            "magnitude": [[[[1.0], [2.0]]]],
            "hold_time": True,
            "contrast": 1.0,
            "spatial_exponent": 2.0,
            "temporal_exponent": 3.0,
        },
    ),
    (
        parametrizations.TextureFlow,
        {
            "inner": parametrizations.Pixels(),
            "points": (2, 3),
            "speed": 2.0,
            "deviation": 0.1,
        },
    ),
    (
        parametrizations.Shared,
        {"inner": parametrizations.Pixels(), "between": "clips", "factors": (4, 8)},
    ),
    (parametrizations.Alpha, {"inner": parametrizations.Pixels(), "reward": 0.5}),
]


def listed(value):
    return list(value) if isinstance(value, tuple) else value


def test_the_settings_of_every_kind_are_tested():
    tested = {kind.__name__ for kind, _ in SETTINGS}
    assert tested >= {*transforms.names(), *regularizers.names()}
    assert tested >= {type(parametrizations.build(n)).__name__ for n in parametrizations.names()}


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=lambda x: getattr(x, "__name__", ""))
def test_settings_make_another_like_it(kind, settings):
    parameters = inspect.signature(kind).parameters.values()
    named = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    assert named == set(settings), "every argument is tested"
    config = kind(**settings).get_config()
    for name, value in settings.items():
        if name != "inner":
            assert listed(config[name]) == listed(value)
    assert kind.from_config(config).get_config() == config


@pytest.mark.parametrize("kind", [parametrizations.Fourier, parametrizations.Pixels])
def test_colours_are_a_setting(kind):
    config = kind(colours="grey").get_config()
    assert kind.from_config(config).colours == "grey"
