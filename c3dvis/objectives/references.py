"""Objectives that compare a clip with another that is given."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from c3dvis import clips as clip_values
from c3dvis.objectives.objective import Objective
from c3dvis.objectives.products import checked_power, dot, gram
from c3dvis.objectives.terms import Match, Read, Values, source


@dataclass(frozen=True, kw_only=True)
class ReferenceTerm(Match):
    """Compares with the activations of clips; `with_targets` reads them from a network.

    Attributes:
        clips: `(U, T, H, W, C)`.
        representations: Representations of the clips' activations, `(U, ...)`; None before
            `with_targets`.
    """

    clips: Values
    representations: Any = field(default=None, compare=False, repr=False)

    def representation(self, activation):
        """What is compared: the activations themselves, or something made of them."""
        return activation

    def with_targets(self, read: Read) -> "ReferenceTerm":
        from keras import ops

        activations = [read(clip, (self.layer,))[self.layer] for clip in self.clips.array]
        each = [self.representation(ops.cast(one, "float32")) for one in activations]
        return replace(self, representations=ops.concatenate(each))

    def targets(self):
        if self.representations is None:
            raise ValueError(
                "Expected an objective with the activations of its reference clips: use "
                "`Objective.with_targets`. Received: one without."
            )
        return self.representations

    def match(self, activation, targets):
        from keras import ops

        representation = self.representation(ops.cast(activation, "float32"))
        _check_alike(tuple(representation.shape[1:]), tuple(targets.shape[1:]))
        return self.compare(representation, targets)

    def compare(self, representation, targets):
        """Representations `(N, ...)` of clips and of targets to numbers `(N,)`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Difference(ReferenceTerm):
    """Minus the mean squared difference."""

    def compare(self, representation, targets):
        from keras import ops

        axes = tuple(range(1, len(representation.shape)))
        return -ops.mean(ops.square(representation - targets), axis=axes)


@dataclass(frozen=True, kw_only=True)
class StyleDifference(Difference):
    """The same between Gram matrices."""

    def representation(self, activation):
        return gram(activation)


@dataclass(frozen=True, kw_only=True)
class Caricature(ReferenceTerm):
    """Dot product over the whole layer times a cosine power.

    Attributes:
        power: Power of the cosine, 0 or more.
    """

    power: float = 0.0

    def compare(self, representation, targets):
        from keras import ops

        axes = tuple(range(1, len(representation.shape)))
        positions = ops.cast(ops.prod(ops.shape(representation)[1:-1]), "float32")
        return dot(representation, targets, axes, self.power) / positions


def activation_difference(
    layer: str, clips: ArrayLike, *, style: bool = False, before_activation: bool = False
) -> Objective:
    """How near a clip's activations come to those of a given clip: 0 at best.

    Minus the mean squared difference of the activations, or with `style` of their Gram matrices,
    which capture which channels are active together, but not where or when. A plain difference
    reconstructs the given clip as far as the layer represents it (feature inversion).

    Args:
        layer: Name of the layer.
        clips: `(T, H, W, C)` in [0, 1], or several `(U, T, H, W, C)`: one synthetic clip each.
        style: Whether Gram matrices are compared. The given clips may then have a different length
            or size than the synthetic ones, if the network accepts it.
        before_activation: Whether to read the layer before its own activation function.

    Raises:
        ValueError: Invalid clips.

    Example:
        >>> import numpy as np
        >>> from c3dvis import objectives
        >>> wave = np.random.default_rng(0).random((16, 64, 64, 3))
        >>> content = objectives.activation_difference("conv4b", wave)
        >>> both = content + 10 * objectives.activation_difference("conv1", wave, style=True)

    Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks",
    https://doi.org/10.1109/CVPR.2016.265
    """
    kind = StyleDifference if style else Difference
    given = _clips(clips)
    reads, units = source(layer, before_activation), tuple(range(len(given)))
    return Objective.of(kind(reads, units, clips=given))


def caricature(
    layer: str, clips: ArrayLike, *, power: float = 1.0, before_activation: bool = False
) -> Objective:
    """What a layer sees in a given clip, exaggerated.

    The dot product of the activations with those of the given clip, over all positions and
    channels, divided by the number of positions, times `max(0.1, cosine) ** power`. No clip of the
    same length of activations scores higher than the given one; a stronger one does.

    Args:
        layer: Name of the layer.
        clips: `(T, H, W, C)` in [0, 1], or several `(U, T, H, W, C)`: one synthetic clip each.
        power: 0 or more; larger values stay closer to the given clip.
        before_activation: Whether to read the layer before its own activation function.

    Raises:
        ValueError: Invalid clips.

    Example:
        >>> import numpy as np
        >>> from c3dvis import objectives
        >>> wave = np.random.default_rng(0).random((16, 64, 64, 3))
        >>> more_of_it = objectives.caricature("conv4b", wave, power=2)

    Olah et al. 2018, "The Building Blocks of Interpretability",
    https://distill.pub/2018/building-blocks
    """
    given = _clips(clips)
    reads, units = source(layer, before_activation), tuple(range(len(given)))
    return Objective.of(Caricature(reads, units, clips=given, power=checked_power(power)))


def _check_alike(shape: Sequence[int | None], given: Sequence[int | None]) -> None:
    pairs = zip(shape, given, strict=False)
    if len(shape) != len(given) or any(None not in pair and len(set(pair)) > 1 for pair in pairs):
        raise ValueError(
            f"Expected a given clip with activations of shape {tuple(shape)}, as the synthetic "
            f"clips have. Received: one with {tuple(given)}."
        )


def _clips(given) -> Values:
    array = np.asarray(given)
    if array.ndim == 5 and len(array):
        return Values([clip_values.check(clip) for clip in array])
    return Values(clip_values.check(array)[None])
