"""Objectives that compare the clips of a batch with each other."""

from dataclasses import dataclass

from c3dvis.objectives.objective import Objective
from c3dvis.objectives.products import gram
from c3dvis.objectives.terms import WholeTerm, source

# Lengths of Gram matrices below this count as zero.
_LENGTH = 1e-8


@dataclass(frozen=True)
class Batchwise(WholeTerm):
    """One number per clip that depends on all clips of the batch."""

    batchwise = True

    def needs_activation(self, unit_indices):
        # It is constant where all clips are equal; no ReLU has to turn on for it.
        return unit_indices < 0


@dataclass(frozen=True)
class Alignment(Batchwise):
    """Half the squared difference to each neighbour, negative."""

    def features(self, activation):
        from keras import ops

        activation = ops.cast(activation, "float32")
        squares = ops.square(activation[1:] - activation[:-1])
        pairs = ops.mean(squares, axis=tuple(range(1, len(activation.shape))))
        return -(ops.pad(pairs, (0, 1)) + ops.pad(pairs, (1, 0)))[:, None] / 2


@dataclass(frozen=True)
class Diversity(Batchwise):
    """Mean cosine between a clip's Gram matrix and each other's, negative."""

    def features(self, activation):
        from keras import ops

        grams = gram(ops.cast(activation, "float32"))
        flat = ops.reshape(grams, (-1, activation.shape[-1] ** 2))
        squares = ops.sum(ops.square(flat), axis=-1, keepdims=True)
        flat = flat * ops.rsqrt(ops.maximum(squares, _LENGTH**2))
        count = ops.shape(flat)[0]
        cosines = ops.matmul(flat, ops.transpose(flat)) * (1 - ops.eye(count, dtype="float32"))
        others = ops.maximum(ops.cast(count, "float32") - 1, 1)
        return -ops.sum(cosines, axis=-1, keepdims=True) / others


def alignment(layer: str, *, before_activation: bool = False) -> Objective:
    """How similar neighbouring clips of a batch are in a layer: 0 if they are equal.

    Each clip gets minus half the mean squared difference to each of its neighbours, the clips
    before and after it, so that the sum over the clips counts every pair of neighbours once. It is
    added to an objective of several clips, all of whose clips are then made together.

    Args:
        layer: Name of the layer; `CLIP` compares the clips themselves.
        before_activation: Whether to read the layer before its own activation function.

    Example:
        >>> from c3dvis import objectives
        >>> between = objectives.interpolation("conv3b", 7, "conv3b", 9)
        >>> (between + objectives.alignment("conv2")).batchwise
        True

    lucid also counts pairs two, three and four apart, with less weight. Mordvintsev et al. 2018,
    "Differentiable Image Parameterizations",
    https://distill.pub/2018/differentiable-parameterizations
    """
    return Objective.of(Alignment(source(layer, before_activation)))


def diversity(layer: str, *, before_activation: bool = False) -> Objective:
    """How different in style the clips of a batch are in a layer: 0 at best, -1 if they are equal.

    Each clip gets minus the mean cosine between its Gram matrix (how channels go together) and the
    other clips'. A unit often responds to several things: maximize it several times and add this.

    Args:
        layer: Name of the layer.
        before_activation: Whether to read the layer before its own activation function.

    Example:
        >>> from c3dvis import objectives
        >>> four = objectives.channel("conv3b", [7] * 4) + 0.5 * objectives.diversity("conv3b")
        >>> len(four)
        4

    Olah et al. 2017, https://distill.pub/2017/feature-visualization. lucid gives the sum, where
    this gives minus the mean.
    """
    return Objective.of(Diversity(source(layer, before_activation)))
