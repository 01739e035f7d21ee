"""Clips are read, checked, resized, sampled and written as promised; bad files are refused."""

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from c3dvis import clips
from c3dvis.clips import reading, sources, video
from c3dvis.clips.containers import cut_off
from c3dvis.clips.geometry import choose

VIDEOS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4"}
ANIMATIONS = ("gif", "webp", "png")


def steps(frames, height=16, width=24):
    """A clip whose frames are told apart by their brightness, coarse enough for any codec."""
    clip = np.linspace(0.1, 0.9, frames, dtype=np.float32)[:, None, None, None]
    return np.tile(clip, (1, height, width, 3))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def encode(path, clip, *, rate=8, ticks=None, sound=None, **options):
    """Make a video with PyAV; `ticks` are the frames' times in units of 1 / rate."""
    codec = VIDEOS.get(path.suffix[1:], "libx264")
    with av.open(str(path), "w", options=options.pop("muxer", {})) as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], "yuv420p"
        stream.options = {key: str(value) for key, value in options.items()}
        audio = container.add_stream(sound, rate=44100) if sound else None
        for index, pixels in enumerate(clips.to_uint8(clip)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index if ticks is None else ticks[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            add_sound(container, audio, seconds=1 + len(clip) / float(rate))
    return path


def add_sound(container, stream, *, seconds):
    for index in range(int(seconds * 44100) // 1152):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16p", "mono")
        frame.sample_rate, frame.pts = 44100, index * 1152
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def cut(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def timing(path):
    """Frames and total milliseconds of an animation."""
    with Image.open(path) as image:
        total = 0
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            total += image.info.get("duration", 0)
        return image.n_frames, total


# -- values ------------------------------------------------------------------------------------


def test_check_returns_float32_and_keeps_the_values():
    clip = noise(2, 3, 4, 3).astype(np.float64)
    checked = clips.check(clip, shape=(2, None, 4, 3))
    assert checked.dtype == np.float32
    np.testing.assert_allclose(checked, clip, atol=1e-7)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((4, 4, 3)), r"\(frames, height, width, channels\).*\(4, 4, 3\)"),
        (np.zeros((1, 2, 4, 4, 3)), "one clip of the batch"),
        (np.zeros((2, 0, 4, 3)), "no empty axis"),
        (np.zeros((2, 4, 4, 3), np.uint8), "uint8 values from 0 to 0; divide by 255"),
        (np.full((2, 4, 4, 3), 200.0), "values from 200 to 200; divide by 255"),
        (np.full((2, 4, 4, 3), 2.5), r"values from 2\.5 to 2\.5\.$"),
        (np.full((2, 4, 4, 3), -0.5), r"values from -0.5 to -0.5; \(clip \+ 1\) / 2 maps"),
        (np.full((2, 4, 4, 3), 1.01), "values from 1.01 to 1.01"),
        (np.array([0.5, np.nan, np.inf, np.nan]).reshape(1, 2, 2, 1), "2 NaN and 1 Inf among 4"),
        (np.full((1, 1, 1, 1), 1e300), "0 NaN and 1 Inf"),
        ([["a"]], r"Received: \[\['a'\]\]"),
    ],
)
def test_check_refuses(clip, message):
    with pytest.raises(ValueError, match=message):
        clips.check(clip)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, None, None, 3), r"Expected a clip of 16 frames\. Received: 8 frames"),
        ((8, 5, 4, 3), r"height 5\. Received: height 4"),
        ((8, 4, 5, 3), r"width 5\. Received: width 4"),
        ((8, 4, 4, 2), r"2 channels\. Received: 3 channels"),
        ((9, 4, 4, 1), r"9 frames, 1 channel\. Received: 8 frames, 3 channels"),
        ((8, 4, 3), "None where any length will do"),
    ],
)
def test_check_names_the_axis(shape, message):
    with pytest.raises(ValueError, match=message):
        clips.check(np.zeros((8, 4, 4, 3)), shape=shape)


def test_check_takes_rounding_errors_for_what_they_are():
    clip = np.array([-1e-6, 1 + 1e-6]).reshape(2, 1, 1, 1)
    assert clips.check(clip).ravel().tolist() == [0, 1]
    assert clip.ravel().tolist() == [-1e-6, 1 + 1e-6]


def test_to_uint8_never_wraps():
    values = np.linspace(-3, 3, 6001)
    whole = clips.to_uint8(values)
    assert (np.diff(whole.astype(int)) >= 0).all()
    assert np.abs(whole / 255 - np.clip(values, 0, 1)).max() <= 0.5 / 255 + 1e-12
    assert clips.to_uint8([np.inf, -np.inf]).tolist() == [255, 0]


def test_to_uint8_undoes_division_by_255():
    levels = np.arange(256)
    assert clips.to_uint8((levels / 255).astype(np.float32)).tolist() == levels.tolist()


@pytest.mark.parametrize("wrong", [np.array([3]), np.array([np.nan])])
def test_to_uint8_refuses(wrong):
    with pytest.raises(ValueError, match="Expected"):
        clips.to_uint8(wrong)


def test_flow_is_drawn_with_the_color_wheel():
    directions = {(1, 0.5): (1, 0, 0), (0, 0.5): (0, 1, 1), (0.5, 0.5): (1, 1, 1)}
    directions[(0.75, 0.5)] = (1, 0.5, 0.5)  # half as fast, half as saturated
    directions[(0.5, 1)] = (0.5, 1, 0)  # down: a quarter of the way round
    flow = np.array(list(directions), np.float32).reshape(1, 1, -1, 2)
    np.testing.assert_allclose(
        clips.to_rgb(flow)[0, 0], np.array(list(directions.values())), atol=1e-6
    )


def test_transparency_is_laid_over_the_background():
    clip = np.array([1, 0, 0, 0.25], np.float32).reshape(1, 1, 1, 4)
    assert clips.to_rgb(clip).ravel().tolist() == [1, 0.75, 0.75]
    assert clips.to_rgb(clip, background=0).ravel().tolist() == [0.25, 0, 0]


def test_to_rgb_refuses_five_channels():
    with pytest.raises(ValueError, match="1 to 4 channels"):
        clips.to_rgb(np.zeros((1, 1, 1, 5)))


# -- geometry ----------------------------------------------------------------------------------


