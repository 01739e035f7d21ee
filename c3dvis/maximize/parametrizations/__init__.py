"""How clips are made of weights: Keras layers that own weights and decode them to clips.

A parametrization decides which clips are easy to reach. Pixels move one by one and give
high-frequency noise; Fourier coefficients scaled as in natural films move whole patterns
(Olah et al. 2017, https://distill.pub/2017/feature-visualization).
"""

from c3dvis.maximize.parametrizations.alpha import Alpha, rgba
from c3dvis.maximize.parametrizations.colours import flow_in_pixels
from c3dvis.maximize.parametrizations.cppn import CPPN
from c3dvis.maximize.parametrizations.flow import TextureFlow
from c3dvis.maximize.parametrizations.fourier import Fourier
from c3dvis.maximize.parametrizations.maco import MaCo, magnitude_of
from c3dvis.maximize.parametrizations.parametrization import Parametrization
from c3dvis.maximize.parametrizations.pixels import Pixels
from c3dvis.maximize.parametrizations.pyramid import Pyramid
from c3dvis.maximize.parametrizations.shared import Shared

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

_BY_NAME = {
    "fourier": Fourier,
    "pixels": Pixels,
    "pyramid": Pyramid,
    "cppn": CPPN,
    "maco": MaCo,
    "texture-flow": TextureFlow,
    "shared": Shared,
    "alpha": Alpha,
}


def names() -> list[str]:
    """What `build` takes as a name.

    Example:
        >>> names()[:2]
        ['fourier', 'pixels']
    """
    return list(_BY_NAME)


def build(parametrization: str | Parametrization) -> Parametrization:
    """A new parametrization from a name, or with the settings of another.

    Args:
        parametrization: One of `names()`, or a `Parametrization`, of which a copy is made.

    Raises:
        ValueError: Neither a `Parametrization` nor the name of one.

    Example:
        >>> build("fourier").get_config()["temporal_exponent"]
        1.25
    """
    if isinstance(parametrization, Parametrization):
        return parametrization.copy()
    if parametrization not in _BY_NAME:
        raise ValueError(
            f"Expected a Parametrization or one of {', '.join(map(repr, _BY_NAME))}. "
            f"Received: {parametrization!r}."
        )
    return _BY_NAME[parametrization]()
