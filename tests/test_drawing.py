"""Drawing: what colours mean, what stands beside what, and files that read back."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from c3dvis import clips, objectives
from c3dvis.attribution import Attribution, draw

SHAPE = (5, 12, 10, 3)


@pytest.fixture
def clip():
    return np.random.default_rng(0).random(SHAPE, np.float32)


def heatmap(**at):
    heat = np.zeros(SHAPE[:3], np.float32)
    for value in at.values():
        place, amount = value
        heat[place] = amount
    return heat


def attribution_of(clip, heat, **more):
    return Attribution(clip, heat, 1.5, objectives.logit("left & right"), "gradient", **more)


def difference(clip, heat, **options):
    """What the colours change of the clip as it is drawn without them."""
    bare = draw.overlay(clip, np.zeros_like(heat))
    return draw.overlay(clip, heat, **options) - bare


def test_zero_is_transparent_and_the_clip_is_grey(clip):
    bare = draw.overlay(clip, np.zeros(SHAPE[:3], np.float32))
    assert bare.shape == SHAPE and bare.dtype == np.float32
    assert (bare == bare[..., :1]).all()
    brightness = clip @ np.array([0.299, 0.587, 0.114])
    assert np.corrcoef(bare[..., 0].ravel(), brightness.ravel())[0, 1] > 0.9999


def test_only_what_has_heat_is_coloured(clip):
    heat = heatmap(up=((1, 2, 3), 4.0), down=((3, 5, 6), -2.0))
    changed = np.abs(difference(clip, heat, percentile=100)).max(axis=-1) > 0
    np.testing.assert_array_equal(changed, heat != 0)
    drawn = draw.overlay(clip, heat, percentile=100)
    up, down = drawn[1, 2, 3], drawn[3, 5, 6]
    assert up[0] > up[2] + 0.4 and down[2] > down[0]  # red above blue, blue above red
    # Half the value has less of its colour.
    equal = draw.overlay(clip, heatmap(down=((3, 5, 6), -4.0)), percentile=100)[3, 5, 6]
    assert np.abs(equal - draw.AGAINST).sum() < np.abs(down - draw.AGAINST).sum()


@pytest.mark.parametrize(("polarity", "sign"), [("positive", 1), ("negative", -1)])
def test_one_polarity_hides_the_other(clip, polarity, sign):
    heat = np.random.default_rng(1).standard_normal(SHAPE[:3]).astype(np.float32)
    changed = np.abs(difference(clip, heat, polarity=polarity)).max(axis=-1) > 0
    np.testing.assert_array_equal(changed, sign * heat > 0)


def test_each_frame_or_the_whole_clip_is_normalised():
    heat = heatmap(weak=((0, 0, 0), 1.0), strong=((1, 0, 0), 10.0))
    options = {"polarity": "both", "percentile": 100}
    whole = draw.scaled(heat, normalize="clip", **options)
    each = draw.scaled(heat, normalize="frame", **options)
    assert whole[0, 0, 0] == pytest.approx(0.1) and each[0, 0, 0] == 1
    assert whole[1, 0, 0] == each[1, 0, 0] == 1 and not each[2:].any()


def test_values_beyond_the_percentile_are_cut_off():
    heat = np.ones((1, 10, 10), np.float32)
    heat[0, 0, 0] = 1000
    options = {"polarity": "both", "normalize": "clip"}
    assert (draw.scaled(heat, percentile=90, **options) == 1).all()
    assert draw.scaled(heat, percentile=100, **options)[0, 5, 5] == pytest.approx(0.001)
    # Where the percentile itself is zero, the largest value stands.
    spot = heatmap(one=((0, 0, 0), -3.0))
    assert draw.scaled(spot, percentile=90, **options)[0, 0, 0] == -1


# Machado et al. 2009, https://doi.org/10.1109/TVCG.2009.113: what those who lack red or green
# receptors see.
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]


@pytest.mark.parametrize("eye", [np.eye(3), PROTANOPIA, DEUTERANOPIA])
def test_the_two_colours_differ_for_every_eye(eye):
    linear = [np.asarray(color, np.float64) ** 2.2 for color in (draw.FOR, draw.AGAINST)]
    seen = [np.clip(np.asarray(eye) @ color, 0, 1) ** (1 / 2.2) for color in linear]
    assert np.abs(seen[0] - seen[1]).max() > 0.5


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_panels_stand_side_by_side(channels):
    clip = np.random.default_rng(0).random((*SHAPE[:3], channels), np.float32)
    heat = heatmap(one=((2, 1, 1), 1.0))
    two = attribution_of(clip, heat).animation()
    three = attribution_of(clip, heat, perturbed=1 - clip).animation()
    assert len(two) == len(three) == 5 and two.shape[1] == three.shape[1] > 12
    panel = (two.shape[2] - 4) // 2
    assert three.shape[2] == 3 * panel + 2 * 4 and panel % 10 == 0
    times = panel // 10
    shown = clips.to_rgb(clip).repeat(times, axis=1).repeat(times, axis=2)
    np.testing.assert_array_equal(three[:, : 12 * times, :panel], shown)
    shown = clips.to_rgb(1 - clip).repeat(times, axis=1).repeat(times, axis=2)
    np.testing.assert_array_equal(three[:, : 12 * times, -panel:], shown)


def test_the_bar_has_a_mark_a_frame_and_underlines_the_present_one():
    marks = np.array([0, 1, -1, 0.5], np.float32)
    bars = [draw.frame_bar(marks, 40, now) for now in range(4)]
    line = bars[0][8]
    middles = line[[4, 14, 24, 34]]
    assert middles[0, 0] == middles[0, 1] == middles[0, 2]
    assert middles[1, 0] > middles[1, 2] and middles[2, 2] > middles[2, 0]
    assert middles[3, 0] - middles[3, 2] < middles[1, 0] - middles[1, 2]
    for now, bar in enumerate(bars):
        np.testing.assert_array_equal(bar[8], line)
        dark = np.flatnonzero(bar[-3, :, 0] < 0.5) // 10
        assert set(dark) == {now}


def test_marks_are_the_frame_mask_or_the_heat_of_each_frame():
    heat = heatmap(one=((1, 1, 1), 2.0), two=((3, 1, 1), -4.0))
    np.testing.assert_allclose(draw.frame_weights(heat), [0, 0.5, 0, -1, 0])
    assert not draw.frame_weights(np.zeros_like(heat)).any()
    clip = np.zeros(SHAPE, np.float32)
    mask = np.array([1, 0, 0, 0, 1], np.float32)
    masked = attribution_of(clip, heat, frame_mask=mask).animation()
    expected = draw.frame_bar(mask, masked.shape[2], 2)
    np.testing.assert_array_equal(masked[2, -len(expected) :], expected)


@pytest.mark.parametrize("ending", [".gif", ".mp4", ".webp"])
def test_saved_animations_read_back(tmp_path, clip, ending):
    one = attribution_of(clip, heatmap(one=((1, 1, 1), 2.0)))
    one.save(tmp_path / f"found{ending}", fps=5)
    back = clips.read(tmp_path / f"found{ending}")
    assert len(back) == 5
    assert np.abs(back - one.animation()).mean() < 0.03


def test_a_saved_picture_has_a_column_a_frame(tmp_path, clip):
    attribution_of(clip, heatmap(one=((1, 1, 1), 2.0)), perturbed=clip).save(tmp_path / "found.png")
    with Image.open(tmp_path / "found.png") as picture:
        assert getattr(picture, "n_frames", 1) == 1
        width, height = picture.size
    assert width == 5 * (10 + 2) + 2 and height > 3 * 12


def test_options_of_the_overlay_reach_the_file(tmp_path, clip):
    one = attribution_of(clip, heatmap(one=((1, 1, 1), -2.0)))
    one.save(tmp_path / "both.png")
    one.save(tmp_path / "positive.png", polarity="positive")
    assert (tmp_path / "both.png").read_bytes() != (tmp_path / "positive.png").read_bytes()


@pytest.mark.parametrize("shape", [SHAPE, (90, 40, 60, 3), (16, 224, 224, 3)])
def test_a_notebook_shows_a_small_animation(shape):
    rng = np.random.default_rng(0)
    clip = rng.random(shape, np.float32)  # noise: nothing compresses worse
    one = attribution_of(clip, rng.standard_normal(shape[:3]).astype(np.float32))
    shown = one._repr_html_()
    assert len(shown) <= 300_000
    assert "left &amp; right" in shown and "left & right" not in shown
    content = base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1])
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "WEBP" and picture.n_frames == min(shape[0], 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polarity": "positiv"}, "Expected polarity, such as 'positive'"),
        ({"normalize": "video"}, "'clip', 'frame'. Received: 'video'"),
        ({"percentile": 0}, "percentile"),
        ({"percentile": 101}, "percentile"),
    ],
)
def test_wrong_options_are_refused(clip, options, message):
    with pytest.raises(ValueError, match=message):
        attribution_of(clip, heatmap()).overlay(**options)


def test_wrong_files_are_refused(tmp_path, clip):
    with pytest.raises(ValueError, match="known ending"):
        attribution_of(clip, heatmap()).save(tmp_path / "found.avi")
    with pytest.raises(ValueError, match="folder that exists"):
        attribution_of(clip, heatmap()).save(tmp_path / "none" / "found.png")


@pytest.mark.parametrize(
    "wrong",
    [
        {"heatmap": np.zeros((5, 12, 9))},
        {"perturbed": np.zeros((5, 12, 10, 1))},
        {"frame_mask": np.zeros(4)},
    ],
)
def test_shapes_that_do_not_fit_are_refused(clip, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"Expected {name} of shape"):
        Attribution(
            **{
                "clip": clip,
                "heatmap": heatmap(),
                "score": 0.0,
                "objective": objectives.logit(0),
                "method": "gradient",
                **wrong,
            }
        )


def test_frames_that_are_found_keep_their_colours_in_a_border(clip):
    mask = np.array([0, 1, 1, 0, 0], np.float32)
    heat = np.broadcast_to(mask[:, None, None], SHAPE[:3])
    drawn = attribution_of(clip, heat, frame_mask=mask).overlay()
    bare = draw.overlay(clip, np.zeros_like(heat))
    np.testing.assert_array_equal(drawn[mask == 0], bare[mask == 0])
    np.testing.assert_allclose(drawn[mask == 1, 1:-1, 1:-1], clip[mask == 1, 1:-1, 1:-1], atol=1e-6)
    edge = drawn[mask == 1, 0] - clip[mask == 1, 0] * (1 - draw._OPACITY)
    np.testing.assert_allclose(
        edge, np.broadcast_to(draw._OPACITY * draw.FOR, edge.shape), atol=1e-6
    )
    low = attribution_of(clip[:, :1], heat[:, :1], frame_mask=mask)
    assert low.overlay().shape == (5, 1, *SHAPE[2:])  # as high as its border


def test_smoothed_heat_has_no_sign_and_spreads_within_its_frame():
    heat = np.zeros((2, 20, 20), np.float32)
    heat[0, 10, 9:11] = -3, 1
    plain = attribution_of(np.zeros((2, 20, 20, 3), np.float32), heat)
    smoothed = plain.smoothed(1.0)
    assert smoothed.heatmap.min() >= 0 and not smoothed.heatmap[1].any()
    assert smoothed.heatmap.sum() == pytest.approx(4, rel=1e-5)
    peak = np.unravel_index(smoothed.heatmap.argmax(), heat.shape)
    assert peak == (0, 10, 9)
    assert smoothed.settings["smoothed"] == 1.0 and "smoothed" not in plain.settings
    with pytest.raises(ValueError, match=r"sigma above 0\. Received: 0"):
        plain.smoothed(0)


# Over the frames of a film

FILM = (5, 24, 40, 3)  # of which `clips.resize` to 12 x 10 cuts the middle 24 x 20


@pytest.fixture(scope="module")
def film():
    return np.random.default_rng(1).random(FILM, np.float32)


def test_heat_lies_where_the_clip_was_cut_out_of_its_film(film):
    clip = clips.resize(film, (12, 10))
    heat = heatmap(corner=((2, 0, 0), 4.0), middle=((3, 5, 6), -2.0))
    bare = attribution_of(clip, np.zeros_like(heat)).overlay(over=film)
    drawn = attribution_of(clip, heat).overlay(over=film, percentile=100)
    assert drawn.shape == FILM
    changed = np.abs(drawn - bare).max(axis=-1) > 0.02
    for frame, top, left in ((2, 0, 10), (3, 10, 22)):
        assert changed[frame, top : top + 2, left : left + 2].all()
        changed[frame, max(0, top - 1) : top + 3, left - 1 : left + 3] = False  # it fades out
    assert not changed.any()


def test_what_was_cut_away_is_paler_outside_of_a_line(film):
    clip = clips.resize(film, (12, 10))
    panels = attribution_of(clip, heatmap(), perturbed=1 - clip)._panels(over=film)
    outside, line = np.s_[:, :, :9], np.s_[:, :, 9]
    for panel in panels:
        assert panel.shape == FILM and np.allclose(panel[line], 0.15)
        assert panel[outside].mean() > film[outside].mean() + 0.2
    np.testing.assert_array_equal(panels[0][:, :, 10:30], film[:, :, 10:30])
    away = np.abs(clips.resize(panels[2], (12, 10)) - (1 - clip)).mean()
    assert away < 0.1 < np.abs(clips.resize(panels[0], (12, 10)) - (1 - clip)).mean()


def test_frames_that_lose_nothing_have_no_line(film):
    clip = clips.resize(film, (12, 20))
    mask = np.array([0, 1, 1, 0, 0], np.float32)
    heat = np.broadcast_to(mask[:, None, None], clip.shape[:3])
    shown = attribution_of(clip, heat, frame_mask=mask)
    np.testing.assert_array_equal(shown._panels(over=film)[0], film)
    np.testing.assert_allclose(shown.overlay(over=film)[1, 8:-8, 8:-8], film[1, 8:-8, 8:-8])
    cropped = attribution_of(clips.resize(film, (12, 10)), heat[:, :, :10], frame_mask=mask)
    np.testing.assert_allclose(cropped.overlay(over=film)[1, 4:-4, 14:26], film[1, 4:-4, 14:26])
    border = cropped.overlay(over=film)[1, :, 10]
    assert (border[:, 0] > border[:, 2] + 0.3).all()  # orange, at the edge of what was seen


def test_a_film_of_other_frames_is_refused(film):
    clip = clips.resize(film, (12, 10))
    with pytest.raises(ValueError, match=r"Expected over= the 5 frames .* Received: 4 frames"):
        attribution_of(clip, heatmap()).overlay(over=film[:4])


def test_a_film_is_saved_with_its_heat(tmp_path, film):
    clip = clips.resize(film, (12, 10))
    shown = attribution_of(clip, heatmap(here=((2, 3, 3), 1.0)))
    for name in ("heat.gif", "sheet.png"):
        shown.save(tmp_path / name, over=film)
    with Image.open(tmp_path / "heat.gif") as picture:
        assert picture.size == (2 * 200 + 4, 120 + 16)  # 5 times as large, and the bar