def test_resize_to_the_same_size_is_the_identity():
    clip = noise(2, 5, 7, 2)
    resized = clips.resize(clip, (5, 7))
    np.testing.assert_array_equal(resized, clip)
    assert not np.shares_memory(resized, clip)


def test_resize_by_a_whole_factor_keeps_the_mean():
    clip = noise(1, 12, 12, 1)
    # Antialiasing weighs each pixel alike, but for those that a border cuts off.
    np.testing.assert_allclose(clips.resize(clip, (4, 4)).mean(), clip.mean(), atol=0.03)
    alternating = np.indices((12, 12)).sum(0)[None, ..., None] % 2 * np.float32(1)
    inner = clips.resize(alternating, (4, 4))[0, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, 0.5, atol=0.06)


@pytest.mark.parametrize("shape", [(10, 30), (30, 10)])
def test_resize_cuts_the_centre_and_stretches_nothing(shape):
    clip = np.zeros((1, *shape, 1), np.float32)
    third = (slice(None), slice(10, 20)) if shape[1] == 30 else (slice(10, 20), slice(None))
    clip[(0, *third)] = 1
    resized = clips.resize(clip, (20, 20))[0, ..., 0]
    np.testing.assert_allclose(resized[2:-2, 2:-2], 1)
    assert clips.resize(clip, shape[::-1]).shape[1:3] == shape[::-1]
    np.testing.assert_array_equal(clips.resize(clip, 20), clips.resize(clip, (20, 20)))


@pytest.mark.parametrize("size", [0, True, 5.5, (0, 5), (5,), (5, 5.5), "ab", (3, 4, 5)])
def test_resize_refuses_a_bad_size(size):
    with pytest.raises(ValueError, match=r"size=\(height, width\)"):
        clips.resize(noise(1, 4, 4, 3), size)


@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_sampling_all_frames_is_the_identity(count):
    assert choose(count, count) == list(range(count))


def test_sampling_takes_the_middle_of_each_part():
    assert choose(9, 3) == [1, 4, 7]
    assert choose(9, 1) == [4]
    assert choose(10, 3, start=1) == [2, 5, 8]
    for count in range(1, 40):
        for frames in range(1, count + 1):
            taken = choose(count, frames)
            assert len(set(taken)) == frames
            # As much is left out before the first as after the last, up to rounding.
            assert abs(taken[0] - (count - 1 - taken[-1])) <= 1


def test_steps_and_short_clips():
    assert choose(10, None, start=2, step=3) == [2, 5, 8]
    assert choose(10, 3, start=1, step=2) == [1, 3, 5]
    assert choose(5, 8, short="loop") == [0, 1, 2, 3, 4, 0, 1, 2]
    assert choose(5, 8, short="hold") == [0, 1, 2, 3, 4, 4, 4, 4]
    assert choose(5, 4, start=1, step=2, short="loop") == [1, 3, 1, 3]
    assert clips.sample(steps(2), 5, short="hold").shape[0] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 6}, "at least 6 frames.*Received: 5 frames"),
        ({"frames": 3, "step": 2, "start": 1}, r"Received: 2 frames \(start=1, step=2\)"),
        ({"frames": 0}, "frames to be an integer of at least 1"),
        ({"frames": 2.0}, "frames to be an integer"),
        ({"frames": True}, "frames to be an integer"),
        ({"frames": 2, "step": 0}, "step to be an integer of at least 1"),
        ({"frames": 2, "start": -1}, "start to be an integer of at least 0"),
        ({"frames": 2, "start": 5}, "start below 5, the number of frames"),
        ({"frames": 2, "short": "lop"}, "such as 'loop'. Received: 'lop'"),
    ],
)
def test_sampling_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose(5, **arguments)


def test_sheet_puts_clips_in_rows_and_frames_in_columns():
    page = clips.sheet([steps(4, 5, 6), 1 - steps(4, 5, 6)], pad=1)
    assert page.shape == (2 * 6 + 1, 4 * 7 + 1, 3)
    np.testing.assert_allclose(page[1:6, 8:14], steps(4, 5, 6)[1])
    np.testing.assert_allclose(page[7:12, 22:28], 1 - steps(4, 5, 6)[3])
    assert (page[0] == 1).all() and (page[:, 0] == 1).all() and (page[6] == 1).all()


