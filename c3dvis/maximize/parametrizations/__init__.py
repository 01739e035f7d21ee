"""Parametrizations: Keras layers that own latents and decode them to clips.

A parametrization decides which clips are easy to reach. Pixels move one by one and give
high-frequency noise; Fourier coefficients scaled as in natural films move whole patterns
(Olah et al. 2017, https://distill.pub/2017/feature-visualization).

Each is a file of this folder, whose name is the parametrization's. Keras is imported on first use.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from c3dvis import lazy
from c3dvis.text import in_short

if TYPE_CHECKING:
    from c3dvis.maximize.parametrizations._colours import flow_in_pixels
    from c3dvis.maximize.parametrizations._parametrization import Parametrization
    from c3dvis.maximize.parametrizations.alpha import Alpha, rgba
    from c3dvis.maximize.parametrizations.cppn import CPPN
    from c3dvis.maximize.parametrizations.fourier import Fourier
    from c3dvis.maximize.parametrizations.maco import MaCo, magnitude_of
    from c3dvis.maximize.parametrizations.pixels import Pixels
    from c3dvis.maximize.parametrizations.pyramid import Pyramid
    from c3dvis.maximize.parametrizations.shared import Shared
    from c3dvis.maximize.parametrizations.texture_flow import TextureFlow

__all__ = [
    "Alpha",
    "CPPN",
    "Fourier",
    "MaCo",
    "Parametrization",
    "Pixels",
    "Pyramid",
    "Shared",
    "TextureFlow",
    "build",
    "flow_in_pixels",
    "magnitude_of",
    "names",
    "rgba",
]

_FILES = {
    "Alpha": "alpha",
    "CPPN": "cppn",
    "Fourier": "fourier",
    "MaCo": "maco",
    "Parametrization": "_parametrization",
    "Pixels": "pixels",
    "Pyramid": "pyramid",
    "Shared": "shared",
    "TextureFlow": "texture_flow",
    "flow_in_pixels": "_colours",
    "magnitude_of": "maco",
    "rgba": "alpha",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)


def names() -> list[str]:
    """What `build` takes as a name: the files of this folder.

    Example:
        >>> names()[:3]
        ['alpha', 'cppn', 'fourier']
    """
    # Files that begin with an underscore are not parametrizations.
    files = sorted(file.name for file in pkgutil.iter_modules(__path__))
    return [name.replace("_", "-") for name in files if not name.startswith("_")]


def check_name(name: str) -> None:
    """Refuses what is no name of a parametrization.

    Raises:
        ValueError: With all names.
    """
    if name not in names():
        raise ValueError(
            f"Expected a Parametrization or one of {', '.join(map(repr, names()))}. "
            f"Received: {name!r}."
        )


def build(parametrization: str | Parametrization, **settings) -> Parametrization:
    """A new parametrization from a name, or with the settings of another.

    Args:
        parametrization: One of `names()`, or a `Parametrization`, of which a copy is made.
        **settings: Settings of a named one, or of the Fourier that it wraps.

    Raises:
        ValueError: Settings beside a `Parametrization`, which has its own; or neither a
            `Parametrization` nor the name of one.

    Example:
        >>> build("fourier").get_config()["temporal_exponent"]
        1.25
    """
    from c3dvis.maximize.parametrizations._parametrization import Parametrization, Wrapper
    from c3dvis.maximize.parametrizations.fourier import Fourier

    if isinstance(parametrization, Parametrization):
        if settings:
            raise ValueError(
                f"Expected the {in_short(settings)} as settings of the parametrization that is "
                f"given. Received: {in_short(settings)} together with a "
                f"{type(parametrization).__name__}."
            )
        return parametrization.copy()
    check_name(parametrization)
    module = importlib.import_module(f".{parametrization.replace('-', '_')}", __name__)
    (kind,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Parametrization)
        and value.__module__ == module.__name__
    )
    if settings and issubclass(kind, Wrapper):
        return kind(Fourier(**settings))
    return kind(**settings)
