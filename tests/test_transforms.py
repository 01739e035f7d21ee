"""Transforms: neutral where they should be, one draw a clip, true gradients, known pictures."""

import math

import numpy as np
import pytest
from fitted_gradient import fitted_gradient
from keras import ops

from c3dvis.maximize import transforms

SHAPE = (3, 6, 8, 10, 3)
CLIPS = np.random.default_rng(0).random(SHAPE, np.float32)

# Each kind at work, and at settings at which it does nothing.
EACH = {
    "Pad": (transforms.Pad(2), transforms.Pad(0)),
    "Jitter": (transforms.Jitter(3), transforms.Jitter(0)),
    "Scale": (transforms.Scale(0.7, 1.4), transforms.Scale(1, 1)),
    "Rotate": (transforms.Rotate(30), transforms.Rotate(0)),
    "Crop": (transforms.Crop(0.5), transforms.Crop(1)),
    "TemporalJitter": (transforms.TemporalJitter(2), transforms.TemporalJitter(0)),
    "Speed": (transforms.Speed(0.5, 2), transforms.Speed(1, 1)),
    "Freeze": (transforms.Freeze(5), transforms.Freeze(1)),
    "ColourNoise": (transforms.ColourNoise(0.5, 0.3), transforms.ColourNoise(0, 0)),
}
IN_TIME = {"TemporalJitter", "Speed", "Freeze"}
GROWS = {"Pad": 4, "Jitter": -3}


def draws_for(layer, count=SHAPE[0], seed=1):
    return np.random.default_rng(seed).random((count, layer.uniforms), np.float32)


def run(layer, clips, uniforms):
    return ops.convert_to_numpy(
        layer(ops.convert_to_tensor(clips), ops.convert_to_tensor(uniforms))
    )


def test_every_kind_is_tested():
    not_kinds = {"Resampling", "Transform", "apply", "default", "names"}
    assert set(EACH) == set(transforms.__all__) - not_kinds


@pytest.mark.parametrize("kind", EACH)
def test_the_shape_is_kept_or_as_stated(kind):
    layer, _ = EACH[kind]
    n, t, h, w, c = SHAPE
    grown = GROWS.get(kind, 0)
    assert run(layer, CLIPS, draws_for(layer)).shape == (n, t, h + grown, w + grown, c)


@pytest.mark.parametrize("kind", EACH)
def test_neutral_settings_change_nothing(kind):
    _, neutral = EACH[kind]
    np.testing.assert_allclose(run(neutral, CLIPS, draws_for(neutral)), CLIPS, atol=1e-6)


@pytest.mark.parametrize("kind", EACH)
def test_a_change_and_another_for_each_draw(kind):
    layer, _ = EACH[kind]
    changed = [run(layer, CLIPS[:1], draws_for(layer, 1, seed)) for seed in range(8)]
    assert max(np.abs(one - changed[0]).max() for one in changed) > 0.05 or layer.uniforms == 0


@pytest.mark.parametrize("kind", sorted(set(EACH) - IN_TIME))
def test_one_draw_serves_all_frames(kind):
    """A still clip stays still, and a frame becomes the same among any other frames."""
    layer, _ = EACH[kind]
    uniforms = draws_for(layer)
    still = np.repeat(CLIPS[:, :1], 6, axis=1)
    changed = run(layer, still, uniforms)
    np.testing.assert_allclose(changed, np.repeat(changed[:, :1], 6, axis=1), atol=1e-6)
    np.testing.assert_allclose(run(layer, CLIPS, uniforms)[:, 0], changed[:, 0], atol=1e-6)


@pytest.mark.parametrize("kind", sorted(IN_TIME))
def test_one_draw_serves_all_pixels(kind):
    layer, _ = EACH[kind]
    uniforms = draws_for(layer)
    flicker = np.broadcast_to(CLIPS[:, :, :1, :1], SHAPE)
    changed = run(layer, flicker, uniforms)
    np.testing.assert_allclose(changed, np.broadcast_to(changed[:, :, :1, :1], SHAPE), atol=1e-6)


@pytest.mark.parametrize("kind", EACH)
def test_a_clip_is_changed_alike_whatever_is_beside_it(kind):
    layer, _ = EACH[kind]
    uniforms = draws_for(layer)
    together = run(layer, CLIPS, uniforms)
    alone = run(layer, CLIPS[2:], uniforms[2:])
    np.testing.assert_allclose(together[2:], alone, atol=1e-6)


