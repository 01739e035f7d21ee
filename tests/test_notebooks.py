"""The notebooks as they are kept: executed in order, small, with pictures that move."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
# Pictures that each must have, at least.
PICTURES = {
    "1-what-a-filter-wants": 17,
    "2-parametrizations-and-slow-fast": 10,
    "3-which-pixels": 5,
    "4-which-frames": 12,
    "5-your-own-network": 4,
    "6-feature-maps-of-your-clip": 29,
}
LARGEST = 1_500_000
LARGEST_PICTURE = 300_000
# Of a home folder or a temporary one, of Windows too; and an address with a port or a numeric one.
LOCAL = re.compile(r"(?<![\w.:/<])/[a-z]+/\w|[A-Z]:\\\\|\b(\d{1,3}\.){3}\d{1,3}\b|localhost|://")


def code_cells(name: str) -> list[dict]:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(name: str) -> list[dict]:
    return [output for cell in code_cells(name) for output in cell["outputs"]]


def texts(output: dict) -> list[str]:
    """Everything in an output that is text, whatever its kind."""
    data = [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    parts = [output.get("text", ""), *data]
    return ["".join(part) if isinstance(part, list) else str(part) for part in parts]


def pictures(name: str) -> list[bytes]:
    alone = [
        "".join(value).replace("\n", "")
        for output in outputs(name)
        for kind, value in output.get("data", {}).items()
        if kind.startswith("image/")
    ]
    in_pages = [
        encoded
        for output in outputs(name)
        for text in texts(output)
        for encoded in re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", text)
    ]
    return [base64.b64decode(one, validate=True) for one in alone + in_pages]


def without_pictures(text: str) -> str:
    return re.sub(r"data:image/\w+;base64,[A-Za-z0-9+/=]+", "", text)


def test_these_are_all():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
class TestNotebook:
    def test_it_is_small(self, name):
        assert (FOLDER / f"{name}.ipynb").stat().st_size <= LARGEST

    def test_every_cell_was_run_in_order(self, name):
        counts = [cell["execution_count"] for cell in code_cells(name)]
        assert counts == list(range(1, len(counts) + 1))

    def test_nothing_failed_and_nothing_was_written_to_stderr(self, name):
        kinds = {(one["output_type"], one.get("name", "")) for one in outputs(name)}
        shown = {("execute_result", ""), ("display_data", ""), ("stream", "stdout")}
        assert kinds and kinds <= shown

    def test_its_pictures_move_and_are_small(self, name):
        shown = pictures(name)
        assert len(shown) >= PICTURES[name]
        for content in shown:
            assert len(content) <= LARGEST_PICTURE
            with Image.open(io.BytesIO(content)) as picture:
                assert picture.n_frames > 1
                for index in range(picture.n_frames):
                    picture.seek(index)
                    picture.load()

    def test_nothing_tells_of_the_machine(self, name):
        for output in outputs(name):
            for text in map(without_pictures, texts(output)):
                assert not LOCAL.search(text), text
                assert "WARNING" not in text, text


@pytest.mark.parametrize(
    "text", ["/home/me/x", "in '/tmp/x'", "C:\\\\Users", "at 10.0.0.1", "http://a"]
)
def test_the_search_for_paths_finds_them(text):
    assert LOCAL.search(text)


@pytest.mark.parametrize("text", ["<b>a</b>", "and/or", "0.5 / 2", "image/webp", "1.5.2"])
def test_the_search_for_paths_leaves_other_text_alone(text):
    assert not LOCAL.search(text)
