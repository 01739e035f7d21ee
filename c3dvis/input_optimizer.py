"""A Keras model that optimizes an input of a network: `fit` changes that input and nothing else."""

from __future__ import annotations

import keras
from keras import ops

from c3dvis import autodiff

__all__ = ["InputOptimizer"]


class InputOptimizer(keras.Model):
    """A Keras model whose only trainable weights are those of an input.

    The network inside keeps its weights, and its own `trainable` flags. A subclass has `latents`,
    the weights of the input, and `call`, which returns losses `(N,)`; it adds its weights and then
    calls `compile`.
    """

    @property
    def latents(self) -> list[keras.Variable]:
        """The weights of the input."""
        raise NotImplementedError

    @property
    def trainable_variables(self):
        """The latents, and no weight of the network."""
        return list(self.latents)

    @property
    def non_trainable_variables(self):
        """All other variables, whatever their `trainable` flag."""
        own = {id(variable) for variable in self.latents}
        return [variable for variable in self.variables if id(variable) not in own]

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    def compile(self, optimizer: keras.optimizers.Optimizer, **options):
        """Compiles the step for an optimizer of its own, with XLA where that is faster.

        Raises:
            ValueError: In the scope of a `tf.distribute.Strategy`.
        """
        autodiff.refuse_strategy_scope()
        super().compile(
            optimizer=optimizer,
            jit_compile=autodiff.jit_compile(),
            **options,
        )
        # Built now, as a graph that makes variables is traced twice.
        self.optimizer.build(self.trainable_variables)
        self._initial = [ops.convert_to_numpy(v) for v in self.optimizer.variables]
        self.built = True

    def restart_optimizer(self) -> None:
        """Sets the optimizer to what it was before the first step."""
        for variable, value in zip(self.optimizer.variables, self._initial, strict=True):
            variable.assign(value)

    def get_config(self):
        """Refuses to copy or save it, for which Keras calls this.

        Raises:
            ValueError: Always.
        """
        kind = type(self).__name__
        raise ValueError(
            f"Expected a new {kind} from the arguments of this one, as it can't be copied or "
            "saved; clips.write and np.save save what it makes. Received: a call that copies or "
            "saves it."
        )

    def save(self, *arguments, **options):
        """Refuses, as `get_config`; Keras would begin a file first."""
        self.get_config()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the losses: an input's gradient does not depend on the size of the batch."""
        return ops.sum(y_pred)