@pytest.mark.parametrize("kind", EACH)
def test_the_gradient_equals_finite_differences(kind):
    layer, _ = EACH[kind]
    clips, uniforms = CLIPS[:2, :5, :6, :5], draws_for(layer, 2)
    changed = run(layer, clips, uniforms)
    draw = np.random.default_rng(2)
    weights = draw.standard_normal(changed.shape).astype(np.float32)
    direction = draw.standard_normal(clips.shape).astype(np.float32)

    def score(clips, uniforms):
        return ops.sum(weights * layer(clips, uniforms) ** 2, axis=(1, 2, 3, 4))

    got = np.sum(fitted_gradient(score, clips, uniforms) * direction)
    # All are affine in the clips, so a sum of squares has no error of third order.
    up, down = (np.float64(run(layer, clips + s * direction, uniforms)) for s in (0.25, -0.25))
    wanted = np.sum(weights * (up**2 - down**2)) / 0.5
    assert got == pytest.approx(wanted, rel=1e-3, abs=1e-2)


def turned(frame, angle):
    """One frame `(H, W, C)` turned by bilinear reading, pixel by pixel."""
    height, width, _ = frame.shape
    changed = np.empty_like(frame)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    for row in range(height):
        for column in range(width):
            dy, dx = row - middle_y, column - middle_x
            y = min(max(middle_y + dy * math.cos(angle) - dx * math.sin(angle), 0), height - 1)
            x = min(max(middle_x + dy * math.sin(angle) + dx * math.cos(angle), 0), width - 1)
            top, left = min(int(y), height - 2), min(int(x), width - 2)
            a, b = y - top, x - left
            changed[row, column] = (1 - a) * ((1 - b) * frame[top, left] + b * frame[top, left + 1])
            changed[row, column] += a * (
                (1 - b) * frame[top + 1, left] + b * frame[top + 1, left + 1]
            )
    return changed


def test_rotation_reads_between_four_pixels():
    uniforms = np.array([[0.0], [0.4], [0.95]], np.float32)
    changed = run(transforms.Rotate(40), CLIPS, uniforms)
    for clip, got, draw in zip(CLIPS, changed, uniforms[:, 0], strict=True):
        angle = math.radians(40) * (2 * float(draw) - 1)
        for frame, turned_frame in zip(clip, got, strict=True):
            np.testing.assert_allclose(turned_frame, turned(frame, angle), atol=1e-5)


def test_a_quarter_turn_moves_whole_pixels():
    square = CLIPS[:1, :, :, :8]
    quarter = np.array([[0.5 + 0.25]], np.float32)  # of -180 to 180 degrees
    changed = run(transforms.Rotate(180), square, quarter)
    np.testing.assert_allclose(changed, np.rot90(square, -1, axes=(2, 3)), atol=1e-5)


def test_crop_magnifies_a_window_inside_the_clip():
    ramp = np.broadcast_to(np.arange(10, dtype=np.float32)[:, None], (1, 1, 8, 10, 1))
    # The smallest window, half of the clip's, at the far right.
    changed = run(transforms.Crop(0.5), ramp, np.array([[0, 0, 1]], np.float32))[0, 0, 0, :, 0]
    # Its pixels' middles lie at 5, 5.5, ... of 10, half a pixel before the whole numbers.
    wanted = np.minimum(5 + (np.arange(10) + 0.5) / 2 - 0.5, 9)
    np.testing.assert_allclose(changed, wanted, atol=1e-5)


def time_ramp(frames=7):
    return np.arange(frames, dtype=np.float32).reshape(1, frames, 1, 1, 1)


def test_speed_plays_about_the_middle_and_holds_the_ends():
    layer = transforms.Speed(0.5, 2)
    slow, same, fast = (
        run(layer, time_ramp(), np.array([[draw]], np.float32)).ravel() for draw in (0, 0.5, 1)
    )
    np.testing.assert_allclose(slow, [1.5, 2, 2.5, 3, 3.5, 4, 4.5], atol=1e-5)
    np.testing.assert_allclose(same, np.arange(7), atol=1e-5)
    np.testing.assert_allclose(fast, [0, 0, 1, 3, 5, 6, 6], atol=1e-5)


def test_freeze_holds_the_first_frame_of_a_stretch():
    layer = transforms.Freeze(4)
    # 0.9 of 0 to 4 frames is 4; they can begin at 0 to 3, of which 0.6 is 2.
    changed = run(layer, time_ramp(), np.array([[0.9, 0.6]], np.float32)).ravel()
    np.testing.assert_array_equal(changed, [0, 1, 2, 2, 2, 2, 6])


