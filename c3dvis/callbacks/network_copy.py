"""A copy of the network in training, which is analysed instead of it."""

from __future__ import annotations

import keras
from keras import ops

from c3dvis.models import layers
from c3dvis.objectives import Objective


class NetworkCopy:
    """A copy of a network, whose weights follow it on demand.

    It is what is cut, traced and read, so that the network itself is only asked for its weights:
    its layers, compiled functions, losses, random generators and optimizer are never touched.

    Args:
        network: Functional or Sequential Keras model that has been built.

    Attributes:
        network: The copy.

    Raises:
        ValueError: A network that is no such model or can't be copied.
    """

    def __init__(self, network: keras.Model):
        layers.check(network)
        try:
            self.network = keras.models.clone_model(network)
        except Exception as error:
            raise ValueError(
                "Expected a network that `keras.models.clone_model` can copy (layers of your own "
                f"need a `get_config`). Received: {network.name!r}; {type(error).__name__}: {error}"
            ) from error
        # By these names classes are found.
        self.network.class_names = getattr(network, "class_names", None)
        self._source = network
        self.refresh()

    def refresh(self) -> None:
        """Takes over the weights as they are now."""
        for own, source in zip(self.network.weights, self._source.weights, strict=True):
            own.assign(ops.convert_to_numpy(source))

    def check(self, objective: Objective) -> None:
        """Refuses an objective that keeps what the network did with a clip, as that changes.

        Raises:
            ValueError: Such an objective, or one that names a layer that isn't there.
        """
        bound = layers.with_targets(objective, self.network)
        if any(a is not b for (_, a), (_, b) in zip(bound.terms, objective.terms, strict=True)):
            raise ValueError(
                "Expected an objective without a clip of its own, as what the network makes of it "
                f"changes while it is trained. Received: {objective.layers}."
            )
