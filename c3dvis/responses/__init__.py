"""What real clips do to a network: feature maps, kernels, and any 3-D kernel's response.

Its names are imported on first use, so that the command answers without Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy

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

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
