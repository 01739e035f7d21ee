"""Clips that are shown while they form: drawn every few seconds, and gone when all is made."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from gallery_folder import bytes_below
from PIL import Image

from c3dvis import files
from c3dvis.gallery import forming, make, page
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.settings import Settings

SETTINGS = Settings(steps=16, batch_size=2)
SELECTION = make.Selection(layers=("conv1",), filters=(0, 1, 2))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(5)
    x = inputs = keras.Input((4, 16, 16, 3))
    x = keras.layers.Conv3D(3, 3, activation="leaky_relu", name="conv1")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling3D()(x))


@pytest.fixture
def pages(monkeypatch):
    """What index.html says each time it is written."""
    written = []
    write_text = files.write_text

    def kept(path, text):
        if path.name == "index.html":
            written.append(text)
        write_text(path, text)

    monkeypatch.setattr(page.files, "write_text", kept)
    return written


def test_clips_are_shown_while_they_form_and_leave_nothing(network, tmp_path, monkeypatch, pages):
    monkeypatch.setattr(forming, "_INTERVAL", 600)
    make.make(SETTINGS, tmp_path / "slow", selection=SELECTION, network=network, report=str)
    assert not any("forming" in text for text in pages)  # in less than ten minutes
    monkeypatch.setattr(forming, "_INTERVAL", 0)
    seen = {}
    draw = forming.Forming.draw

    def looked_at(self, unit_clips, step):
        draw(self, unit_clips, step)
        for unit, clip in unit_clips.items():
            with Image.open(self.out / self.clips[unit].strip) as strip:
                seen[unit.channel, step] = clip.mean(), np.asarray(strip).mean() / 255
                assert strip.size == (4 * 16, 16)

    monkeypatch.setattr(forming.Forming, "draw", looked_at)
    pages.clear()
    make.make(SETTINGS, tmp_path / "shown", selection=SELECTION, network=network, report=str)
    assert sorted(seen) == [(unit, step) for unit in range(3) for step in (8, 16)]
    assert all(clip == pytest.approx(strip, abs=0.02) for clip, strip in seen.values())
    assert [text.count(">forming: step 8<") for text in pages][:2] == [0, 2]
    assert "forming" not in pages[-1] and not (tmp_path / "shown/forming").exists()
    # Looking at them changes nothing.
    slow, shown = (bytes_below(tmp_path / name) for name in ("slow", "shown"))
    clips_of = [
        {n: b for n, b in each.items() if n.endswith((".gif", ".jpg"))} for each in (slow, shown)
    ]
    assert clips_of[0] == clips_of[1] and len(clips_of[0]) == 6


def test_only_two_drawings_stay_and_a_killed_run_s_are_removed(tmp_path):
    unit, shown = Unit("conv1", 0, None, "conv1"), []
    running = forming.Forming(tmp_path, lambda: shown.append(running.clips[unit].step))
    for step in (8, 16, 24):
        running.draw({unit: np.full((2, 8, 8, 3), 0.5)}, step)
    names = [path.name for path in sorted((tmp_path / "forming").iterdir())]
    assert names == ["conv1-0-16.jpg", "conv1-0-24.jpg"] and shown == [8, 16, 24]
    forming.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_another_folder_is_refused(network, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery/forming").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="forming, which is a symbolic link"):
        make.make(SETTINGS, tmp_path / "gallery", selection=SELECTION, network=network, report=str)
    forming.clear(tmp_path / "gallery")
    assert (tmp_path / "gallery/forming").is_symlink()
