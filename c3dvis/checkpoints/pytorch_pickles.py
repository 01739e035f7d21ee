"""Unpickles what PyTorch's files say of tensors, and nothing else: no code of a file runs."""

from __future__ import annotations

import io
import pickle
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from c3dvis.checkpoints.restricted_pickles import Dict, Function, Refused, Unpickler, shown
from c3dvis.checkpoints.words import in_short

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


class Storage(NamedTuple):
    """Raw values beside the pickle: which, of what type, and how many."""

    key: str
    dtype: np.dtype
    length: int


class Tensor(NamedTuple):
    """A view on a storage, unchecked: what the pickle says."""

    storage: Storage
    offset: Any
    size: Any
    stride: Any


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
            raise pickle.UnpicklingError(f"a reference to {shown(key)} that is no storage")
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
    wrong = [key for key, value in saved.items() if not _is_named_tensor(key, value)]
    if wrong:
        named = in_short(map(shown, wrong))
        raise Refused(f"whose state dict holds {named}, which is no tensor. {ADVICE}")
    return saved


def _is_named_tensor(key: Any, value: Any) -> bool:
    return isinstance(key, str) and key.isprintable() and isinstance(value, Tensor)
