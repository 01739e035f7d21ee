"""Reads tensors from PyTorch's files, without PyTorch.

A file of `torch.save` is a pickle that lists the tensors, next to their raw values: a zip archive
since PyTorch 1.6, before that a few pickles in a row. The pickle may use only the few names that
tensors need, and its claims are checked against the values: no code of a file runs.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

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
from c3dvis.text import in_short

# What torch.save wrote before version 1.6: this number, this version, and then the rest.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
# Bytes. The pickle holds names and shapes only; a training checkpoint of a video network needs
# less than one MiB.
_LONGEST_PICKLE = 16 * 2**20
# Where a training checkpoint keeps the network's tensors.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
ADVICE = (
    "If you trust the file, save the tensors alone with PyTorch: "
    "torch.save(model.state_dict(), 'tensors.pth')."
)


def is_pytorch(path: Path) -> bool:
    """Whether a file is one of `torch.save`, or any other binary pickle, by its content."""
    if not path.is_file():
        return False
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(map(_is_pickle, archive.namelist()))
        except (zipfile.BadZipFile, NotImplementedError):  # of an unknown version
            return False
    with path.open("rb") as file:
        return is_binary_pickle(file.read(2))


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file, by name.

    PyTorch is not needed, and no code of the file runs: its pickle may use only the names that
    tensors need, which refer to functions of this reader.

    Args:
        path: A file of `torch.save`, of any version since 0.4: a state dict, or a checkpoint with a
            state dict under `state_dict`, `model_state_dict`, `model_state`, `model`, `network` or
            `net`; numbers, texts and an optimizer's tensors may be there as well.

    Returns:
        Arrays in the file's order, not writable, of the stored types; bfloat16 is that of
        `ml_dtypes`.

    Raises:
        ValueError: If the file is damaged, calls for anything but tensors, or holds none.
    """
    path = Path(path)
    with refusals(path, "a PyTorch file of tensors"):
        tensors, values = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        return {
            name: _array(name, tensor, values[tensor.storage.key])
            for name, tensor in tensors.items()
        }


class Storage(NamedTuple):
    """Raw values stored next to the pickle: which, of what type, and how many."""

    key: str
    dtype: np.dtype
    length: int


class Tensor(NamedTuple):
    """A view on a storage, as the pickle describes it, unchecked."""

    storage: Storage
    offset: Any
    size: Any
    stride: Any


_Contents = tuple[dict[str, Tensor], dict[str, np.ndarray]]


