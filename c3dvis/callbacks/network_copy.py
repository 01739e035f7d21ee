"""A copy of the network in training, which is analysed instead of it."""

from __future__ import annotations

import keras
from keras import ops

from c3dvis.models import layers
from c3dvis.objectives import Objective


class NetworkCopy:
    """A copy of a network, whose weights follow it on demand.

    The copy is cut, traced and read; of the network itself, only the weights are read: its layers,
    compiled functions, losses, random generators and optimizer are never touched.

    Args:
        network: Functional or Sequential Keras model that has been built.

    Attributes:
        network: The copy.

    Raises:
        ValueError: A network that is not such a model, or can't be copied.
    """

    def __init__(self, network: keras.Model):
        layers.check(network)
        try:
            self.network = keras.models.clone_model(network)
        except Exception as error:
            raise ValueError(
                "Expected a network that `keras.models.clone_model` can copy (custom layers "
                f"need a `get_config`). Received: {network.name!r}; {type(error).__name__}: {error}"
            ) from error
        # By these names classes are found.
        self.network.class_names = getattr(network, "class_names", None)
        self._source = network
        self.refresh()

    def refresh(self) -> None:
        """Copies the network's current weights."""
        for own, source in zip(self.network.weights, self._source.weights, strict=True):
            own.assign(ops.convert_to_numpy(source))

    def check(self, objective: Objective) -> None:
        """Refuses an objective that stores the network's activations for a clip, as they change.

        Raises:
            ValueError: Such an objective, or one that names a layer that isn't there.
        """
        bound = layers.with_targets(objective, self.network)
        if any(a is not b for (_, a), (_, b) in zip(bound.terms, objective.terms, strict=True)):
            raise ValueError(
                "Expected an objective without reference clips, as the network's activations for "
                f"them change during training. Received: {objective.layers}."
            )
