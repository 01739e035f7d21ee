"""Contact sheets: what they show, and which layers have one."""

from __future__ import annotations

import numpy as np
import pytest
from gallery_folder import stripes, write_folder
from PIL import Image

from c3dvis.gallery import sheets
from c3dvis.gallery.__main__ import main


def test_a_sheet_shows_frames_of_every_clip_from_left_to_right(tmp_path):
    frames = np.repeat(np.linspace(0, 1, 8)[:, None, None, None], 32, axis=1)
    clip = np.repeat(np.repeat(frames, 32, axis=2), 3, axis=3).astype(np.float32)
    write_folder(tmp_path, {"conv1": [clip, None, 1 - clip], "dead": [None]})
    assert sheets.write(tmp_path) == [tmp_path / "sheets" / "conv1.png"]
    with Image.open(tmp_path / "sheets" / "conv1.png") as picture:
        sheet = np.asarray(picture.convert("L"), int)
    side = 128  # 32, four times
    top, width = sheets._GAP + sheets._LINE, 4 * (side + sheets._BETWEEN) + sheets._GAP
    assert sheet.shape == (top + side + sheets._GAP, 2 * width + sheets._GAP)
    middle = [sheets._GAP + side // 2 + (side + sheets._BETWEEN) * i for i in range(4)]
    first = sheet[top + side // 2, middle]
    assert (np.diff(first) > 40).all()
    second = sheet[top + side // 2, [width + at for at in middle]]
    np.testing.assert_allclose(first + second, 255, atol=6)
    assert sheet[:top, :width].min() < 100  # its number is written


def test_many_units_go_on_in_rows(tmp_path):
    write_folder(tmp_path, {"conv1": [stripes(0, frames=4)] * 7})
    (path,) = sheets.write(tmp_path)
    with Image.open(path) as picture:
        assert picture.width <= sheets._WIDTH + sheets._GAP
        assert picture.height == 2 * (128 + sheets._LINE + sheets._GAP) + sheets._GAP


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    write_folder(tmp_path / "g", {"conv1": [stripes(0)]})
    assert main(["--sheets", "--out", str(tmp_path / "g")]) == 0
    assert "sheets/conv1.png" in capsys.readouterr().out
    assert main(["--sheets", "--out", str(tmp_path)]) == 2
    assert "Expected the folder of a gallery" in capsys.readouterr().err
    with pytest.raises(ValueError, match="Expected the folder of a gallery"):
        sheets.write(tmp_path / "none")
