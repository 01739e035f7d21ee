"""Makes operations that depend on the number of clips work for any number of clips.

Code of layers may read the number of clips: `ops.reshape(x, (ops.shape(x)[0], -1, 8))`. It is
traced with a number of clips of which no other size is likely to be a multiple. Where this number
appears in the traced calls, the actual number of clips replaces it.
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
    """A number of clips of which none of the sizes is a multiple."""
    known = [n for n in sizes if n]
    return next((p for p in _PRIMES if not any(n % p == 0 for n in known)), _PRIMES[-1])


def holds(value, number: int) -> bool:
    """Whether lists, tuples and slices contain a multiple of a number."""
    return filled(value, number, 2 * number) != value if _is_nested(value) else False


def filled(value, number: int, count):
    """A value with each integer `k * number`, `k` above 0, replaced by `k * count`."""
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
    """An array of `number` equal rows as a tensor with one row per clip."""
    if not ops.is_tensor(value) or not len(value.shape) or value.shape[0] != number:
        return value
    rows = ops.convert_to_numpy(value)
    if (rows != rows[:1]).any():
        raise ValueError("it computes different numbers for each clip")
    dtype = keras.backend.standardize_dtype(value.dtype)
    return Held(rows[0], tuple(rows.shape[1:]), dtype=dtype)(clips)


def for_any_count(operation, number: int, inputs: list, outputs: list, arguments: Any):
    """Makes an operation that was traced on `number` clips work for any number of clips.

    Args:
        operation: The variant to call.
        number: Number of clips.
        inputs: Its input tensors, with that number of clips.
        outputs: Its output tensors.
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
    """Mixin for an operation that depends on the number of clips, which `call` reads from its
    inputs.

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
