"""Runs notebooks and keeps their outputs: `python notebooks/execute.py [NOTEBOOK ...]`.

What TensorFlow writes while it starts is left out, as it tells of the machine; anything else on
stderr is an error. Needs `pip install -e ".[dev]"`.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_SECONDS = 600  # a cell
# Its notes begin with a date and time, or with a letter for their weight and the month and day.
_STARTUP = re.compile(
    r"\d{4}-\d\d-\d\d [\d:.]+: [IWE] (tensorflow|external)/|[IWE]\d{4} [\d:.]+ "
    r"|WARNING: All log messages before absl|To enable the following instructions"
)


def execute(path: Path) -> None:
    """Runs a notebook, in an empty folder, and writes it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        here = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=_SECONDS, record_timing=False, resources=here)
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_startup(output)]
    # What this machine's Python is called says nothing to a reader.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)


def _is_startup(output) -> bool:
    """Whether an output is nothing but TensorFlow's notes; other notes on stderr are an error."""
    if output.get("name") != "stderr":
        return False
    others = [line for line in output.text.splitlines() if line and not _STARTUP.match(line)]
    if others:
        raise RuntimeError(f"Expected nothing on stderr. Received: {others[0]!r}.")
    return True


def main(names: list[str]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for path in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        started = time.monotonic()
        execute(path)
        print(f"{path.name}: {time.monotonic() - started:.0f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