def test_sheet_continues_a_long_clip_on_the_next_row():
    page = clips.sheet(steps(5, 4, 4), columns=2, pad=0)
    assert page.shape == (12, 8, 3)
    np.testing.assert_allclose(page[8:, :4], steps(5, 4, 4)[4])
    assert (page[8:, 4:] == 1).all()
    assert clips.sheet(steps(9, 4, 4), frames=3, pad=0).shape == (4, 12, 3)


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([], {}, "at least one clip"),
        ([steps(2, 4, 4), steps(2, 4, 6)], {}, r"one height and width.*\(4, 4\), \(4, 6\)"),
        ([steps(2)], {"columns": 0}, "columns to be a whole number from 1"),
        ([steps(2)], {"columns": "2"}, "columns to be a whole number from 1. Received: '2'"),
        ([steps(2)], {"frames": 1.5}, "frames to be a whole number from 1. Received: 1.5"),
        ([steps(2)], {"pad": -1}, "pad to be a whole number from 0"),
        ([steps(2)], {"pad": float("nan")}, "pad to be a whole number from 0"),
        (3, {}, "Expected a clip with axes"),
    ],
)
def test_sheet_refuses(rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        clips.sheet(rows, **arguments)


# -- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ANIMATIONS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("fps", [3, 8, 29.97])
def test_an_animation_reads_back_with_its_frames_size_and_time(tmp_path, suffix, channels, fps):
    clip = clips.resize(noise(7, 3, 4, channels), (9, 13))
    if channels == 4:
        clip[..., 3] = clip[..., 3] > 0.5  # GIF knows no half-transparent pixel
    path = tmp_path / f"clip.{suffix}"
    clips.write(path, clip, fps=fps)
    back = clips.read(path)
    shown = clips.to_rgb(clip, background=0)
    assert back.shape == shown.shape
    error = np.abs(back - shown).mean()
    assert error < {"gif": 0.005, "webp": 0.06, "png": 0.002}[suffix]  # WebP halves colours' size
    frames, total = timing(path)
    assert frames == 7
    assert abs(total - 7000 / fps) <= {"gif": 5, "webp": 0.5, "png": 0.1}[suffix]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_keeps_frames_that_rest(tmp_path, channels):
    order = [0, 0, 0, 1, 2, 2, 1, 1, 1, 0]
    clip = np.random.default_rng(0).random((3, 16, 16, channels))[order]
    clips.write(tmp_path / "rests.gif", clip)
    again = clips.read(tmp_path / "rests.gif")
    assert len(again) == len(clip) and np.abs(again - clip).max() < 0.1
    for i, number in enumerate(order):
        np.testing.assert_array_equal(again[i], again[order.index(number)])


def test_gif_delays_do_not_drift(tmp_path):
    clips.write(tmp_path / "clip.gif", noise(24, 4, 4, 3), fps=24)  # 41.7 ms; 40 in each would be
    assert timing(tmp_path / "clip.gif") == (24, 1000)  # 40 ms short in a second


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_a_clip_that_stands_still_keeps_its_time(tmp_path, suffix):
    path = tmp_path / f"still.{suffix}"
    clips.write(path, np.full((16, 4, 4, 3), 0.25), fps=8)
    assert timing(path) == (16, 2000)


@pytest.mark.parametrize("suffix", ANIMATIONS)
def test_a_pause_keeps_its_time(tmp_path, suffix):
    clip = noise(3, 4, 4, 3)[[0, 1, 1, 1, 2, 2]]
    clips.write(tmp_path / f"clip.{suffix}", clip, fps=8)
    assert abs(timing(tmp_path / f"clip.{suffix}")[1] - 750) <= 5


def test_webp_says_that_it_drops_the_time_of_a_still_clip(tmp_path):
    with pytest.warns(UserWarning, match="no timing"):
        clips.write(tmp_path / "still.webp", np.full((4, 4, 4, 3), 0.25))


def test_gif_is_exact_for_few_colors_and_for_grey(tmp_path):
    levels = np.array([0, 80, 200, 255], np.float32) / 255
    flat = levels[np.random.default_rng(0).integers(0, 4, (5, 16, 16, 3))]
    grey = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / 255
    for clip in (flat, grey):
        clips.write(tmp_path / "clip.gif", clip)
        np.testing.assert_allclose(clips.read(tmp_path / "clip.gif"), clips.to_rgb(clip), atol=1e-6)


def test_gif_palette_beats_pillows_default_on_colorful_noise(tmp_path):
    clip = np.clip(noise(2, 48, 48, 3) + 0.3 * steps(2, 48, 48) - 0.1, 0, 1)
    clips.write(tmp_path / "ours.gif", clip)
    images = [Image.fromarray(frame) for frame in clips.to_uint8(clip)]
    images[0].save(tmp_path / "pillow.gif", save_all=True, append_images=images[1:])
    ours, pillows = (
        np.square(clips.read(tmp_path / name) - clip).mean() for name in ("ours.gif", "pillow.gif")
    )
    assert ours < pillows / 1.5


def test_transparent_gif_shows_nothing_of_the_frame_before(tmp_path):
    clip = np.ones((2, 8, 8, 4), np.float32)
    clip[0, :, 4:, 3] = 0
    clip[1, :, :4, 3] = 0
    clips.write(tmp_path / "clip.gif", clip)
    with Image.open(tmp_path / "clip.gif") as image:
        for index in range(2):
            image.seek(index)
            alpha = np.asarray(image.convert("RGBA"))[..., 3] / 255
            np.testing.assert_array_equal(alpha, clip[index, ..., 3])


@pytest.mark.parametrize("fps", [8, 29.97, Fraction(24000, 1001)])
def test_mp4_reads_back_with_its_frames_and_time(tmp_path, fps):
    clip = steps(12, 32, 48)
    clips.write(tmp_path / "clip.mp4", clip, fps=fps)
    np.testing.assert_allclose(clips.read(tmp_path / "clip.mp4"), clip, atol=0.03)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(12 / fps, abs=1e-4)
        assert float(container.streams.video[0].average_rate) == pytest.approx(float(fps))
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_mp4_pads_odd_sides_by_their_edge(tmp_path):
    clip = steps(3, 15, 23)
    clips.write(tmp_path / "clip.mp4", clip)
    back = clips.read(tmp_path / "clip.mp4")
    assert back.shape == (3, 16, 24, 3)
    np.testing.assert_allclose(back, steps(3, 16, 24), atol=0.03)


@pytest.mark.parametrize("color", [(0.9, 0.1, 0.1), (0.1, 0.8, 0.2), (0.1, 0.2, 0.9)])
def test_mp4_keeps_colors(tmp_path, color):
    clips.write(tmp_path / "clip.mp4", np.tile(np.float32(color), (4, 32, 32, 1)))
    np.testing.assert_allclose(clips.read(tmp_path / "clip.mp4")[2, 16, 16], color, atol=0.03)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
def test_film_strip_holds_the_frames_side_by_side(tmp_path, suffix):
    clip = noise(5, 16, 16, 3)
    clips.write(tmp_path / f"strip.{suffix}", clip)
    with Image.open(tmp_path / f"strip.{suffix}") as image:
        assert image.size == (80, 16)
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # colour at full resolution
        strip = np.asarray(image) / 255
    np.testing.assert_allclose(strip[:, 32:48].mean(), clip[2].mean(), atol=0.01)
    assert np.abs(strip[:, 32:48] - clip[2]).mean() < 0.06


@pytest.mark.parametrize("suffix", ["webp", "mp4", "jpg"])
def test_quality_buys_size(tmp_path, suffix):
    sizes = []
    for quality in (10, 95):
        clips.write(tmp_path / f"clip.{suffix}", noise(4, 32, 32, 3), quality=quality)
        sizes.append((tmp_path / f"clip.{suffix}").stat().st_size)
    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("clip.gfi", {}, r"known ending, such as '\.gif'.*Received: '\.gfi'"),
        ("clip", {}, r"known ending, such as '\.gif', '\.webp', '\.png'"),
        ("clip.gif", {"fps": 60}, "fps up to 50"),
        ("clip.gif", {"fps": 0.001}, "at most 655.35 s"),
        ("clip.mp4", {"fps": 0}, "Expected fps"),
        ("clip.mp4", {"fps": float("nan")}, "Expected fps"),
        ("clip.mp4", {"fps": "fast"}, "Expected fps"),
        ("clip.mp4", {"fps": True}, "Expected fps"),
        ("clip.jpg", {"quality": 55.5}, "quality from 1 to 100, a whole number"),
        ("clip.jpg", {"quality": True}, "quality from 1 to 100"),
        ("clip.webp", {"quality": 0}, "quality from 1 to 100"),
        ("clip.webp", {"quality": "high"}, "quality from 1 to 100"),
        ("clip.png", {"quality": 50}, r"no quality for \.png"),
        ("clip.gif", {"quality": 50}, r"no quality for \.gif"),
        ("nowhere/clip.gif", {}, "a folder that exists"),
    ],
)
def test_write_refuses(tmp_path, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        clips.write(tmp_path / name, noise(2, 4, 4, 3), **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["mp4", "jpg"])
def test_write_refuses_transparency_where_there_is_none(tmp_path, suffix):
    with pytest.raises(ValueError, match="no transparency"):
        clips.write(tmp_path / f"clip.{suffix}", noise(2, 4, 4, 4))


def test_write_refuses_a_strip_wider_than_jpeg(tmp_path):
    with pytest.raises(ValueError, match="at most 65500 pixels"):
        clips.write(tmp_path / "strip.jpg", np.zeros((2, 1, 40_000, 1)))


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.png", "clip.mp4", "clip.jpg"])
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(b"old")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match=name):
        clips.write(path, noise(2, 4, 4, 3))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


