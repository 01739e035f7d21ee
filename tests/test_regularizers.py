"""Penalties: known values, true gradients, weights that add, and what each makes of a clip."""

import numpy as np
import pytest
from fitted_gradient import fitted_gradient
from keras import ops

from c3dvis.maximize import regularizers
from c3dvis.maximize.regularizers import Blur, Norm, TemporalSmoothness, TotalVariation

SHAPE = (3, 6, 8, 10, 3)
CLIPS = np.random.default_rng(0).random(SHAPE, np.float32)

# Each kind by each of its weights alone.
EACH = {
    "variation in space": (TotalVariation, "spatial"),
    "variation in time": (TotalVariation, "temporal"),
    "first difference": (TemporalSmoothness, "first"),
    "second difference": (TemporalSmoothness, "second"),
    "norm": (Norm, "weight"),
    "blur in space": (Blur, "spatial"),
    "blur in time": (Blur, "temporal"),
}


def penalties(penalty, clips):
    return ops.convert_to_numpy(penalty(ops.convert_to_tensor(clips)))


def checkerboard(shape=(1, 4, 6, 6, 1)):
    return np.sum(np.indices(shape), axis=0).astype(np.float32) % 2


def flicker(frames=6):
    """Frames that are black and white in turn."""
    return np.broadcast_to(np.arange(frames).reshape(1, -1, 1, 1, 1) % 2, (1, frames, 4, 4, 3))


def test_every_kind_is_tested():
    assert {kind.__name__ for kind, _ in EACH.values()} == set(regularizers.names())


@pytest.mark.parametrize("name", EACH)
def test_one_number_a_clip_whatever_is_beside_it(name):
    kind, weight = EACH[name]
    got = penalties(kind(**{weight: 1.0}), CLIPS)
    assert got.shape == (3,) and got.dtype == np.float32 and (got > 0).all()
    np.testing.assert_allclose(penalties(kind(**{weight: 1.0}), CLIPS[1:2]), got[1:2], rtol=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_grey_costs_nothing(name):
    kind, weight = EACH[name]
    grey = np.full(SHAPE, 0.5, np.float32)
    np.testing.assert_allclose(penalties(kind(**{weight: 1.0}), grey), 0, atol=1e-9)


@pytest.mark.parametrize("name", EACH)
def test_penalties_are_their_weights_times_one(name):
    kind, weight = EACH[name]
    once, thrice = (penalties(kind(**{weight: w}), CLIPS) for w in (1.0, 3.0))
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-6)
    np.testing.assert_array_equal(penalties(kind(**{weight: 0.0}), CLIPS), np.zeros(3))


@pytest.mark.parametrize("kind", [TotalVariation, TemporalSmoothness, Blur])
def test_two_weights_add(kind):
    one, other = (weight for k, weight in EACH.values() if k is kind)
    both = penalties(kind(**{one: 2.0, other: 5.0}), CLIPS)
    each = penalties(kind(**{one: 2.0}), CLIPS) + penalties(kind(**{other: 5.0}), CLIPS)
    np.testing.assert_allclose(both, each, rtol=1e-5)


KNOWN = [
    (TotalVariation(spatial=1), checkerboard(), 2.0),
    (TotalVariation(temporal=1), checkerboard(), 1.0),
    (TotalVariation(temporal=1), flicker(), 1.0),
    (TotalVariation(spatial=1), flicker(), 0.0),
    (TemporalSmoothness(first=1), flicker(), 1.0),
    (TemporalSmoothness(second=1), flicker(), 4.0),
    (Norm(weight=1, power=1), np.full((1, 2, 2, 2, 3), 0.75), 0.5),
    (Norm(weight=1, power=3), np.full((1, 2, 2, 2, 3), 0.25), 0.125),
    (Norm(weight=1), checkerboard(), 1.0),
    (Blur(spatial=1), flicker(), 0.0),
]


@pytest.mark.parametrize(("penalty", "clips", "value"), KNOWN)
def test_known_values(penalty, clips, value):
    assert penalties(penalty, clips.astype(np.float32))[0] == pytest.approx(value, abs=1e-6)


def test_steady_motion_costs_the_second_difference_nothing():
    ramp = np.broadcast_to(np.linspace(0, 1, 6).reshape(1, 6, 1, 1, 1), (1, 6, 4, 4, 3))
    ramp = ramp.astype(np.float32)
    assert penalties(TemporalSmoothness(second=1), ramp)[0] == pytest.approx(0, abs=1e-9)
    assert penalties(TemporalSmoothness(first=1), ramp)[0] == pytest.approx(0.04)


def test_one_spot_and_its_blurred_copy():
    """The kernel 1, 4, 6, 4, 1 in time leaves 6/16 of a spot far from the ends, and spreads it."""
    spot = np.zeros((1, 16, 1, 1, 1), np.float32)
    spot[0, 8] = 1
    left = ((1 - 6 / 16) ** 2 + 2 * (4 / 16) ** 2 + 2 * (1 / 16) ** 2) / 16
    assert penalties(Blur(temporal=1), spot)[0] == pytest.approx(left)


def test_blur_spares_what_is_coarse():
    """Of waves of one height, the finer costs more; at the finest nothing is left of the copy."""
    x = np.arange(32)
    waves = [0.5 + 0.5 * np.cos(2 * np.pi * x / period) for period in (16, 8, 4, 2)]
    rows = np.stack(waves).reshape(4, 1, 1, 32, 1).astype(np.float32)
    got = penalties(Blur(spatial=1), rows)
    assert (np.diff(got) > 0).all() and got[-1] == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("name", EACH)
def test_the_gradient_equals_finite_differences(name):
    kind, weight = EACH[name]
    penalty = kind(**{weight: 100.0})
    gradient = fitted_gradient(lambda clips, _: penalty(clips), CLIPS[:2])
    # Keeps the order of any two values, so that no absolute difference turns around.
    direction = CLIPS[:2] ** 2
    up, down = (penalties(penalty, CLIPS[:2] + s * direction).sum() for s in (0.01, -0.01))
    assert np.sum(gradient * direction) == pytest.approx((up - down) / 0.02, rel=0.005)


@pytest.mark.parametrize("name", EACH)
def test_gradients_are_finite_where_the_penalty_is_least(name):
    kind, weight = EACH[name]
    grey = np.full((1, 4, 4, 4, 3), 0.5, np.float32)
    penalty = kind(**{weight: 1.0})
    gradient = fitted_gradient(lambda clips, _: penalty(clips), grey)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_clips_of_one_frame_and_pixel(name):
    kind, weight = EACH[name]
    one = np.full((2, 1, 1, 1, 3), 0.9, np.float32)
    assert np.isfinite(penalties(kind(**{weight: 1.0}), one)).all()


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf"), "1"])
@pytest.mark.parametrize("name", EACH)
def test_wrong_weights_are_refused(name, bad):
    kind, weight = EACH[name]
    with pytest.raises(ValueError, match=f"weights of 0 or more. Received: .*{weight}={bad!r}"):
        kind(**{weight: bad})


def test_a_power_below_1_is_refused():
    with pytest.raises(ValueError, match="power of 1 or more. Received: 0.5"):
        Norm(weight=1, power=0.5)
