"""Operations whose settings depend on the number of clips, for any number of them.

Code of layers asks how many clips there are: `ops.reshape(x, (ops.shape(x)[0], -1, 8))`. It is
followed on symbolic tensors of so many clips that no other size is likely to be a multiple of it.
Where the number shows up in what was called, the number of clips that there are takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from c3dvis.held import Held
from c3dvis.variants import derived, variant

_PRIMES = (499, 503, 509, 521, 523, 541)
_COUNTED = "clips_are_counted_by"


def unlikely(sizes: Iterable[int | None]) -> int:
    """A number of clips of which none of some sizes is a multiple."""
    known = [n for n in sizes if n]
    return next((p for p in _PRIMES if not any(n % p == 0 for n in known)), _PRIMES[-1])


def holds(value, number: int) -> bool:
    """Whether a multiple of a number is among integers in lists, tuples and slices."""
    return filled(value, number, 2 * number) != value if _is_nested(value) else False


def filled(value, number: int, count):
    """A value with `k * count` in the place of each integer `k * number`, `k` above 0."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return value // number * count if value > 0 and value % number == 0 else value
    if isinstance(value, slice):
        return slice(*(filled(v, number, count) for v in (value.start, value.stop, value.step)))
    if type(value) is dict:
        return {name: filled(each, number, count) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(filled(each, number, count) for each in value)
    return value


def _is_nested(value) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_nested, value))
    return value is None or value is Ellipsis or isinstance(value, (int, np.integer, slice))


def spread(value, number: int, clips):
    """An array with the same in all of `number` rows, as a tensor of as many rows as clips."""
    if not ops.is_tensor(value) or not len(value.shape) or value.shape[0] != number:
        return value
    rows = ops.convert_to_numpy(value)
    if (rows != rows[:1]).any():
        raise ValueError("it makes other numbers for each clip")
    dtype = keras.backend.standardize_dtype(value.dtype)
    return Held(rows[0], tuple(rows.shape[1:]), dtype=dtype)(clips)


def for_any_count(operation, number: int, inputs: list, outputs: list, arguments: Any):
    """A function like an operation that was followed on `number` clips, for any number of them.

    Args:
        operation: Variant of it, which it is called with.
        number: Number of clips.
        inputs: Tensors that it was called on, with that number of clips.
        outputs: Tensors that it made.
        arguments: Arguments and named arguments of the call.

    Returns:
        The operation that is called, and whether it also takes the clips, as its last argument.
    """
    constants = [x for x in _leaves(arguments) if not isinstance(x, keras.KerasTensor)]
    settings = {name: x for name, x in vars(operation).items() if not name.startswith("_")}
    depends = [name for name, value in settings.items() if holds(value, number)]
    if isinstance(operation, keras.layers.Layer) or not (
        depends or any(holds(x, number) for x in constants)
    ):
        return operation, False
    if len(outputs) != 1:
        raise ValueError("an operation with several outputs depends on the number of clips")
    first = inputs[0].shape[0] if inputs[0].shape else 0
    rows = first // number if first and first % number == 0 else 0
    counted = {_COUNTED: (number, rows, tuple(depends), outputs[0].shape, outputs[0].dtype)}
    other = derived(operation, _Counting, **counted)
    return other, rows == 0


def _leaves(value):
    if isinstance(value, (list, tuple)):
        return [value, *(leaf for each in value for leaf in _leaves(each))]
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return [value]


class _Counting:
    """Of an operation that depends on the number of clips: `call` reads it from what it is given.

    An object's class is derived from this one and the operation's.
    """

    def call(self, *args, **kwargs):
        given, count = self._counted(args, ops.shape)
        number = vars(self)[_COUNTED][0]
        args, kwargs = filled((given, kwargs), number, count)
        of_class: Any = super(_Counting, self._of(count))
        return of_class.call(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        given, count = self._counted(args, lambda tensor: tensor.shape)
        number, _, _, shape, dtype = vars(self)[_COUNTED]
        if count is None:
            shape = tuple(None if n and n % number == 0 else n for n in shape)
            return keras.KerasTensor(shape, dtype)
        args, kwargs = filled((given, kwargs), number, count)
        of_class: Any = super(_Counting, self._of(count))
        return of_class.compute_output_spec(*args, **kwargs)

    def _counted(self, args, shape):
        """Its own arguments, and the number of clips."""
        rows = vars(self)[_COUNTED][1]
        clips = args[0] if rows else args[-1]
        if isinstance(clips, (list, tuple)):
            clips = clips[0]
        size = shape(clips)[0]
        return args if rows else args[:-1], None if size is None else size // (rows or 1)

    def _of(self, count):
        """The operation for a number of clips."""
        number, _, depends, _, _ = vars(self)[_COUNTED]
        return variant(self, **{name: filled(vars(self)[name], number, count) for name in depends})
