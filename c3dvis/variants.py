"""Another object of a layer's class with the same weights, so that the layer is never changed."""

from __future__ import annotations

__all__ = ["variant"]


def variant(layer, /, **attributes):
    """A copy of a layer on the same weights, with some attributes replaced.

    Call it at once: later changes of the layer's attributes are not seen, those of its weights are.

    Raises:
        ValueError: An attribute that is a property, such as a recurrent layer's of its cell.
    """
    for name in attributes:
        if isinstance(getattr(type(layer), name, None), property):
            raise ValueError(
                f"Expected a layer with a {name} of its own. "
                f"Received: layer {layer.name!r}, a {type(layer).__name__}."
            )
    other = object.__new__(type(layer))
    # Not by `__setattr__`, with which Keras appends to lists that both objects share.
    vars(other).update(vars(layer) | attributes)
    return other
