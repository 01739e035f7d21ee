"""Published weights and real clips, which lie beside a clone for some who work on it."""

import os
from pathlib import Path

import pytest

VARIABLE = "C3DVIS_SHARED_DATA"


def shared_data(name: str) -> Path:
    """A file or folder of the data, or the prefix of several; skips the test where it is absent.

    The data lie where the environment variable says, else in `shared/data` beside the clone or
    beside a folder that it lies in.
    """
    named = os.environ.get(VARIABLE)
    parents = Path(__file__).resolve().parents[1:]
    folders = [Path(named)] if named else [parent / "shared" / "data" for parent in parents]
    for folder in folders:
        path = folder / name
        if path.exists() or path.with_name(f"{path.name}.index").exists():
            return path
    where = named or "shared/data beside the clone"
    pytest.skip(f"needs {name}, which is not in {where} ({VARIABLE} names another folder)")
