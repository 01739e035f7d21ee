"""Exports all records of a gallery as one table."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from c3dvis.files import write_bytes
from c3dvis.gallery import rebuild
from c3dvis.gallery.record import Record

# Scalar fields of a record, by type.
_TEXTS = ("layer", "label", "status", "predicted_class", "error", "plain_color")
_NUMBERS = ("score", "best_held_out", "ratio", "failed_step", "change", "drift_share")
_SHAPE = ("frames", "height", "width", "colors")
_DRIFT = ("drift_right", "drift_down")


def export(
    out: str | Path, path: str | Path, *, report: Callable[[str], None] | None = None
) -> int:
    """Writes a row for each record of a gallery; returns their number.

    Columns are `layer`, `channel`, `label`, `status`, `score`, `best_held_out`, `ratio`,
    `failed_step`, `predicted_class`, `error`, `seed`, `frames`, `height`, `width`, `colors`,
    `change`, `plain_color`, `drift_right`, `drift_down`, `drift_share`, and `gif` and `strip`, the
    paths of the files in the gallery. In `.npz` there is an array per column: what is missing is
    NaN, or an empty text. In Parquet it is null.

    Args:
        out: Folder of the gallery.
        path: Ends in `.npz`, or in `.parquet`, for which pyarrow must be installed.
        report: Called with a line about invalid records.

    Raises:
        ValueError: If there is no gallery, or the ending is another.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    writers = {".npz": _npz, ".parquet": _parquet}
    if path.suffix not in writers:
        raise ValueError(f"Expected a file that ends in .npz or .parquet. Received: {path.name!r}.")
    manifest, records = rebuild.read(Path(out), report=report)
    rows = [_row(unit.folder, record) for unit, record in records.items()]
    names = _row("", Record(layer="", channel=0, status="ok"))
    columns = {name: [row[name] for row in rows] for name in names}
    about = {"network": dict(manifest.network), "settings": dict(manifest.identity)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, writers[path.suffix](columns, json.dumps(about)))
    return len(rows)


def _row(folder: str, record: Record) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in (*_TEXTS, "channel", "seed", *_NUMBERS)}
    row |= dict(zip(_SHAPE, record.shape or [None] * len(_SHAPE), strict=True))
    row |= dict(zip(_DRIFT, record.drift or [None] * len(_DRIFT), strict=True))
    for name, ending in (("gif", ".gif"), ("strip", ".jpg")):
        files = [file for file in record.files if file.endswith(ending)]
        row[name] = f"{folder}/{files[0]}" if files else None
    return row


def _npz(columns: dict[str, list[Any]], about: str) -> bytes:
    texts = {*_TEXTS, "gif", "strip"}
    arrays = {
        name: np.array([value or "" for value in values], str)
        if name in texts
        else _numbers(name, values)
        for name, values in columns.items()
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, about=np.array(about), **arrays)
    return content.getvalue()


def _numbers(name: str, values: Sequence[Any]) -> np.ndarray:
    if name in ("channel", "seed"):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _parquet(columns: dict[str, list[Any]], about: str) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            "Expected pyarrow to be installed for Parquet: pip install pyarrow, or name a file "
            ".npz. Received: a Python without it."
        ) from None
    kinds = {name: _kind(pyarrow, name) for name in columns}
    fields = [(name, kinds[name]) for name in columns]
    table = pyarrow.table(columns, schema=pyarrow.schema(fields, metadata={"c3dvis": about}))
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content)
    return content.getvalue()


def _kind(pyarrow: Any, name: str) -> Any:
    if name in ("channel", "seed", "failed_step", *_SHAPE):
        return pyarrow.int64()
    return pyarrow.float64() if name in (*_NUMBERS, *_DRIFT) else pyarrow.string()
