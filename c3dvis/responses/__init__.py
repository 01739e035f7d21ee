"""What real clips do to a network: feature maps, kernels, and any 3-D kernel's response."""

from c3dvis.responses.convolution import convolve, random_kernel
from c3dvis.responses.feature_maps import FeatureMaps, feature_maps, still
from c3dvis.responses.kernels import kernels

__all__ = ["FeatureMaps", "convolve", "feature_maps", "kernels", "random_kernel", "still"]
