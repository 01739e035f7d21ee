"""Objectives that raise a direction in the space of a layer's channels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from c3dvis.objectives.objective import Objective
from c3dvis.objectives.products import checked_power, dot
from c3dvis.objectives.terms import (
    BEFORE_ACTIVATION,
    Match,
    Position,
    Values,
    as_position,
    position_in,
    source,
)


@dataclass(frozen=True, kw_only=True)
class Direction(Match):
    """Dot product with a vector of the channels times a cosine power, at every position.

    Attributes:
        vectors: `(U, C)`, one per unit.
        power: Power of the cosine, 0 or more.
    """

    vectors: Values
    power: float = 0.0

    def targets(self):
        from keras import ops

        return ops.convert_to_tensor(self.vectors.array)

    def match(self, activation, targets):
        from keras import ops

        ones = [1] * (len(activation.shape) - 2)
        vectors = ops.reshape(targets, (-1, *ones, targets.shape[-1]))
        dots = dot(ops.cast(activation, "float32"), vectors, (-1,), self.power)
        return ops.mean(dots, axis=tuple(range(1, len(dots.shape)))) if ones else dots

    def unit_indices(self, shape, class_names):
        width = self.vectors.array.shape[1]
        if width != shape[-1]:
            name = self.layer.removesuffix(BEFORE_ACTIVATION)
            raise ValueError(
                f"Expected a number for each of the {shape[-1]} channels of layer {name!r}. "
                f"Received: vectors of {width}."
            )
        return super().unit_indices(shape, class_names)


@dataclass(frozen=True, kw_only=True)
class DirectionNeuron(Direction):
    """The same at one position.

    Attributes:
        position: `(t, y, x)` in the layer's own grid; None means the centre.
    """

    position: Position | None = None

    at_one_place = True

    def match(self, activation, targets):
        position = position_in(self.position, tuple(activation.shape[1:-1]))
        return super().match(activation[(slice(None), *position)], targets)

    def unit_indices(self, shape, class_names):
        position_in(self.position, shape[:-1])
        return super().unit_indices(shape, class_names)


def direction(
    layer: str, vectors: ArrayLike, *, power: float = 0.0, before_activation: bool = False
) -> Objective:
    """Dot product of a vector with the channels, times a power of their cosine.

    The mean over positions of `x . v * max(0.1, cos(x, v)) ** power`. The power sets how much the
    direction counts relative to the length: with 0, a clip may raise anything that contributes to
    `v`.

    Args:
        layer: Name of the layer.
        vectors: `(C,)`, one number per channel, or `(U, C)`: one clip each.
        power: 0 or more.
        before_activation: Whether to read the layer before its own activation function.

    Raises:
        ValueError: Vectors of another shape, of zeros, or with NaN or Inf.

    Example:
        >>> import numpy as np
        >>> from c3dvis import objectives
        >>> len(objectives.direction("conv3b", np.eye(64)[:5], power=1))
        5

    Carter et al. 2019, "Activation Atlas", https://distill.pub/2019/activation-atlas
    """
    rows = _vectors(vectors)
    reads, units = source(layer, before_activation), tuple(range(len(rows)))
    return Objective.of(Direction(reads, units, vectors=rows, power=checked_power(power)))


def direction_neuron(
    layer: str,
    vectors: ArrayLike,
    *,
    power: float = 0.0,
    position: Position | None = None,
    before_activation: bool = True,
) -> Objective:
    """`direction` at one position, before the layer's own activation function.

    Args:
        layer: Name of the layer.
        vectors: `(C,)`, one number per channel, or `(U, C)`: one clip each.
        power: Power of the cosine, 0 or more.
        position: `(t, y, x)` in the layer's own grid; None means the centre.
        before_activation: False reads the layer's output.

    Raises:
        ValueError: Vectors of another shape, of zeros, or with NaN or Inf.

    Example:
        >>> import numpy as np
        >>> from c3dvis import objectives
        >>> len(objectives.direction_neuron("conv3b", np.eye(64)[:5]))
        5
    """
    rows = _vectors(vectors)
    reads, units = source(layer, before_activation), tuple(range(len(rows)))
    options = {"power": checked_power(power), "position": as_position(position)}
    return Objective.of(DirectionNeuron(reads, units, vectors=rows, **options))


def _vectors(vectors) -> Values:
    array = np.asarray(vectors)
    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "fiu":
        raise ValueError(
            "Expected a vector of numbers, one per channel, or several as rows. "
            f"Received: {array.dtype} of shape {array.shape}."
        )
    if not (np.isfinite(rows).all() and rows.any(axis=1).all()):
        raise ValueError("Expected finite vectors, none of zeros. Received: one that is not.")
    return Values(rows)