FULL_DISK = """
import resource, sys
import numpy as np
from c3dvis import clips
clip = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for suffix in ("gif", "webp", "png", "mp4", "jpg"):
    try:
        clips.write(f"{sys.argv[1]}/clip.{suffix}", clip)
    except OSError as error:
        print(error, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path):
    run = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    refusals = done.stdout.splitlines()
    assert len(refusals) == 5 and all("File too large" in line for line in refusals)
    assert list(tmp_path.iterdir()) == []


# -- reading healthy files ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("rate", [8, 25, Fraction(30000, 1001), 60])
@pytest.mark.parametrize("frames", [1, 2, 3, 16, 33])
def test_a_healthy_video_reads_whole_and_without_a_warning(tmp_path, suffix, rate, frames):
    path = encode(tmp_path / f"clip.{suffix}", steps(frames, 16, 16), rate=rate)
    np.testing.assert_allclose(clips.read(path), steps(frames, 16, 16), atol=0.05)


@pytest.mark.parametrize(
    ("suffix", "sound"),
    [("mp4", "libmp3lame"), ("mov", "pcm_s16le"), ("mkv", "libmp3lame"), ("avi", "pcm_s16le")],
)
def test_sound_that_outlasts_the_picture_is_no_fault(tmp_path, suffix, sound):
    path = encode(tmp_path / f"clip.{suffix}", steps(9), sound=sound)
    assert len(clips.read(path)) == 9


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("hidden", [5, 12, 21])
def test_an_edit_list_hides_frames(tmp_path, suffix, hidden):
    ticks = range(-hidden, 24 - hidden)
    path = encode(tmp_path / f"clip.{suffix}", steps(24), ticks=ticks, g=6, sc_threshold=0)
    np.testing.assert_allclose(clips.read(path), steps(24)[hidden:], atol=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_late_start_is_no_fault(tmp_path, suffix):
    path = encode(tmp_path / f"clip.{suffix}", steps(10), ticks=range(30, 40))
    assert len(clips.read(path)) == 10


def test_reordered_frames_in_an_avi_are_no_fault(tmp_path):
    whole = encode(tmp_path / "whole.ts", noise(40, 16, 16, 3), rate=24)
    path = tmp_path / "clip.avi"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[:-1]:
            packet.stream = stream
            target.mux(packet)
    assert len(clips.read(path)) == 40


def test_a_fragmented_mp4_reads_whole(tmp_path):
    muxer = {"movflags": "frag_keyframe+empty_moov"}
    path = encode(tmp_path / "clip.mp4", steps(20), g=5, muxer=muxer)
    assert len(clips.read(path)) == 20


@pytest.mark.parametrize("suffix", [*VIDEOS, *ANIMATIONS, "folder"])
def test_reading_some_frames_equals_picking_them_from_all(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    if suffix in VIDEOS:
        encode(path, noise(21, 16, 24, 3))
    elif suffix in ANIMATIONS:
        clips.write(path, noise(21, 16, 24, 3))
    else:
        save_frames(path, [f"{number}.png" for number in range(21)])
    everything = clips.read(path)
    np.testing.assert_array_equal(clips.read(path, frames=5), clips.sample(everything, 5))
    np.testing.assert_array_equal(clips.read(path, frames=4, start=3, step=5), everything[3:23:5])
    np.testing.assert_array_equal(clips.read(path, start=18), everything[18:])
    np.testing.assert_array_equal(
        clips.read(path, frames=50, short="loop"), everything[np.arange(50) % 21]
    )
    np.testing.assert_array_equal(
        clips.read(path, frames=3, size=(8, 8)), clips.resize(clips.sample(everything, 3), (8, 8))
    )


def save_frames(folder, names, size=(24, 16)):
    folder.mkdir()
    for index, name in enumerate(names):
        Image.new("RGB", size, (index, 2 * index, 0)).save(folder / name)
    return folder


def test_the_kind_of_file_is_told_by_its_content(tmp_path):
    clips.write(tmp_path / "clip.gif", noise(3, 4, 4, 3))
    (tmp_path / "clip.gif").rename(tmp_path / "clip.mp4")
    assert len(clips.read(tmp_path / "clip.mp4")) == 3


def test_transparent_pixels_are_read_over_black(tmp_path):
    clips.write(tmp_path / "clip.png", np.array([1, 1, 1, 0.5]).reshape(1, 1, 1, 4))
    np.testing.assert_allclose(clips.read(tmp_path / "clip.png"), 0.5, atol=0.01)


@pytest.mark.parametrize("name", ["film: 1.mkv", "50%03d.mp4", "http:x.avi", "é ü.webm"])
def test_odd_names_are_only_names(tmp_path, monkeypatch, name):
    encode(tmp_path / "clip.mkv", steps(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(clips.read(name)) == 3


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_rotation_flag_is_honoured(tmp_path, turn):
    clip = np.zeros((2, 16, 32, 3), np.float32)
    clip[:, :8, :16] = 1  # top left
    path = encode(tmp_path / "clip.mp4", clip)
    set_rotation(path, turn)
    # A turn to the right, as players show it.
    np.testing.assert_allclose(clips.read(path), np.rot90(clip, -turn // 90, (1, 2)), atol=0.1)


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda clip: clip[:, :, ::-1]),  # left and right, as front cameras do
        ((1, 0, 0, -1), lambda clip: clip[:, ::-1]),  # top and bottom
        ((0, 1, 1, 0), lambda clip: clip.swapaxes(1, 2)),
        ((0, -1, -1, 0), lambda clip: clip[:, ::-1, ::-1].swapaxes(1, 2)),
    ],
)
def test_a_mirrored_video_is_mirrored(tmp_path, matrix, shown):
    clip = np.zeros((2, 16, 32, 3), np.float32)
    clip[:, :8, :16] = 1  # top left
    path = encode(tmp_path / "clip.mp4", clip)
    set_matrix(path, *matrix)
    np.testing.assert_allclose(clips.read(path), shown(clip), atol=0.1)


def test_what_is_transparent_in_a_video_is_black(tmp_path):
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0] = 255  # red,
    pixels[:, 8:, 3] = 255  # of which the left half is not seen
    path = tmp_path / "clip.mov"
    with av.open(path, "w") as container:
        stream = container.add_stream("qtrle", rate=8)
        stream.height = stream.width = 16
        stream.pix_fmt = "argb"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="argb")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (frame,) = clips.read(path)
    np.testing.assert_array_equal(frame[8, [2, 12]], [[0, 0, 0], [1, 0, 0]])


def set_rotation(path, turn):
    """Write a turn to the right into the matrix of an mp4's track header."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    set_matrix(path, cos, sin, -sin, cos)