def _read_zip(path: Path) -> _Contents:
    """The tensors of an archive, and the values of their storages by key."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        _refuse_bombs(archive, path)
        (pickled,) = filter(_is_pickle, entries)
        folder = pickled.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        _check_order(order not in entries or archive.read(order) == b"little")
        length = entries[pickled].file_size
        if length > _LONGEST_PICKLE:
            raise Refused(f"with a pickle of {length:,} bytes besides its tensors. {ADVICE}")
        tensors = state_dict(TensorUnpickler(io.BytesIO(archive.read(pickled))).load())
        # Reading an entry compares its checksum, too.
        values = {
            key: _values(storage, archive.read(f"{folder}data/{key}"))
            for key, storage in _storages(tensors).items()
        }
    return tensors, values


def _read_legacy(path: Path) -> _Contents:
    """The same of the older layout: pickles, and after them each storage with its length."""
    with path.open("rb") as file:
        head = io.BytesIO(file.read(_LONGEST_PICKLE))
        if _first(head) != _LEGACY_MAGIC:
            raise Refused(f"a pickle that torch.save did not write, of other things. {ADVICE}")
        if TensorUnpickler(head).load() != _LEGACY_VERSION:
            raise Refused(f"of an unknown version. {ADVICE}")
        _check_order(TensorUnpickler(head).load()["little_endian"])
        content = TensorUnpickler(head)
        tensors = state_dict(content.load())
        needed, values = _storages(tensors), {}
        keys = TensorUnpickler(head).load()
        file.seek(head.tell())
        for key in keys:
            storage = content.storages[key]
            count = int.from_bytes(file.read(8), "little")
            length = storage.length * storage.dtype.itemsize
            if count != storage.length or length > path.stat().st_size - file.tell():
                raise ValueError(f"storage {key!r:.60} that claims {count} values")
            raw = file.read(length)
            if key in needed:
                values[key] = _values(storage, raw)
    return tensors, values


def _first(head: io.BytesIO) -> Any:
    """The first pickle of a file; None for one of other things that is longer than was read."""
    raw = head.getvalue()
    try:
        return TensorUnpickler(head).load()
    except Refused:
        raise
    except Exception:
        if len(raw) < _LONGEST_PICKLE or _LEGACY_MAGIC.to_bytes(10, "little") in raw[:32]:
            raise
        return None


def _is_pickle(entry: str) -> bool:
    return entry.endswith("/data.pkl") and entry.count("/") == 1


def _refuse_bombs(archive: zipfile.ZipFile, path: Path) -> None:
    """PyTorch compresses nothing, so that the parts cannot be longer than the file."""
    entries, size = archive.infolist(), path.stat().st_size
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Refused(f"with compressed parts, which torch.save does not write. {ADVICE}")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > size:
        raise Refused(f"of {size:,} bytes, with parts of {claimed:,} bytes.")


def _check_order(little_endian: bool) -> None:
    if not little_endian:
        raise Refused(f"written on a big-endian machine. Convert it there. {ADVICE}")


def _storages(tensors: dict[str, Tensor]) -> dict[str, Storage]:
    return {tensor.storage.key: tensor.storage for tensor in tensors.values()}


def _values(storage: Storage, raw: bytes) -> np.ndarray:
    expected = storage.length * storage.dtype.itemsize
    if len(raw) != expected:
        raise ValueError(f"storage {storage.key!r:.60} of {len(raw)} bytes, not {expected}")
    return np.frombuffer(raw, storage.dtype)


def _array(name: str, tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """The part of a storage that a tensor says it is, once that is known to lie inside."""
    size, stride = tuple(tensor.size), tuple(tensor.stride)
    numbers = (tensor.offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise ValueError(f"tensor {name!r} of a size or stride that is none")
    count = math.prod(size)
    steps = sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count > values.size or (count and tensor.offset + steps >= values.size):
        raise ValueError(f"tensor {name!r} that reaches past its {values.size} values")
    strides = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], size, strides, writeable=False)


def _tensor(storage, offset, size, stride, *_) -> Tensor:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError(f"a tensor of {shown(storage)}")
    return Tensor(storage, offset, size, stride)


def _parameter(tensor, *_) -> Any:
    return tensor


# All that a pickle may name. The types of storages are texts: nothing can call or alter them.
_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Dict,
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(_parameter),
    **{("torch", name): name for name in _DTYPES},
}


class TensorUnpickler(Unpickler):
    """Unpickles dictionaries of tensors, and notes the storages that they need."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, _GLOBALS, "a tensor", ADVICE)
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        word, kind, key, _, count, *view = pid
        if word != "storage" or kind not in _DTYPES or not isinstance(key, str):
            raise pickle.UnpicklingError(f"a reference to {shown(key)} that is not a storage")
        if any(part is not None for part in view):
            raise Refused(f"with a storage {shown(key)} that is a part of another. {ADVICE}")
        if type(count) is not int or count < 0:
            raise pickle.UnpicklingError(f"a storage {shown(key)} of {shown(count)} values")
        storage = Storage(key, _DTYPES[kind], count)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"two different storages {shown(key)}")
        return storage


def state_dict(saved: Any) -> dict[str, Tensor]:
    """The dictionary of tensors that was saved, or that lies in a checkpoint."""
    while isinstance(saved, dict):
        inner = [key for key in _WRAPPERS if isinstance(saved.get(key), dict)]
        if not inner:
            break
        if len(inner) > 1:
            raise Refused(f"with several state dicts: {in_short(inner)}. {ADVICE}")
        saved = saved.pop(inner[0])  # taken out, a dictionary that holds itself comes to an end
    if not isinstance(saved, dict) or not saved:
        raise Refused(f"which holds no state dict. {ADVICE}")
    wrong = [
        key
        for key, value in saved.items()
        if not (isinstance(key, str) and key.isprintable() and isinstance(value, Tensor))
    ]
    if wrong:
        named = in_short(map(shown, wrong))
        raise Refused(f"whose state dict holds {named}, which is not a tensor. {ADVICE}")
    return saved
