"""Gives a network that was built from a file of Keras 1 or 2 the weights of that file."""

from __future__ import annotations

import numpy as np

from c3dvis.checkpoints.checks import check_shape
from c3dvis.checkpoints.keras1_names import weights_today
from c3dvis.checkpoints.match import Stored, weighted_layers
from c3dvis.text import in_short


def assign_in_order(network, stored: Stored) -> None:
    """Puts the weights of a whole model into the network of its configuration.

    Layers are those of the file's names, or in its order where Keras 3 names them otherwise. Within
    a layer the order is the file's: what is trained first, also of all layers in a wrapper.

    Raises:
        ValueError: If a layer or weight is missing or left over, or a shape differs.
    """
    targets = weighted_layers(network)
    by_name = {source.name: source for source in stored.layers}
    names = [layer.name for layer in targets]
    if len(targets) != len(stored.layers):
        raise ValueError(
            f"Expected weights for layers {in_short(names)}. Received: '{stored.path}' with layers "
            f"{in_short(by_name)}."
        )
    sources = [by_name[name] for name in names] if set(names) == set(by_name) else stored.layers
    for layer, source in zip(targets, sources, strict=True):
        variables = [*layer.trainable_weights, *layer.non_trainable_weights]
        values = weights_today(_kind(layer), [np.asarray(one.read()) for one in source.weights])
        if len(values) != len(variables):
            raise ValueError(
                f"Expected {len(variables)} weights for layer {layer.name!r}. Received: "
                f"{len(values)} in layer {source.name!r} of '{stored.path}'."
            )
        for variable, value in zip(variables, values, strict=True):
            check_shape(layer.name, variable, source.name, value.shape, stored.path)
            variable.assign(value)


def _kind(layer) -> str:
    return type(layer).__name__
