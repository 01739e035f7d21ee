"""Objectives that are functions of activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from c3dvis.objectives.objective import Objective
from c3dvis.objectives.terms import CLIP, WholeTerm, one_a_clip, source
from c3dvis.text import unknown


@dataclass(frozen=True, kw_only=True)
class Function(WholeTerm):
    """The value of a function of several layers' activations.

    Attributes:
        function: Function of activations `(N, ...)` by name that returns `(N,)`.
        names: What the function calls them.
        reads: The layers that it reads, in the same order.
    """

    function: Callable
    names: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        return self.reads

    def read(self, activations: Mapping) -> Mapping:
        return _Activations(
            {n: activations[key] for n, key in zip(self.names, self.reads, strict=True)}
        )

    def reading(self, layers: Mapping[str, str]) -> Function:
        """The same of layers of other names, which the function doesn't see."""
        return replace(
            self, layer=layers[self.layer], reads=tuple(layers[name] for name in self.reads)
        )

    def features(self, activation):
        from keras import ops

        read = _Activations({n: ops.cast(a, "float32") for n, a in activation.items()})
        return one_a_clip(self.function, read, "activations by name")[:, None]


class _Activations(dict):
    """Activations by name, with an error for another name that says which there are."""

    def __missing__(self, name):
        raise unknown("one of the layers= that the function reads", name, self)


def function(function: Callable, layers: Any) -> Objective:
    """Any function of a network's activations.

    Args:
        function: Function of a mapping from the names in `layers` to activations `(N, ..., C)` that
            returns one number per clip, `(N,)`, written with `keras.ops`. Pass the same function
            object every time, as compiled code is cached by it.
        layers: Names of the layers that it reads, or one name. `objectives.LOGITS` are the class
            scores before a softmax, `objectives.CLIP` is the clip `(N, T, H, W, C)` before
            transforms, and `objectives.BEFORE_ACTIVATION` can be appended to a name.

    Raises:
        ValueError: An object that can't be called, or no layer.

    Example:
        >>> from keras import ops
        >>> from c3dvis import objectives
        >>> def together(activations):
        ...     conv = activations["conv3b"]
        ...     return ops.mean(conv[..., 3] * conv[..., 7], axis=(1, 2, 3))
        >>> both = objectives.function(together, ["conv3b"]) - 0.1 * objectives.layer("conv1")
    """
    if not callable(function):
        raise ValueError(f"Expected a function of activations. Received: {function!r}.")
    one = isinstance(layers, str) or not isinstance(layers, Sequence)
    names = tuple(dict.fromkeys(source(layer) for layer in ([layers] if one else layers)))
    if not names:
        raise ValueError("Expected layers= that the function reads. Received: none.")
    # The clip last, as an objective that reads a layer first is one of the network.
    first = min(names, key=lambda name: name == CLIP)
    return Objective.of(Function(first, function=function, names=names, reads=names))
