"""Another object of a layer's class with the same weights, so that the layer is never changed."""

from __future__ import annotations

from typing import Any

__all__ = ["StandIn", "derived", "variant"]

_CALLED = "what_is_called"


def variant(layer, /, **attributes):
    """A copy of a layer on the same weights, with some attributes replaced.

    Call it immediately: later changes of the layer's attributes are not seen, those of its weights
    are.

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


def derived(layer, kind: type, /, **attributes):
    """An object like a layer, with some attributes, of a class derived from another and its own."""
    own = type(layer)
    kind_of_class: Any = type(own)
    mixed = kind_of_class(own.__name__, (kind, own), {"__module__": own.__module__})
    other = object.__new__(mixed)
    vars(other).update(vars(layer) | attributes)
    return other


class StandIn:
    """Of a layer inside, what the code of the layer around it sees while it is followed.

    Its attributes are what that code reads; what it calls is a function. See `derived`.
    """

    def __call__(self, *args, **kwargs):
        return vars(self)[_CALLED](*args, **kwargs)

    def stands_for(self, called, **attributes) -> None:
        """Sets the function that is called, and attributes."""
        vars(self).update({_CALLED: called} | attributes)