def test_freeze_reaches_both_ends_and_never_past_them():
    layer = transforms.Freeze(20)
    almost_1 = np.nextafter(np.float32(1), np.float32(0))
    whole = run(layer, time_ramp(), np.array([[almost_1, 0]], np.float32)).ravel()
    np.testing.assert_array_equal(whole, np.zeros(7))
    last = run(transforms.Freeze(2), time_ramp(), np.array([[almost_1] * 2], np.float32)).ravel()
    np.testing.assert_array_equal(last, [0, 1, 2, 3, 4, 5, 5])


def test_temporal_jitter_holds_and_does_not_roll():
    changed = run(transforms.TemporalJitter(2), time_ramp(), np.array([[0.0]], np.float32)).ravel()
    np.testing.assert_array_equal(changed, [0, 0, 0, 1, 2, 3, 4])


def test_colour_noise_is_a_gain_about_grey_and_an_offset():
    layer = transforms.ColourNoise(0.5, 0.1)
    # Gains 0.5, 1 and 1.5, offsets 0.1, 0 and -0.1.
    uniforms = np.array([[0, 0.5, 1, 1, 0.5, 0]], np.float32)
    changed = run(layer, np.full((1, 2, 2, 2, 3), 0.9, np.float32), uniforms)
    np.testing.assert_allclose(changed[0, 0, 0, 0], [0.8, 0.9, 1.0], atol=1e-6)


def test_a_row_of_transforms_is_one_after_the_other():
    """The product of matrices is what each layer makes of the one before."""
    kinds = ("Pad", "Jitter", "Scale", "Crop", "Rotate", "TemporalJitter", "Speed", "Freeze")
    chain = [EACH[kind][0] for kind in kinds]
    each = [draws_for(layer, seed=i) for i, layer in enumerate(chain)]
    step = CLIPS
    for layer, own in zip(chain, each, strict=True):
        step = run(layer, step, own)
    together = transforms.apply(chain, ops.convert_to_tensor(CLIPS), np.concatenate(each, axis=1))
    np.testing.assert_allclose(ops.convert_to_numpy(together), step, atol=1e-5)


@pytest.mark.parametrize("kind", EACH)
def test_clips_of_one_pixel_or_frame(kind):
    small = np.full((1, 1, 4, 4, 3), 0.5, np.float32)
    layer, _ = EACH[kind]
    assert np.isfinite(run(layer, small, draws_for(layer, 1))).all()
    if kind != "Jitter":
        assert np.isfinite(run(layer, small[:, :, :1, :1], draws_for(layer, 1))).all()


@pytest.mark.parametrize("kind", EACH)
def test_made_again_from_its_settings(kind):
    layer, _ = EACH[kind]
    again = type(layer).from_config(layer.get_config())
    uniforms = draws_for(layer)
    np.testing.assert_array_equal(run(again, CLIPS, uniforms), run(layer, CLIPS, uniforms))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms.Pad(-1), "pixels to be a whole number from 0. Received: -1"),
        (lambda: transforms.Jitter(1.5), "Received: 1.5"),
        (lambda: transforms.Jitter(math.nan), "Received: nan"),
        (lambda: transforms.Jitter("4"), "Received: '4'"),
        (lambda: transforms.Scale(1.2, 1.1), "smallest <= largest. Received: 1.2, 1.1"),
        (lambda: transforms.Scale("0.9"), "smallest <= largest. Received: '0.9', 1.1"),
        (lambda: transforms.ColourNoise("0.1"), "Received: '0.1', 0.1"),
        (lambda: transforms.Speed("0.8"), "Received: '0.8', 1.25"),
        (lambda: transforms.Crop(None), "Received: None"),
        (lambda: transforms.Rotate("5"), "Received: '5'"),
        (lambda: transforms.Rotate(-5), "degrees from 0 to 180. Received: -5"),
        (lambda: transforms.Rotate(math.nan), "Received: nan"),
        (lambda: transforms.Crop(0), r"smallest in \(0, 1\]. Received: 0"),
        (lambda: transforms.Crop(1.1), "Received: 1.1"),
        (lambda: transforms.TemporalJitter(-1), "frames to be a whole number"),
        (lambda: transforms.Speed(0), "0 < slowest <= fastest. Received: 0"),
        (lambda: transforms.Speed(2, math.inf), "Received: 2, inf"),
        (lambda: transforms.Freeze(0.5), "frames to be a whole number from 0. Received: 0.5"),
        (lambda: transforms.ColourNoise(1.0), "gain and offset from 0 to below 1. Received: 1.0"),
        (
            lambda: transforms.ColourNoise(channels=0),
            "channels.*from 1. Received: 0",
        ),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_colour_noise_for_other_clips_is_refused():
    layer = transforms.ColourNoise(channels=2)
    with pytest.raises(ValueError, match="clips of 2 channels.*Received: 3"):
        run(layer, CLIPS, draws_for(layer))