def set_matrix(path, a, b, c, d):
    """Write where `(x, y)` is shown, `(a x + c y, b x + d y)`, into an mp4's track header."""
    one = 1 << 16
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    values = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *values)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "Frames 0, 1, ..., 39 of 40, counted from 0."),
        ({"frames": 4}, "Frames 5, 15, 25, 35 of 40, counted from 0."),
        (
            {"frames": 6, "start": 9, "step": 2, "size": (12, 12)},
            "Frames 9, 11, ..., 19 of 40, counted from 0; of each the middle 24 x 24 of 24 x 32 "
            "pixels.",
        ),
        ({"frames": 2, "size": (12, 16)}, "Frames 10, 30 of 40, counted from 0."),
    ],
)
def test_an_excerpt_says_what_of_the_file_it_is(tmp_path, asked, told):
    clips.write(tmp_path / "clip.webp", noise(40, 24, 32, 3))
    read = reading.excerpt(tmp_path / "clip.webp", **asked)
    assert str(read) == told
    np.testing.assert_array_equal(read.clip, clips.read(tmp_path / "clip.webp", **asked))


def test_an_excerpt_gives_the_frames_it_was_cut_out_of(tmp_path):
    film = noise(10, 24, 32, 3)
    clips.write(tmp_path / "clip.png", film)
    read = reading.excerpt(tmp_path / "clip.png", frames=4, size=(12, 12), short="loop")
    whole = read.whole_frames()
    assert whole.shape == (4, 24, 32, 3) and read.is_cropped
    np.testing.assert_allclose(clips.resize(whole, (12, 12)), read.clip, atol=1e-6)
    rows, columns = read.crop.pixels
    assert whole[:, rows, columns].shape == (4, 24, 24, 3)
    assert read.whole_frames(side=16).shape == (4, 12, 16, 3)
    looped = reading.excerpt(tmp_path / "clip.png", frames=3, start=8, short="loop")
    np.testing.assert_array_equal(looped.whole_frames(), looped.clip)
    assert looped.frames == (8, 9, 8) and not looped.is_cropped


def test_windows_of_a_film_are_read_at_once(tmp_path):
    film = noise(12, 8, 8, 3)
    clips.write(tmp_path / "clip.png", film)
    read = reading.excerpts(tmp_path / "clip.png", 3, frames=2, size=(4, 4))
    assert [one.frames for one in read] == [(1, 3), (5, 7), (9, 11)]
    for one in read:
        again = clips.resize(one.whole_frames(), (4, 4))
        np.testing.assert_allclose(one.clip, again, atol=1e-6)
    assert read[1].span == (5, 7)
    assert read[1].seconds == pytest.approx((5 / 8, 7 / 8), rel=0.05)  # 8 frames per second
    assert str(read[1]) == "Frames 5, 7 of 12, counted from 0 (0.6 to 0.9 s)."
    with pytest.raises(ValueError, match="Expected at least 26 frames"):
        reading.excerpts(tmp_path / "clip.png", 13, frames=2)


# -- reading bad files -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.85, 0.95, 0.99])
# Where nothing is lost, it is told that the file is cut off: true, and not what is asked here.
@pytest.mark.filterwarnings("ignore:.*is cut off, but all 16 frames:UserWarning")
def test_a_truncated_video_never_loses_frames_silently(tmp_path, suffix, part):
    path = cut(encode(tmp_path / f"clip.{suffix}", noise(16, 32, 32, 3)), part)
    assert cut_off(path)
    try:
        clip = clips.read(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert len(clip) == 16


@pytest.mark.parametrize("suffix", ["webm", "mkv", "avi"])
def test_a_truncated_video_is_refused_with_both_counts(tmp_path, suffix):
    path = cut(encode(tmp_path / f"clip.{suffix}", noise(16, 32, 32, 3), g=1), 0.7)
    with pytest.raises(ValueError, match=r"decoded (\d|1[0-5]) frames, expected 16"):
        clips.read(path)


@pytest.mark.parametrize("muxer", [{"movflags": "+faststart"}, {"movflags": "frag_keyframe"}])
def test_a_truncated_mp4_with_its_index_in_front_is_refused(tmp_path, muxer):
    path = cut(encode(tmp_path / "clip.mp4", noise(16, 32, 32, 3), muxer=muxer, g=4), 0.7)
    with pytest.raises(ValueError, match=r"decoded \d+ frames, expected"):
        clips.read(path)


@pytest.mark.parametrize(
    ("stated", "frames"), [(b"00:00:03.000000000", 24), (b"01:02:02.500000000", 29780)]
)
def test_a_header_that_promises_more_is_noticed_without_a_cut(tmp_path, stated, frames):
    path = encode(tmp_path / "clip.webm", steps(16))
    content = path.read_bytes()
    assert content.count(b"00:00:02.000000000") == 1
    path.write_bytes(content.replace(b"00:00:02.000000000", stated))
    with pytest.raises(ValueError, match=f"decoded 16 frames, expected {frames}"):
        clips.read(path)


def test_a_header_that_promises_one_frame_more_gives_a_warning(tmp_path):
    path = encode(tmp_path / "clip.webm", steps(16))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"00:00:02.000000000", b"00:00:02.125000000"))
    with pytest.warns(UserWarning, match="holds 16 frames; its header promises 17"):
        assert len(clips.read(path)) == 16


