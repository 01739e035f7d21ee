"""What real clips do to a network: feature maps, kernels, and any 3-D kernel's response.

Its names are imported on first use, so that the command answers without Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c3dvis.responses.convolution import convolve, random_kernel
    from c3dvis.responses.layer_kernels import kernels
    from c3dvis.responses.maps import FeatureMaps, feature_maps, still

__all__ = ["FeatureMaps", "convolve", "feature_maps", "kernels", "random_kernel", "still"]

_FILES = {
    "FeatureMaps": "maps",
    "convolve": "convolution",
    "feature_maps": "maps",
    "kernels": "layer_kernels",
    "random_kernel": "convolution",
    "still": "maps",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
