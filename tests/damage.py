"""Random damage to files: to any of their bytes, or inside, with all checksums right."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import h5py

from c3dvis.checkpoints import tf_index

# What a value in JSON is replaced by.
_VALUES = (
    None, True, -1, 0, 3, 2**70, 10**400, 0.5, float("nan"), float("inf"), "", "conv1", "../../x",
    "\x1b[2J<b>", [], {}, [[]], [1, 2], {"a": 1}, ["Conv3D"],
)  # fmt: skip
_DEEP = 100_000


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A copy with some bytes changed, cut out, doubled or left off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64))
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 4))
            case _:
                if rng.random() < 0.3:
                    del data[at:]
        if not data:
            return b""
    return bytes(data)


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """A copy with some values replaced, left out or repeated; now and then nested without end."""
    root = {"": json.loads(content)}
    for _ in range(rng.choice((1, 1, 2, 4))):
        holder, key = rng.choice(list(_places(root)))
        match rng.randrange(8):
            case 0 if holder is not root:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 2:
                holder[key] = [holder[key]]
            case _:
                holder[key] = copy.deepcopy(rng.choice(_VALUES))
        root.setdefault("", None)
    text = json.dumps(root[""])
    if rng.random() < 0.02:
        text = text.replace("1", "[" * _DEEP, 1)
    return text.encode()


def _places(value: Any) -> Any:
    """Each value inside, as the list or dictionary that holds it and its place there."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def damaged_zip(content: bytes, rng: random.Random) -> bytes:
    """A copy of which one file is damaged."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(file, "w") as copy:
        chosen = rng.choice(source.infolist()).filename
        for item in source.infolist():
            inside = source.read(item)
            if item.filename == chosen:
                is_json = chosen.endswith(".json") and rng.random() < 0.8
                inside = (damaged_json if is_json else damaged)(inside, rng)
            copy.writestr(item, inside)
    return file.getvalue()


def damaged_gzip(content: bytes, rng: random.Random) -> bytes:
    """A copy that holds something damaged."""
    return gzip.compress(damaged(gzip.decompress(content), rng), 1)


def damaged_png(content: bytes, rng: random.Random) -> bytes:
    """A copy of whose chunks some are changed."""
    parts, position = [content[:8]], 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4])
        chunk = content[position + 4 : position + 8 + length]
        if rng.random() < 0.3:
            chunk = chunk[:4] + damaged(chunk[4:], rng)
        parts += [(len(chunk) - 4).to_bytes(4), chunk, zlib.crc32(chunk).to_bytes(4)]
        position += 12 + length
    return b"".join(parts)


def damaged_index(content: bytes, rng: random.Random) -> bytes:
    """A copy of the index of a checkpoint with some bytes changed."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    blocks, data = _blocks(content), bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        start, length = rng.choice([block for block in blocks if block[1]])
        data[start + rng.randrange(length)] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
    for start, length in blocks:
        end = start + length + 1
        data[end : end + 4] = masked_crc32c(bytes(data[start:end])).to_bytes(4, "little")
    return bytes(data)


def _blocks(table: bytes) -> list[tuple[int, int]]:
    """Where a table's blocks lie."""
    footer = table[-tf_index._FOOTER_BYTES :]
    *empty, position = tf_index._handle(footer, 0)
    start, length, _ = tf_index._handle(footer, position)
    listed = tf_index._entries(table[start : start + length])
    inner = [tf_index._handle(value, 0)[:2] for _, value in listed]
    return [tuple(empty), (start, length), *inner]


def damaged_hdf5(content: bytes, rng: random.Random) -> bytes:
    """A copy with a dataset or attribute replaced by another, or a changed configuration."""
    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        names = ["/"]
        file.visit(names.append)
        name = rng.choice(names)
        item = file[name]
        kinds = ("f4", "f8", "i1", "i8", "c8", "S3", "V7", "?", h5py.string_dtype())
        shape = tuple(rng.choice((0, 1, 2, 3, 7)) for _ in range(rng.randrange(4)))
        if item.attrs and rng.random() < 0.7:
            key = rng.choice(list(item.attrs))
            value = item.attrs[key]
            if isinstance(value, str) and value.startswith("{") and rng.random() < 0.9:
                item.attrs[key] = damaged_json(value.encode(), rng).decode()[: 2**15]
            else:
                del item.attrs[key]
                item.attrs.create(key, h5py.Empty(rng.choice(kinds)) if rng.random() < 0.3 else 5)
        elif name != "/":
            del file[name]
            if rng.random() < 0.8:
                file.create_dataset(name, shape, rng.choice(kinds))
    return memory.getvalue()


# Of each kind of file that holds others or checksums, by its ending.
INSIDE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "h5": damaged_hdf5,
    "weights.h5": damaged_hdf5,
    "model.h5": damaged_hdf5,
    "keras": damaged_zip,
    "zip.pth": damaged_zip,
    "npz": damaged_zip,
    "index": damaged_index,
    "png": damaged_png,
    "nii.gz": damaged_gzip,
    "json": damaged_json,
}


def damage(kind: str, content: bytes, number: int) -> bytes:
    """The copy of a file with this number: of some kinds every second one is damaged inside."""
    rng = random.Random(f"{kind} {number}")
    inside = next((make for ending, make in INSIDE.items() if kind.endswith(ending)), None)
    return damaged(content, rng) if inside is None or number % 2 else inside(content, rng)
