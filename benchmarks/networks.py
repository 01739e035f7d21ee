"""The networks that benchmarks of maximization run on."""

from collections.abc import Sequence

import keras

from c3dvis import models

CLIP = (16, 112, 112, 3)


def build(name: str, size: Sequence[int] | None) -> keras.Model:
    """C3D of random weights, I3D of Kinetics-400, or a network that comes with the package."""
    keras.utils.set_random_seed(0)
    weights = {"c3d": None, "i3d": "kinetics400"}
    if name not in weights:
        return models.build(name)
    shape = (CLIP[0], *(size or CLIP[1:3]), CLIP[3])
    return models.build(name, weights=weights[name], input_shape=shape)
