"""The optimizer of clips."""

import keras
from keras import ops

from c3dvis import autodiff

# Avoids division by zero; far below any nonzero gradient, even of means.
_EPSILON = 1e-15


@keras.saving.register_keras_serializable(package="c3dvis")
class ClipwiseAdam(keras.optimizers.Optimizer):
    """Adam with one second moment per clip rather than one per weight.

    Adam divides each weight's gradient by its own size, so frequencies or pixels that do not matter
    to a unit move as far as those that do. Here the gradient of a clip keeps its direction, and
    only its length is normalized: units whose activations differ by orders of magnitude take equal
    steps, and whatever does not matter fades under weight decay.

    It is NovoGrad's layer-wise second moment (Ginsburg et al. 2019,
    https://arxiv.org/abs/1905.11286) taken over clips, with Adam's bias corrections.

    Args:
        learning_rate: Root mean square of a clip's step once gradients are steady.
        beta_1: Decay of the moving mean of gradients.
        beta_2: Decay of the moving mean of their squares; short, as gradients grow manifold in the
            first steps.
        weight_decay: Times the learning rate, the share of a weight that is lost per step. What the
            network does not need fades to grey. Larger values, such as 1, give clips that other
            networks recognise better and that show less of the unit's preference.
        **kwargs: Arguments of `keras.optimizers.Optimizer`.

    Example:
        >>> ClipwiseAdam(0.2).get_config()["weight_decay"]
        0.3
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.9,
        weight_decay: float | None = 0.3,
        name: str = "clipwise_adam",
        **kwargs,
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **kwargs)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._means = self.add_optimizer_variables(variables, "mean")
        self._squares = [
            self.add_variable(
                shape=(variable.shape[0], *[1] * (len(variable.shape) - 1)),
                dtype=variable.dtype,
                name="square",
            )
            for variable in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        index = autodiff.optimizer_index(self, variable)
        mean, square = self._means[index], self._squares[index]
        step = ops.cast(self.iterations + 1, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        axes = tuple(range(1, len(variable.shape)))
        now = ops.mean(ops.square(gradient), axis=axes, keepdims=True) if axes else gradient**2
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (now - square) * (1 - self.beta_2))
        corrected = square / (1 - ops.power(self.beta_2, step))
        ahead = mean / (1 - ops.power(self.beta_1, step))
        self.assign_sub(variable, rate * ahead / (ops.sqrt(corrected) + _EPSILON))
