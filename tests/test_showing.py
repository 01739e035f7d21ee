"""Clips as a notebook shows them: of a bounded size, moving, and frame by frame."""

from __future__ import annotations

import base64
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from c3dvis import clips


def noise(*shape: int) -> np.ndarray:
    """What compresses worst."""
    return np.random.default_rng(0).random(shape, np.float32)


def pictures(html: str) -> list[Image.Image]:
    encoded = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in encoded]


@pytest.mark.parametrize(
    "shape", [(8, 16, 16, 3), (3, 8, 16, 16, 3), (2, 100, 90, 120, 1), (32, 12, 40, 40, 3)]
)
def test_each_clip_is_a_moving_picture_and_the_cell_stays_small(shape):
    shown = clips.show(noise(*shape))._repr_html_()
    assert len(shown) <= 300_000
    images = pictures(shown)
    assert len(images) == (shape[0] if len(shape) == 5 else 1)
    for picture in images:
        assert picture.n_frames == min(shape[-4], 64)


def test_a_small_clip_is_enlarged_without_blur():
    clip = np.zeros((2, 4, 4, 3), np.float32)
    clip[1, :2] = 1
    (picture,) = pictures(clips.show(clip).html)
    picture.seek(1)
    seen = np.asarray(picture.convert("RGB"), np.float32) / 255
    assert seen.shape == (128, 128, 3)
    assert seen[:60].min() > 0.95 and seen[68:].max() < 0.05


def test_speed_and_captions_are_those_asked_for():
    shown = clips.show(noise(2, 4, 16, 16, 3), captions=["a < b", "c"], fps=2)
    assert "<figcaption>a &lt; b</figcaption>" in shown.html and 'alt="c"' in shown.html
    for picture in pictures(shown.html):
        picture.load()
        assert picture.info["duration"] == 500


def test_several_clips_are_numbered_and_one_is_not():
    one, two = (clips.show(noise(*n, 4, 16, 16, 3)).html for n in ((), (2,)))
    assert re.findall("<figcaption>(.*?)</figcaption>", one) == [""]
    assert re.findall("<figcaption>(.*?)</figcaption>", two) == ["0", "1"]


def test_clips_of_different_sizes_stand_side_by_side():
    shown = clips.show([noise(4, 16, 16, 3), noise(6, 32, 40, 1)])
    assert [picture.n_frames for picture in pictures(shown.html)] == [4, 6]


def test_a_clip_that_stands_still_is_shown_without_a_warning():
    (picture,) = pictures(clips.show(np.ones((4, 16, 16, 3), np.float32)).html)
    assert picture.n_frames == 1


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_are_shown_in_colours(channels):
    assert pictures(clips.show(noise(4, 16, 16, channels)).html)[0].n_frames == 4


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((65, 2, 8, 8, 3), {}, "1 to 64 clips. Received: 65"),
        ((0, 2, 8, 8, 3), {}, "Received: 0"),
        ((2, 2, 8, 8, 3), {"captions": ["a"]}, "2 captions"),
        ((2, 2, 8, 8, 3), {"captions": "ab"}, "2 captions"),
        ((2, 2, 8, 8, 3), {"captions": 2}, "2 captions"),
        ((2, 8, 8, 3), {"fps": 0}, "fps"),
        ((2, 8, 8, 3), {"fps": "8"}, "fps"),
        ((2, 8, 8, 3), {"fps": True}, "fps"),
        ((8, 8, 3), {}, "frames, height, width, channels"),
        ((2, 8, 8, 5), {}, "1 to 4 channels"),
    ],
)
def test_what_cannot_be_shown_is_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        clips.show(noise(*shape), **options)


def test_captions_can_be_numbers():
    shown = clips.show([noise(2, 8, 8, 3)] * 2, captions=range(2))
    assert re.findall("<figcaption>(.*?)</figcaption>", shown.html) == ["0", "1"]


@pytest.mark.parametrize("wrong", [None, 3, "film.mp4", {"a": 1}, {1}])
def test_what_is_no_clip_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected a clip"):
        clips.show(wrong)


def test_the_slider_turns_to_its_frame():
    clip = noise(4, 16, 16, 3)
    slider, picture = clips.scrub(clip).children
    assert (slider.min, slider.max, slider.value) == (0, 3, 0)
    slider.value = 2
    seen = np.asarray(Image.open(io.BytesIO(picture.value)))
    np.testing.assert_array_equal(seen[::8, ::8], clips.to_uint8(clip[2]))


def test_without_ipywidgets_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"c3dvis\[notebook\]"):
        clips.scrub(noise(4, 16, 16, 3))