def test_a_cut_behind_the_last_frame_is_only_a_warning(tmp_path):
    path = encode(tmp_path / "clip.mkv", steps(16))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.warns(UserWarning, match="cut off, but all 16 frames"):
        assert len(clips.read(path)) == 16


def test_frames_that_lean_on_lost_ones_are_left_out_with_a_warning(tmp_path):
    whole = encode(tmp_path / "whole.mkv", steps(24), g=8, bf=0, sc_threshold=0)
    path = tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[1:-1]:  # the first key frame is lost
            packet.stream = stream
            target.mux(packet)
    with pytest.warns(UserWarning, match="holds 23 frames, of which 16 can be decoded"):
        clip = clips.read(path, frames=4)
    np.testing.assert_allclose(clip, clips.sample(steps(24)[8:], 4), atol=0.05)


@pytest.mark.parametrize("suffix", ANIMATIONS)
@pytest.mark.parametrize("part", [0.5, 0.8, 0.97])
def test_a_truncated_animation_is_refused(tmp_path, suffix, part):
    clips.write(tmp_path / f"clip.{suffix}", noise(8, 16, 16, 3))
    with pytest.raises(ValueError, match=f"clip.{suffix}"):
        clips.read(cut(tmp_path / f"clip.{suffix}", part))


def test_a_gif_cut_between_two_frames_gives_a_warning(tmp_path):
    clips.write(tmp_path / "clip.gif", noise(3, 4, 4, 3))
    content = (tmp_path / "clip.gif").read_bytes()
    (tmp_path / "clip.gif").write_bytes(content[: content.rindex(b"\x21\xf9\x04")])
    with pytest.warns(UserWarning, match="no end mark"):
        assert len(clips.read(tmp_path / "clip.gif")) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"This is not a video.\n" * 40, "damaged, or no video at all"),
        ("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>", "no video at all"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", "no video at all"),
        ("cut.npy", b"\x93NUMPY\x01\x00v\x00{'descr'", "no array of numbers"),
        ("cut.npz", b"PK\x03\x04" + bytes(40), "no array of numbers"),
        ("text.gif", b"GIF89a, they said", "'.*text.gif'"),
        ("text.png", b"\x89PNG and nothing else", "'.*text.png'"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as refusal:
        clips.read(tmp_path / name)
    assert name in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_file_of_numpy_is_read_as_a_film(tmp_path, channels, ending):
    clip = noise(8, 12, 18, channels)
    path = tmp_path / f"clip.{ending}"
    (np.save if ending == "npy" else np.savez)(path, clip)
    np.testing.assert_array_equal(clips.read(path), clip)
    wanted = clips.resize(clips.sample(clip, 4), (6, 6))
    np.testing.assert_array_equal(clips.read(path, frames=4, size=6), wanted)
    np.testing.assert_array_equal(reading.excerpt(path).whole_frames(), clip)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_whole_numbers_of_a_numpy_file_are_divided_by_255(tmp_path, dtype):
    clip = clips.to_uint8(noise(4, 6, 6, 3)).astype(dtype)
    np.save(tmp_path / "clip.npy", clip)
    read = clips.read(tmp_path / "clip.npy")
    np.testing.assert_allclose(read, clip / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (255 * noise(4, 6, 6, 3), r"values in \[0, 1\]\. Received: .*divide by 255.*clip\.npy"),
        (np.full((4, 6, 6, 3), 256), r"from 0 to 255\. Received: from 256.*clip\.npy"),
        (np.full((4, 6, 6, 3), np.nan), r"finite.*clip\.npy"),
        (noise(6, 6, 3), r"float32 of shape \(6, 6, 3\); .*\(frames, height, width, channels\)"),
        (np.zeros((4, 6, 6, 3), bool), "bool of shape"),
        (np.array([[[[{}]]]]), "no array of numbers in it .*Python objects"),
    ],
)
def test_other_arrays_of_numpy_files_are_refused_in_one_line(tmp_path, array, message):
    np.save(tmp_path / "clip.npy", array)
    with pytest.raises(ValueError, match=message) as refusal:
        clips.read(tmp_path / "clip.npy")
    assert "\n" not in str(refusal.value)


def test_an_archive_of_numpy_holds_one_clip(tmp_path):
    np.savez(tmp_path / "two.npz", a=noise(4, 6, 6, 3), b=noise(4, 6, 6, 3))
    with pytest.raises(ValueError, match=r"2 entries, a, b; one array is read"):
        clips.read(tmp_path / "two.npz")


def test_colours_become_grey_and_back_and_other_channels_are_refused(tmp_path):
    for channels in (1, 2, 3):
        np.save(tmp_path / f"{channels}.npy", noise(2, 4, 4, channels))
    grey, flow, rgb = (reading.excerpt(tmp_path / f"{channels}.npy") for channels in (1, 2, 3))
    np.testing.assert_array_equal(grey.with_channels(3).clip, np.repeat(grey.clip, 3, axis=-1))
    np.testing.assert_allclose(rgb.with_channels(1).clip[..., 0], rgb.clip.mean(-1), atol=1e-6)
    assert flow.with_channels(2) is flow
    with pytest.raises(ValueError, match=r"2 channels.*flow.*np\.save.*Received: 3 channels"):
        rgb.with_channels(2)
    with pytest.raises(ValueError, match=r"3 channels.*Received: 2 channels in .*2\.npy"):
        flow.with_channels(3)


def test_a_missing_file_is_refused_with_the_nearest_names(tmp_path):
    (tmp_path / "wave.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"it does not exist \(near: 'wave\.mp4'"):
        clips.read(tmp_path / "wave.mp3")
    with pytest.raises(ValueError, match="it does not exist"):
        clips.read(tmp_path / "nowhere" / "wave.mp4")


@pytest.mark.parametrize(
    "call",
    [
        lambda clip: clips.read(clip),
        lambda clip: clips.read(["wave.mp4"]),
        lambda clip: clips.write(clip, "wave.gif"),
        lambda clip: clips.read_volume(None),
    ],
)
def test_what_is_no_path_is_refused(call):
    with pytest.raises(ValueError, match="Expected a path, such as 'wave.mp4'. Received: "):
        call(noise(2, 4, 4, 3))


def test_sound_only_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        add_sound(container, container.add_stream("libmp3lame", rate=44100), seconds=1)
    with pytest.raises(ValueError, match="no video stream"):
        clips.read(path)


def test_too_few_frames_are_refused_or_repeated(tmp_path):
    path = encode(tmp_path / "clip.mp4", steps(5))
    with pytest.raises(ValueError, match=r"at least 16 frames.*Received: 5 frames.*clip\.mp4"):
        clips.read(path, frames=16)
    everything = clips.read(path)
    loop = clips.read(path, frames=16, short="loop")
    hold = clips.read(path, frames=16, short="hold")
    np.testing.assert_array_equal(loop, everything[np.arange(16) % 5])
    np.testing.assert_array_equal(hold, everything[np.minimum(np.arange(16), 4)])


def test_a_long_video_is_streamed(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", steps(200, 64, 64), preset="ultrafast")
    converted, upright = [], video._upright
    monkeypatch.setattr(video, "_upright", lambda *given: converted.append(1) or upright(*given))
    tracemalloc.start()
    clip = clips.read(path, frames=4, size=(8, 8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.shape == (4, 8, 8, 3)
    assert len(converted) == 5  # the four and, for its size, the first
    assert peak < 30 * 64 * 64 * 3  # the video has 200 such frames


def test_a_whole_film_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", steps(20, 32, 32))
    monkeypatch.setattr(reading, "MAXIMUM_BYTES", 20 * 32 * 32 * 3 * 4 - 1)
    with pytest.raises(ValueError, match=r"at most .* GiB\. Received: 20 frames of 32x32"):
        clips.read(path)
    assert clips.read(path, frames=19).shape == (19, 32, 32, 3)
    assert clips.read(path, size=(31, 32)).shape == (20, 31, 32, 3)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["0.png", "0.tiff", "0.jpg"])
def test_a_program_that_is_named_like_a_picture_is_not_run(tmp_path, monkeypatch, name):
    """Pillow would hand PostScript to Ghostscript."""
    ran = []
    monkeypatch.setattr(subprocess, "check_call", lambda *call, **_: ran.append(call))
    monkeypatch.setattr(subprocess, "Popen", lambda *call, **_: ran.append(call))
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(ValueError, match=f"{name}.*not a picture of a kind that is read"):
        clips.read(tmp_path)
    assert not ran


def png_header(width, height):
    """A PNG that promises much and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    data = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + crc + data


def test_a_small_file_of_huge_frames_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").write_bytes(png_header(13300, 13300))
    gif = b"GIF89a" + struct.pack("<HHBBB", 9400, 9400, 0, 0, 0)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00;"
    (tmp_path / "bomb.gif").write_bytes(gif)
    tracemalloc.start()
    for path in (tmp_path / "frames", tmp_path / "bomb.gif"):
        with pytest.raises(ValueError, match="its frames are .* more than the 16,777,216"):
            clips.read(path, frames=1, size=(8, 8), short="hold")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_video_of_huge_frames_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAXIMUM_PIXELS", 16 * 16)
    encode(tmp_path / "wide.mp4", steps(2, 16, 24))
    monkeypatch.setattr(video, "_decoded", lambda path: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="its frames are 16x24 pixels, more than the 256"):
        clips.read(tmp_path / "wide.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_among_frames_is_refused(tmp_path):
    clips.write(tmp_path / "1.png", steps(1))
    os.mkfifo(tmp_path / "0.png")
    with pytest.raises(ValueError, match="'0.png' is not a file"):
        clips.read(tmp_path)


def test_frame_numbers_may_be_of_any_length(tmp_path):
    for number in ("0", "1", "2", "9" * 40):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.warns(UserWarning, match=f"lacks {int('9' * 40) - 3} frames of its series: 3, 4,"):
        assert len(clips.read(tmp_path)) == 4


def test_a_list_of_other_files_is_not_followed(tmp_path):
    encode(tmp_path / "other.mp4", steps(4))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    with pytest.raises(ValueError, match="list.mp4"):
        clips.read(tmp_path / "list.mp4")


def test_a_decompression_bomb_is_refused_in_one_line(tmp_path):
    bomb = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    bomb += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"
    (tmp_path / "bomb.gif").write_bytes(bomb)
    with pytest.raises(ValueError, match="exceeds limit of .* pixels") as refusal:
        clips.read(tmp_path / "bomb.gif", frames=1, size=(8, 8))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi"])
def test_a_variable_frame_rate_gives_a_warning(tmp_path, suffix):
    path = encode(tmp_path / f"clip.{suffix}", steps(8), ticks=[0, 1, 2, 3, 9, 10, 11, 12])
    with pytest.warns(UserWarning, match="frames last 125 to 750 ms"):
        assert len(clips.read(path)) == 8


def test_uneven_delays_of_a_gif_give_a_warning_but_a_held_end_does_not(tmp_path):
    images = [Image.new("L", (4, 4), shade) for shade in (0, 50, 100, 150)]
    for name, delays in (("held.gif", [120, 130, 120, 2000]), ("uneven.gif", [40, 900, 40, 40])):
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=delays)
    assert len(clips.read(tmp_path / "held.gif")) == 4
    with pytest.warns(UserWarning, match="frames last 40 to 900 ms"):
        clips.read(tmp_path / "uneven.gif")


# -- folders of frames -------------------------------------------------------------------------


def test_frames_of_a_folder_are_in_natural_order(tmp_path):
    names = [f"frame{number}.png" for number in range(12)]
    folder = save_frames(tmp_path / "frames", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_text("not a frame")
    assert clips.to_uint8(clips.read(folder))[:, 0, 0, 0].tolist() == list(range(12))


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_mixed_sizes_are_refused_with_the_file(tmp_path, size):
    folder = save_frames(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    Image.new("RGB", (30, 20)).save(folder / "2.png")
    with pytest.raises(ValueError, match=r"16x24 as .*1\.png.*Received: 20x30 in .*2\.png"):
        clips.read(folder, size=size)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 3, 5, 6, 9, 10], "3 frames of its series: 4, 7, 8."),
        ([0, 5, 15, 20], "1 frame .*10"),
    ],
)
def test_gaps_in_the_numbering_give_a_warning(tmp_path, numbers, missing):
    folder = save_frames(tmp_path / "frames", [f"f{number:03}.png" for number in numbers])
    with pytest.warns(UserWarning, match=f"lacks {missing}"):
        assert len(clips.read(folder)) == len(numbers)


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png"],
        ["10.png", "20.png", "30.png"],
        ["cam1_001.png", "cam1_002.png", "cam2_001.png"],
        ["1697040000000.png", "1697040000033.png", "1697040000067.png", "1697040000099.png"],
    ],
)
def test_regular_or_free_names_give_no_warning(tmp_path, names):
    assert len(clips.read(save_frames(tmp_path / "frames", names))) == len(names)


def test_two_frames_of_one_number_are_refused(tmp_path):
    folder = save_frames(tmp_path / "frames", ["f1.png", "f2.png", "f2.jpg"])
    with pytest.raises(ValueError, match=r"'f2\.jpg' and 'f2\.png' have the same number"):
        clips.read(folder)


def test_frames_and_their_flow_in_one_folder_are_refused(tmp_path):
    """As dense_flow writes them: they would be one clip, flow first."""
    for prefix in ("img", "flow_x", "flow_y"):
        for i in (1, 2, 3):
            Image.new("RGB", (16, 16)).save(tmp_path / f"{prefix}_{i:05d}.png")
    with pytest.raises(ValueError, match=r"several series of frames \('flow_x_\.\.\.', 'flow_y_"):
        clips.read(tmp_path)
    for i in (1, 2, 3):
        for prefix in ("flow_x", "flow_y"):
            (tmp_path / f"{prefix}_{i:05d}.png").unlink()
    assert len(clips.read(tmp_path)) == 3


def test_a_folder_without_frames_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no frames \(\.bmp, .*\) among its 1 entries"):
        clips.read(tmp_path)


def test_a_damaged_frame_is_refused_with_its_name(tmp_path):
    folder = save_frames(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    cut(folder / "2.png", 0.5)
    with pytest.raises(ValueError, match=r"2\.png"):
        clips.read(folder)
    assert len(clips.read(folder, frames=2, step=2)) == 2


def test_deep_and_turned_frames_are_read_as_they_look(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    deep = np.array([[0, 25700], [51400, 65535]], np.uint16)
    Image.fromarray(deep).save(folder / "1.png")
    np.testing.assert_allclose(clips.read(folder)[0, ..., 1], deep / 65535, atol=1e-6)
    turned = Image.new("RGB", (8, 4))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned to the right
    turned.save(folder / "1.jpg", exif=exif)
    (folder / "1.png").unlink()
    assert clips.read(folder).shape == (1, 8, 4, 3)


def test_a_single_picture_is_a_clip_of_one_frame(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (255, 0, 0)).save(buffer, "JPEG")
    (tmp_path / "still.jpg").write_bytes(buffer.getvalue())
    assert clips.read(tmp_path / "still.jpg").shape == (1, 4, 6, 3)


# -- the package -------------------------------------------------------------------------------


def test_clips_need_no_network_library():
    program = "import sys, c3dvis.clips; print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    run = [sys.executable, "-c", program]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.skipif("C3DVIS_DATA" not in os.environ, reason="C3DVIS_DATA names no folder of clips")
def test_real_clips_read():
    data = Path(os.environ["C3DVIS_DATA"])
    cricket = clips.read(data / "cricket_shot_79x224x224.gif", size=(56, 56))
    assert cricket.shape == (79, 56, 56, 3)
    ironing = clips.read(data / "ironing_frames", frames=16, size=(112, 112))
    assert ironing.shape == (16, 112, 112, 3)
    assert 0.1 < ironing.mean() < 0.9 and ironing.std() > 0.1


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_start_in_seconds_is_the_frame_shown_then(tmp_path, name):
    shades = np.linspace(0.1, 0.9, 12, dtype=np.float32)
    clip = np.broadcast_to(shades[:, None, None, None], (12, 16, 16, 3))
    clips.write(tmp_path / name, clip, fps=10)
    read = clips.read(tmp_path / name, frames=2, start="0.5s", step=1)
    np.testing.assert_array_equal(read, clips.read(tmp_path / name, frames=2, start=5, step=1))
    with pytest.raises(ValueError, match="start within the film.s 1.2 seconds"):
        clips.read(tmp_path / name, start="1.5s")
    with pytest.raises(ValueError, match="or a time such as \"12.5s\". Received: 'later'"):
        clips.read(tmp_path / name, start="later")
    with pytest.raises(ValueError, match='a time in seconds as text, "0.5s". Received: 0.5.'):
        clips.read(tmp_path / name, start=0.5)


def test_a_folder_has_no_seconds(tmp_path):
    for i in range(3):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match="the frame rate is unknown"):
        clips.read(tmp_path, start="1s")


@pytest.mark.parametrize("wrong", [[[1.0], [1.0, 2.0]], "film.mp4", None])
def test_what_is_no_array_is_no_clip(wrong):
    with pytest.raises(ValueError, match="Expected a clip, an array"):
        clips.check(wrong)


@pytest.mark.parametrize("wrong", ["white", 2, float("nan"), True])
def test_a_background_is_a_grey_level(wrong):
    with pytest.raises(ValueError, match="Expected background from 0 to 1. Received"):
        clips.to_rgb(noise(2, 4, 4, 4), background=wrong)
