"""Gradient conditioning: clips as they are, gradients as a NumPy reference has them."""

import itertools

import keras
import numpy as np
import pytest
from brightness_network import brightness_network
from fitted_gradient import fitted_gradient
from keras import ops

from c3dvis import objectives
from c3dvis.maximize import Maximizer, smoothing
from c3dvis.maximize.conditioning import LaplacianGradient, UnitGradient, split
from c3dvis.maximize.regularizers import Norm
from c3dvis.maximize.transforms import Jitter, Pad

SHAPE = (2, 6, 9, 8, 3)
CLIPS = np.random.default_rng(0).random(SHAPE, np.float32)
EACH = {"unit": UnitGradient(), "laplacian": LaplacianGradient(2)}


def gradient(layer, weights):
    """Of the linear score `sum(weights * layer(clips))`, from a step of `fit`."""

    def score(clips, uniforms):
        return ops.sum(weights * layer(clips, uniforms[:, :0]), axis=(1, 2, 3, 4))

    return fitted_gradient(score, np.zeros(weights.shape, np.float32))


def unit(values):
    return values / np.sqrt(np.mean(values**2))


KERNEL = np.array([1, 4, 6, 4, 1]) / 16


def blurred(signal, centres):
    """5x5x5 means around every centre, value by value, as far as the kernel lies inside."""
    means = np.zeros((*(len(c) for c in centres), signal.shape[-1]))
    for place in itertools.product(*(range(len(c)) for c in centres)):
        total = 0.0
        for offset in itertools.product(range(-2, 3), repeat=3):
            at = [c[p] + o for c, p, o in zip(centres, place, offset, strict=True)]
            if all(0 <= a < n for a, n in zip(at, signal.shape, strict=False)):
                weight = np.prod([KERNEL[o + 2] for o in offset])
                means[place] += weight * signal[tuple(at)]
                total += weight
        means[place] /= total
    return means


def grown(half, lengths):
    """Values put at every second place with zeros between, blurred, over the blurred mask."""
    centres = [np.arange(n) for n in lengths]
    spread, mask = np.zeros((*lengths, half.shape[-1])), np.zeros((*lengths, 1))
    spread[::2, ::2, ::2], mask[::2, ::2, ::2] = half, 1
    return blurred(spread, centres) / blurred(mask, centres)


def laplacian(signal, levels):
    """The sum of the bands, each of deviation 1."""
    if not levels:
        return unit(signal)
    lengths = signal.shape[:3]
    half = blurred(signal, [np.arange(0, n, 2) for n in lengths])
    return grown(laplacian(half, levels - 1), lengths) + unit(signal - grown(half, lengths))


@pytest.mark.parametrize("kind", EACH)
def test_values_are_left_alone(kind):
    values = EACH[kind](ops.convert_to_tensor(CLIPS), ops.zeros((2, 0)))
    np.testing.assert_array_equal(ops.convert_to_numpy(values), CLIPS)
    assert EACH[kind].uniforms == 0


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_unit_gradient_of_a_linear_score(scale):
    weights = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    got = gradient(UnitGradient(), np.float32(scale) * weights)
    for clip, own in zip(got, weights, strict=True):
        np.testing.assert_allclose(clip, unit(own), rtol=1e-4, atol=1e-5)


def test_laplacian_gradient_of_a_linear_score():
    weights = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    got = gradient(LaplacianGradient(2), weights)
    for clip, own in zip(got, weights, strict=True):
        np.testing.assert_allclose(clip, laplacian(np.float64(own), 2), rtol=1e-3, atol=1e-4)


def test_laplacian_brings_fine_noise_to_the_size_of_the_rest():
    """Of a gradient with 1 % of its power in a slow wave, that wave has a fair share after."""
    draw = np.random.default_rng(2)
    x = np.arange(32)
    wave = np.broadcast_to(np.sin(2 * np.pi * x / 32)[:, None], (1, 16, 32, 32, 3))
    fine = draw.standard_normal(wave.shape)
    got = gradient(LaplacianGradient(), (0.14 * wave + fine).astype(np.float32))[0]
    share = np.corrcoef(got.ravel(), wave.ravel())[0, 1] ** 2
    assert share > 0.1


@pytest.mark.parametrize("kind", EACH)
def test_no_gradient_stays_none_and_a_constant_one_stays_constant(kind):
    weights = np.zeros(SHAPE, np.float32)
    weights[1] = 7
    got = gradient(EACH[kind], weights)
    np.testing.assert_array_equal(got[0], 0)
    np.testing.assert_allclose(got[1], 1, atol=1e-4)


@pytest.mark.parametrize("kind", EACH)
def test_clips_of_one_frame(kind):
    weights = np.random.default_rng(3).standard_normal((1, 1, 5, 4, 1)).astype(np.float32)
    assert np.isfinite(gradient(EACH[kind], weights)).all()


@pytest.mark.parametrize("kind", EACH)
def test_units_of_any_scale_take_the_same_steps(kind):
    """Plain gradient descent raises a unit of a thousandth of the scale as fast."""
    maximizer = Maximizer(
        brightness_network((1, 1e-3), shape=(4, 6, 6, 1)),
        objectives.channel("out", [0, 1]),
        parametrization="pixels",
        transforms=[EACH[kind]],
        optimizer=keras.optimizers.SGD(1.0),
    )
    bright = [result.clip.mean() for result in maximizer.make(steps=5)]
    assert min(bright) > 0.6 and bright[0] == pytest.approx(bright[1], abs=0.02)


def test_penalties_are_conditioned_with_the_score():
    """A penalty that outweighs the score does so however the gradient is conditioned."""
    maximizer = Maximizer(
        brightness_network((1, 1e-3), shape=(4, 6, 6, 1)),
        objectives.channel("out", 0),
        parametrization="pixels",
        transforms=[UnitGradient()],
        regularizers=[Norm(weight=100, power=2)],
        optimizer=keras.optimizers.SGD(0.05),
    )
    (result,) = maximizer.make(steps=60)
    assert result.clip.mean() == pytest.approx(0.5, abs=0.02) and result.clip.std() < 0.03


def test_split_takes_what_comes_first():
    layers = [UnitGradient(), LaplacianGradient(), Pad(1), UnitGradient(), Jitter(2)]
    assert split(layers) == (layers[:2], layers[2:])
    assert split([]) == ([], [])


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match="levels to be a whole number from 1. Received: 0"):
        LaplacianGradient(0)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 9])
def test_matrices_keep_what_is_constant(length):
    for matrix in (smoothing.smoothing(length), smoothing.halving(length)):
        np.testing.assert_allclose(matrix @ np.ones(length), 1, rtol=1e-6)
    half = -(-length // 2)
    assert smoothing.halving(length).shape == (half, length)
    assert smoothing.doubling(length).shape == (length, half)
    np.testing.assert_allclose(smoothing.doubling(length) @ np.ones(half), 1, rtol=1e-6)
