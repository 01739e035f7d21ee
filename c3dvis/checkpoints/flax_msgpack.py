"""Reads the msgpack files of Flax: trees of arrays, each with its shape and its type's name."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np

from c3dvis.checkpoints.trees import Tree, plain_tree
from c3dvis.text import in_one_line

# How Flax packs what msgpack has no type for.
_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
# An array of more than a gigabyte is a dictionary of flat pieces under this name.
_CHUNKED = "__msgpack_chunked_array__"
# Flax turns lists into dictionaries; a list is claimed by its length alone, before it is read.
_LONGEST_LIST = 4096
_DTYPES = {
    "float16": np.dtype("<f2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    # Counters of an optimizer; they are not weights.
    **{name: np.dtype(name) for name in ("bool", "int32", "int64", "uint32", "uint64")},
}


def is_flax_msgpack(path: Path) -> bool:
    """Whether a file begins as msgpack's dictionaries do, with a text as the first name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(6)
    names = {0xDE: head[3:4], 0xDF: head[5:6]}  # behind the number of entries, of 2 or 4 bytes
    if head and 0x81 <= head[0] <= 0x8F:
        names[head[0]] = head[1:2]
    name = names.get(head[0] if head else 0, b"")
    return bool(name) and (0xA0 <= name[0] <= 0xBF or name[0] in (0xD9, 0xDA))


def read_tree(path: str | os.PathLike) -> Tree:
    """The tree of arrays in a msgpack file of Flax.

    Args:
        path: A file of `flax.serialization.to_bytes` or `msgpack_serialize`.

    Returns:
        Nested dictionaries; their leaves are arrays, not writable, of the stored types; bfloat16
        is that of `ml_dtypes`.

    Raises:
        ValueError: If the file is damaged, or holds anything but arrays and numbers.

    Example:
        >>> import pathlib, tempfile
        >>> import msgpack
        >>> from c3dvis.checkpoints.flax_msgpack import read_tree
        >>> array = msgpack.ExtType(1, msgpack.packb(((2,), "float32", bytes(8))))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "small.msgpack"
        ...     _ = path.write_bytes(msgpack.packb({"params": {"fc": {"bias": array}}}))
        ...     read_tree(path)
        {'params': {'fc': {'bias': array([0., 0.], dtype=float32)}}}

    https://flax.readthedocs.io
    """
    path = Path(path)
    try:
        saved = msgpack.unpackb(
            path.read_bytes(),
            raw=False,
            strict_map_key=True,
            ext_hook=_extension,
            max_array_len=_LONGEST_LIST,
        )
        return plain_tree(_unchunked(saved), _array)
    except Exception as reason:  # msgpack raises several classes for damage
        what = in_one_line(reason) or type(reason).__name__
        raise ValueError(
            f"Expected a msgpack file of Flax that can be read. Received: '{path}', which is cut "
            f"short, damaged or of something else ({what:.300})."
        ) from reason


def _extension(code: int, raw: bytes) -> Any:
    if code == _COMPLEX:
        raise ValueError("a complex number, which is not a weight")
    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f"data of the unknown kind {code}")
    shape, name, values = msgpack.unpackb(raw, raw=False, max_array_len=64, max_map_len=0)
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"an array of the type {name!r:.60}, which is not a weight")
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"an array of the shape {shape!r:.60}")
    expected = math.prod(shape) * _DTYPES[name].itemsize
    if not isinstance(values, bytes) or len(values) != expected:
        raise ValueError(f"an array of {len(values)} bytes, not {expected}")
    if code == _SCALAR and shape:
        raise ValueError(f"a number of the shape {shape!r:.60}")
    return np.frombuffer(values, _DTYPES[name]).reshape(shape)


def _unchunked(part: Any) -> Any:
    """The same tree with its arrays in one piece."""
    if not isinstance(part, dict):
        return part
    if _CHUNKED in part:
        return _joined(part)
    return {name: _unchunked(inner) for name, inner in part.items()}


def _joined(part: dict[str, Any]) -> np.ndarray:
    shape, chunks = _in_order(part["shape"]), _in_order(part["chunks"])
    if not all(isinstance(chunk, np.ndarray) and chunk.ndim == 1 for chunk in chunks):
        raise ValueError("an array in pieces that are none")
    if len({chunk.dtype for chunk in chunks}) != 1:
        raise ValueError("an array in pieces of several types")
    values = np.concatenate(chunks)
    if any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) != values.size:
        raise ValueError(f"an array of {values.size} values in pieces, of shape {shape!r:.60}")
    values.flags.writeable = False
    return values.reshape(shape)


def _in_order(numbered: dict[str, Any]) -> list:
    if not isinstance(numbered, dict) or any(str(n) not in numbered for n in range(len(numbered))):
        raise ValueError("an array in pieces that are not numbered")
    return [numbered[str(number)] for number in range(len(numbered))]


def _array(leaf: Any) -> np.ndarray:
    if isinstance(leaf, np.ndarray):
        return leaf
    if type(leaf) in (bool, int, float):
        return np.asarray(leaf)
    raise ValueError(f"{leaf!r:.60} among its arrays" if isinstance(leaf, str) else "no array")
