"""Reads pickled trees of NumPy arrays, a common format of JAX networks, without running their code.

Such a pickle may use only NumPy's own names, which refer to functions of this module; an array is
made from its bytes once their length is known to match its shape.
"""

from __future__ import annotations

import io
import math
import os
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from c3dvis.checkpoints.restricted_pickles import (
    Dict,
    Function,
    Refused,
    Unpickler,
    is_binary_pickle,
    refusals,
    shown,
)
from c3dvis.checkpoints.trees import Tree, plain_tree

ADVICE = (
    "If you trust the file, save it once more as dictionaries of plain arrays: "
    "pickle.dump(jax.tree.map(numpy.asarray, variables), file)."
)
# Arrays name their type early: after the keys of the first of them.
_HEAD = 64 * 2**10  # bytes
# How PyTorch's older files begin: a number of ten bytes.
_PYTORCH = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
_DTYPES = {
    **{kind: np.dtype(kind) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8")},
    **{kind: np.dtype(kind) for kind in ("u1", "u2", "u4", "u8", "b1")},
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


def is_numpy_pickle(path: Path) -> bool:
    """Whether a file is a binary pickle that names NumPy, by its content."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return is_binary_pickle(head) and b"numpy" in head and _PYTORCH not in head[:32]


def read_tree(path: str | os.PathLike) -> Tree:
    """The tree of arrays in a pickle.

    Of what a pickle can hold, dictionaries, lists, tuples, texts, numbers and NumPy's arrays and
    numbers are read; no code of the file runs.

    Args:
        path: A file of `pickle.dump`, protocol 2 and up, of NumPy 1 or 2.

    Returns:
        Nested dictionaries; their leaves are arrays, not writable, of the stored types.

    Raises:
        ValueError: If the file is damaged, calls for anything but arrays, or is not a dictionary.

    Example:
        >>> import pathlib, pickle, tempfile
        >>> import numpy as np
        >>> from c3dvis.checkpoints.numpy_pickles import read_tree
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "small.pickle"
        ...     _ = path.write_bytes(pickle.dumps({"fc": {"bias": np.zeros(2)}}))
        ...     read_tree(path)
        {'fc': {'bias': array([0., 0.])}}
    """
    path = Path(path)
    with refusals(path, "a pickled tree of NumPy arrays"):
        return loads(path.read_bytes())


def loads(raw: bytes) -> Tree:
    """The tree of a pickle in memory; raises an error for any defect."""
    file = io.BytesIO(raw)
    # Python 2 wrote bytes as texts; by this encoding each is its byte.
    saved = Unpickler(file, _GLOBALS, "an array", ADVICE, encoding="latin1").load()
    if file.tell() != len(raw):
        raise ValueError(f"a pickle that ends {len(raw) - file.tell():,} bytes before its file")
    if not isinstance(saved, dict):
        raise Refused(f"which holds {shown(saved)}, not a dictionary. {ADVICE}")
    left = len(raw)

    def array(leaf: Any) -> np.ndarray:
        nonlocal left
        value = _filled(leaf)
        left -= value.nbytes
        if left < 0:  # without this, a small file could claim any memory
            raise ValueError("arrays that share their bytes")
        return value

    return plain_tree(saved, array)


class _Type:
    """In the place of a dtype: what it is, without what a pickle could make of one."""

    __slots__ = ("dtype",)

    def __init__(self, kind: Any, align: Any = False, copy: Any = True):
        if not isinstance(kind, str) or kind not in _DTYPES:
            raise Refused(f"with arrays of the type {shown(kind)}, which are not weights. {ADVICE}")
        self.dtype = _DTYPES[kind]

    def __setstate__(self, state):
        _, order, subtype, names, fields, *_ = state
        if any(part is not None for part in (subtype, names, fields)):
            raise Refused(f"with arrays of several fields, which are not weights. {ADVICE}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """In the place of an array, unchecked: what the pickle says of it."""

    __slots__ = ("raw", "dtype", "shape", "order")

    def __init__(self, raw: Any = None, dtype: Any = None, shape: Any = None, order: Any = None):
        self.raw, self.dtype, self.shape, self.order = raw, dtype, shape, order

    def __setstate__(self, state):
        _, self.shape, self.dtype, fortran, self.raw = state
        self.order = "F" if fortran else "C"


def _filled(leaf: Any) -> np.ndarray:
    """An array of its bytes; they must be exactly as many as its shape says."""
    if type(leaf) in (bool, int, float):
        return np.asarray(leaf)
    if not isinstance(leaf, _Array):
        raise Refused(f"with {shown(leaf)} among its arrays. {ADVICE}")
    raw, shape = leaf.raw, leaf.shape
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(leaf.dtype, _Type) or not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError(f"an array of {shown(leaf.dtype)} and {shown(raw)}")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise pickle.UnpicklingError(f"an array of the shape {shown(shape)}")
    expected = math.prod(shape) * leaf.dtype.dtype.itemsize
    if len(raw) != expected or leaf.order not in ("C", "F"):
        raise pickle.UnpicklingError(f"an array of {len(raw)} bytes, not {expected}")
    value = np.frombuffer(raw, leaf.dtype.dtype).reshape(shape, order=leaf.order)
    value.flags.writeable = False
    return value


def _reconstruct(subtype: Any, *_) -> _Array:
    if subtype != "ndarray":
        raise pickle.UnpicklingError(f"an array that is {shown(subtype)}")
    return _Array()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, *_) -> _Array:
    return _Array(raw, dtype, shape, order)


def _scalar(dtype: Any, raw: Any) -> _Array:
    return _Array(raw, dtype, (), "C")


def _encode(text: Any, encoding: Any) -> Any:
    """How protocol 2 writes bytes: as a text, which stays one until it is known to be needed."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {shown(encoding)}")
    return text


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise pickle.UnpicklingError(f"bytes of {shown(arguments[0])}")
    return b""


# All that a pickle may name. Types are texts: nothing can call or alter them.
_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Dict,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): Function(_Type),
    ("ml_dtypes", "bfloat16"): "bfloat16",
    ("_codecs", "encode"): Function(_encode),
    ("__builtin__", "bytes"): Function(_no_bytes),
    **{
        (f"numpy.{core}.{module}", name): Function(function)
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}
