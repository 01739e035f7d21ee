"""The networks that benchmarks of maximization run on."""

from collections.abc import Sequence

import keras

from c3dvis import models

CLIP = (16, 112, 112, 3)


def build(name: str, size: Sequence[int] | None) -> keras.Model:
    """A full-size C3D of random weights, or a network that comes with the package."""
    keras.utils.set_random_seed(0)
    if name != "c3d":
        return models.build(name)
    shape = (CLIP[0], *(size or CLIP[1:3]), CLIP[3])
    return models.build("c3d", weights=None, input_shape=shape)
