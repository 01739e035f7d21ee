"""Assigns the weights of a whole model of Keras 1 or 2 to the network built from its file."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import keras
import numpy as np

from c3dvis import graph
from c3dvis.checkpoints import hdf5
from c3dvis.checkpoints.checks import check_shape
from c3dvis.checkpoints.keras1_names import current_weights
from c3dvis.checkpoints.keras2_configs import Origin
from c3dvis.checkpoints.match import WeightFile, weighted_layers
from c3dvis.text import in_short


def assign_in_order(network, stored: WeightFile) -> None:
    """Assigns the weights of a whole model to the network of its configuration.

    Layers are matched by name, or by order where Keras 3 names them differently. Within a layer or
    wrapper the file has trainable weights first.

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
        stored_values = [np.asarray(weight.read()) for weight in source.weights]
        values = current_weights(type(layer).__name__, stored_values)
        if len(values) != len(variables):
            raise ValueError(
                f"Expected {len(variables)} weights for layer {layer.name!r}. Received: "
                f"{len(values)} in layer {source.name!r} of '{stored.path}'."
            )
        for variable, value in zip(variables, values, strict=True):
            check_shape(layer.name, variable, source.name, value.shape, stored.path)
            variable.assign(value)


def warn_of_hard_sigmoid(network, file: h5py.File, path: Path) -> None:
    """Warns of weights that may have been trained with another recurrent activation.

    Weight files of Keras 1 and 2 don't say which. So the warning names all layers with Keras 3's
    hard sigmoid, and those with a sigmoid where the default was the hard one at that time.
    """
    version = hdf5.keras_version(file)
    says = str(file.attrs.get("model_config", "hard_sigmoid"))
    origin = Origin(path, version)
    if origin.numbers >= (3,) or "hard_sigmoid" not in says:
        return
    doubtful = [one.name for one in graph.sublayers(network) if _is_doubtful(one, origin)]
    if doubtful:
        warnings.warn(
            f"Recurrent layers that Keras {version or '1'} may have trained with its own "
            f"hard_sigmoid, clip(0.2 * x + 0.5, 0, 1), and that have another now: "
            f"{in_short(doubtful)}; if so, build them with "
            "recurrent_activation=c3dvis.models.keras2_hard_sigmoid.",
            stacklevel=5,  # the caller of models.load_weights
        )


def _is_doubtful(layer, origin: Origin) -> bool:
    if not isinstance(layer, keras.layers.RNN):
        return False
    name = getattr(getattr(layer, "recurrent_activation", None), "__name__", "")
    was_default = type(layer).__name__.startswith("ConvLSTM") or origin.numbers < (2, 3)
    return name == "hard_sigmoid" or (name == "sigmoid" and was_default)
