"""Reads safetensors files by the format's own library: the header first, tensors on demand."""

from __future__ import annotations

import os
from pathlib import Path

import ml_dtypes  # noqa: F401 - makes bfloat16 a type of NumPy, which the library asks for by name
import numpy as np
from safetensors import SafetensorError, safe_open

from c3dvis.checkpoints.checks import damaged
from c3dvis.checkpoints.match import StoredWeight

_EXPECTED = "a safetensors file"
_LENGTH_BYTES = 8  # of the number at the start: how long the header is
_LONGEST_HEADER = 100_000_000  # bytes, as the library has it
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the header's length, and a brace."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_LENGTH_BYTES + 1)
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES:] == b"{" and length <= _LONGEST_HEADER


def stored_tensors(path: str | os.PathLike) -> dict[str, StoredWeight]:
    """The tensors of a safetensors file by name, none of them read yet.

    Args:
        path: The file.

    Returns:
        Of each tensor the shape, and a function that reads it in the stored type; bfloat16 is that
        of `ml_dtypes`.

    Raises:
        ValueError: If the file is damaged, or a tensor lies outside it or is of no type of weights.

    Example:
        >>> import json, pathlib, tempfile
        >>> from c3dvis.checkpoints.safetensors_files import stored_tensors
        >>> header = {"fc.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
        >>> text = json.dumps(header).encode()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "small.safetensors"
        ...     _ = path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        ...     stored_tensors(path)["fc.bias"].read()
        array([0., 0.], dtype=float32)

    https://huggingface.co/docs/safetensors
    """
    path = Path(path)
    try:
        with safe_open(path, "numpy") as file:  # compares the header with the file's length
            tensors = {name: _stored(file, name, path) for name in file.offset_keys()}
        if not tensors:
            raise ValueError("no tensors")
    except (SafetensorError, ValueError, OSError) as reason:
        raise damaged(path, _EXPECTED, reason) from reason
    return tensors


def _stored(file, name: str, path: Path) -> StoredWeight:
    tensor = file.get_slice(name)
    dtype = tensor.get_dtype()
    if dtype not in _DTYPES or not name.isprintable():
        raise ValueError(f"tensor {name!r:.200} of type {dtype!r:.60}")

    def read() -> np.ndarray:
        try:
            with safe_open(path, "numpy") as file:
                return file.get_tensor(name)
        except (SafetensorError, OSError, MemoryError) as reason:
            raise damaged(path, _EXPECTED, reason) from reason

    return StoredWeight(name, tuple(tensor.get_shape()), read)
