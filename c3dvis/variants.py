"""Another object of a layer's class with the same weights, so that the layer is never changed."""

from __future__ import annotations

__all__ = ["variant"]


def variant(layer, /, **attributes):
    """Another object of a layer's class, with its weights and all else but some attributes.

    It is for being called at once: what is assigned to the layer's attributes later it does not
    know (what is assigned to its weights it does).

    Raises:
        ValueError: An attribute that the layer only passes on, as a recurrent layer its cell's.
    """
    for name in attributes:
        if isinstance(getattr(type(layer), name, None), property):
            raise ValueError(
                f"Expected a layer with a {name} of its own. "
                f"Received: layer {layer.name!r}, a {type(layer).__name__}."
            )
    other = object.__new__(type(layer))
    # Past `__setattr__`, with which Keras notes layers and variables in lists that both share.
    vars(other).update(vars(layer) | attributes)
    return other
