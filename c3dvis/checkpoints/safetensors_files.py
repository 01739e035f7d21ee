"""Reads safetensors files: a header of JSON that says where each tensor lies in the rest."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from c3dvis.checkpoints.checks import unreadable

_LENGTH_BYTES = 8  # of the number at the start: how long the header is
_LONGEST_HEADER = 100_000_000  # bytes, as the format's own reader has it
_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the header's length, and a brace."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_LENGTH_BYTES + 1)
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES:] == b"{" and length <= _LONGEST_HEADER


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, by name.

    Args:
        path: The file.

    Returns:
        Arrays in the file's order, not writable, of the stored types; bfloat16 is that of
        `ml_dtypes`.

    Raises:
        ValueError: If the file is damaged, or a tensor lies outside it.

    Example:
        >>> import json, pathlib, tempfile
        >>> from c3dvis.checkpoints.safetensors_files import read_tensors
        >>> header = {"fc.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
        >>> text = json.dumps(header).encode()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "small.safetensors"
        ...     _ = path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        ...     read_tensors(path)
        {'fc.bias': array([0., 0.], dtype=float32)}

    https://huggingface.co/docs/safetensors
    """
    path = Path(path)
    if not is_safetensors(path):
        raise unreadable(path, "a safetensors file")
    raw = path.read_bytes()
    start = _LENGTH_BYTES + int.from_bytes(raw[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(raw[_LENGTH_BYTES:start], object_pairs_hook=_unique)
        header.pop("__metadata__", None)
        if not header:
            raise ValueError("no tensors")
        tensors = {name: _tensor(name, entry, raw, start) for name, entry in header.items()}
        # The format allows no overlaps; without this, small files could claim any memory.
        if sum(tensor.nbytes for tensor in tensors.values()) > len(raw) - start:
            raise ValueError("tensors that overlap")
        return tensors
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        what = " ".join(str(reason).split())
        raise ValueError(
            f"Expected a safetensors file. Received: '{path}', which is cut short or damaged "
            f"({what:.300})."
        ) from reason


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name used twice")
    return dict(pairs)


def _tensor(name: str, entry: dict[str, Any], raw: bytes, start: int) -> np.ndarray:
    dtype, shape = entry["dtype"], entry["shape"]
    first, last = entry["data_offsets"]
    if dtype not in _DTYPES or not name.isprintable():
        raise ValueError(f"tensor {name!r:.200} of type {dtype!r:.60}")
    if any(type(n) is not int or n < 0 for n in (*shape, first, last)):
        raise ValueError(f"tensor {name!r} of shape {shape!r:.60} at {first!r:.60}")
    length = math.prod(shape) * _DTYPES[dtype].itemsize
    if last - first != length or start + last > len(raw):
        raise ValueError(f"tensor {name!r} of {length} bytes in bytes {first} to {last}")
    return np.frombuffer(raw, _DTYPES[dtype], math.prod(shape), start + first).reshape(shape)
