"""Gradient methods: answers worked by hand, laws that they keep, and what they refuse."""

import keras
import numpy as np
import pytest
from keras import ops
from same_bits import assert_same

from c3dvis import autodiff, objectives
from c3dvis.attribution import attribute, baselines
from c3dvis.attribution.scorer import Scorer

L = keras.layers
A, B = 0.5, 0.25


class Formulas(L.Layer):
    """Of a clip of two pixels a and b: 5a, b * b, a * b, relu(a - 0.3), max(b, 0.1)."""

    def call(self, clips):
        a, b = clips[:, 0, 0, 0, 0], clips[:, 0, 0, 1, 0]
        each = [5 * a, b * b, a * b, ops.relu(a - 0.3), ops.maximum(b, 0.1)]
        return ops.stack(each, axis=-1)


@pytest.fixture(scope="module")
def formulas():
    clip = L.Input((1, 1, 2, 1))
    return keras.Model(clip, Formulas()(clip))


@pytest.fixture(scope="module")
def two_pixels():
    return np.array([A, B], np.float32).reshape(1, 1, 2, 1)


def small_network(shape, seed=0):
    keras.utils.set_random_seed(seed)
    clip = L.Input(shape)
    x = L.Conv3D(4, 3, padding="same", activation="relu")(clip)
    x = L.Conv3D(4, 3, activation="relu")(x)
    x = L.Dense(8, activation="relu")(L.Flatten()(x))
    network = keras.Model(clip, L.Dense(3, activation="softmax")(x))
    draw = np.random.default_rng(seed)
    network.set_weights([0.3 * draw.standard_normal(w.shape) for w in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def network():
    return small_network((4, 8, 8, 3))


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(1).random((4, 8, 8, 3), np.float32)


def heat(network, clip, label, method, **options):
    attribution = attribute(network, clip, objectives.logit(label), method=method, **options)
    return attribution.heatmap


@pytest.mark.parametrize(
    ("label", "method", "expected"),
    [
        (0, "gradient", (5, 0)),
        (1, "gradient", (0, 2 * B)),
        (2, "gradient", (B, A)),
        (0, "gradient_x_input", (5 * A, 0)),
        (1, "gradient_x_input", (0, 2 * B * B)),
        (2, "gradient_x_input", (A * B, A * B)),
        (0, "integrated_gradients", (5 * A, 0)),
        (1, "integrated_gradients", (0, B * B)),
        (2, "integrated_gradients", (A * B / 2, A * B / 2)),
        (0, "guided_backpropagation", (5, 0)),
    ],
)
def test_answers_worked_by_hand(formulas, two_pixels, label, method, expected):
    options = {"baseline": "black"} if method == "integrated_gradients" else {}
    heatmap = heat(formulas, two_pixels, label, method, **options).ravel()
    np.testing.assert_allclose(heatmap, expected, rtol=1e-5, atol=1e-7)


def test_gradients_agree_with_differences(network, clip):
    scorer = Scorer(network, objectives.logit(1))
    _, (gradient,) = scorer.gradients(clip[None])
    steepness = np.linalg.norm(gradient)
    way = 2e-3 * gradient / steepness
    up, down = scorer.scores(np.stack([clip + way, clip - way]))
    assert (up - down) / 4e-3 == pytest.approx(steepness, rel=0.02)


def test_channels_are_summed_or_the_largest_is_taken(network, clip):
    _, gradients = Scorer(network, objectives.logit(0)).gradients(clip[None])
    signed = heat(network, clip, 0, "gradient")
    np.testing.assert_allclose(signed, gradients[0].sum(axis=-1), rtol=1e-5)
    magnitude = heat(network, clip, 0, "gradient", magnitude=True)
    np.testing.assert_array_equal(magnitude, np.abs(gradients[0]).max(axis=-1))


# Integrated gradients


@pytest.mark.parametrize("baseline", baselines.NAMES)
def test_the_parts_add_up_to_the_difference_of_scores(network, clip, baseline):
    attribution = attribute(network, clip, objectives.logit(2), baseline=baseline)
    settings = attribution.settings
    start = baselines.baseline(baseline, clip)
    before, after = Scorer(network, objectives.logit(2)).scores(np.stack([start, clip]))
    assert settings["baseline_score"] == before and attribution.score == after
    assert settings["complete"]
    assert attribution.heatmap.sum() == pytest.approx(after - before, rel=0.0101)
    error = abs(attribution.heatmap.sum() - (after - before)) / abs(after - before)
    assert settings["completeness_error"] == pytest.approx(error, abs=1e-4)


def test_a_baseline_of_ones_own(network, clip):
    start = np.full_like(clip, 0.5)
    given = attribute(network, clip, objectives.logit(0), baseline=start)
    assert given.settings["baseline"] == "given"
    black = attribute(network, clip, objectives.logit(0), baseline=np.zeros_like(clip))
    np.testing.assert_array_equal(
        black.heatmap, heat(network, clip, 0, "integrated_gradients", baseline="black")
    )
    assert not np.array_equal(given.heatmap, black.heatmap)


def test_what_equals_the_baseline_has_no_part(network, clip):
    heatmap = heat(network, clip, 0, "integrated_gradients", baseline="first_frame")
    assert not heatmap[0].any() and heatmap[1:].any()


def test_steps_double_until_the_sum_is_good_enough(formulas, two_pixels):
    # relu(a - 0.3) on the way from 0 to a = 0.5: the integral is 0.2 / 0.5 of the way, a sum of
    # n + 1 points is off by less than 1 / n of it.
    def run(**options):
        attribution = attribute(
            formulas,
            two_pixels,
            objectives.logit(3),
            baseline="black",
            tolerance=0.01,
            **{"steps": 2, "max_steps": 512, **options},
        )
        return attribution.settings, attribution.heatmap.ravel()

    settings, heatmap = run()
    assert settings["complete"] and settings["steps"] > 2
    assert settings["completeness_error"] <= 0.01
    np.testing.assert_allclose(heatmap, [0.2, 0], atol=0.002)
    short, heatmap = run(max_steps=7)
    assert short["steps"] == 4 and not short["complete"]
    # Points at 0, 1/4, ..., 1: above 0.6 of the way lie 3/4 and, counted half, 1.
    np.testing.assert_allclose(heatmap, [0.5 * 1.5 / 4, 0], rtol=1e-6)
    assert short["completeness_error"] == pytest.approx(1 - 0.5 * 1.5 / 4 / 0.2, rel=1e-4)


def test_nothing_to_share_out(formulas):
    attribution = attribute(formulas, np.zeros((1, 1, 2, 1), np.float32), objectives.logit(1))
    assert attribution.settings["complete"] and not attribution.heatmap.any()


def test_memory_is_bounded_by_the_batch(network, clip, monkeypatch):
    seen = []
    real = Scorer.gradients

    def counted(self, clips):
        seen.append(len(clips))
        return real(self, clips)

    monkeypatch.setattr(Scorer, "gradients", counted)
    options = {"steps": 16, "max_steps": 16}
    attribute(network, clip, objectives.logit(0), batch_size=4, **options)
    assert max(seen) == 4 and sum(seen) == 17
    seen.clear()
    attribute(network, clip, objectives.logit(0), method="smooth_grad", batch_size=4, samples=9)
    assert max(seen) == 4 and sum(seen) == 9


def test_steps_are_as_many_as_asked_for_and_doubled_only_where_nobody_asks(network, clip):
    asked = attribute(network, clip, objectives.logit(0), steps=3, tolerance=1e-9)
    assert asked.settings["steps"] == asked.settings["max_steps"] == 3
    assert not asked.settings["complete"] and "not complete" in repr(asked)
    doubled = attribute(network, clip, objectives.logit(0), max_steps=40, tolerance=1e-9)
    assert doubled.settings["steps"] == 32


def test_a_number_is_a_baseline_of_that_brightness(network, clip):
    black, zero = (
        attribute(network, clip, objectives.logit(0), steps=2, baseline=b) for b in ("black", 0)
    )
    np.testing.assert_array_equal(zero.heatmap, black.heatmap)
    assert zero.settings["baseline"] == 0


# SmoothGrad


def test_kinds_of_smooth_grad_by_hand(formulas, two_pixels):
    # The gradient of b * b at b + n is 2b + 2n: mean 2b, variance 4 * (0.15 * (a - b))^2.
    options = {"method": "smooth_grad", "samples": 600}
    mean, square, variance = (
        heat(formulas, two_pixels, 1, kind=kind, **options).ravel()
        for kind in ("plain", "squared", "variance")
    )
    spread = (2 * 0.15 * (A - B)) ** 2
    np.testing.assert_allclose(mean, [0, 2 * B], atol=4 * np.sqrt(spread / 600))
    np.testing.assert_allclose(variance, [0, spread], rtol=0.3)
    np.testing.assert_allclose(square, mean**2 + variance, rtol=1e-4)


def test_smooth_grad_without_noise_is_the_gradient(network, clip):
    smooth = heat(network, clip, 1, "smooth_grad", noise=0.0, samples=2)
    np.testing.assert_allclose(smooth, heat(network, clip, 1, "gradient"), rtol=1e-5, atol=1e-7)


def test_the_noise_depends_on_the_seed_alone(network, clip):
    def smooth(**options):
        options = {"method": "smooth_grad", "samples": 7, **options}
        return attribute(network, clip, objectives.logit(1), **options).heatmap

    assert_same(smooth(batch_size=8), smooth(batch_size=3))
    assert not np.array_equal(smooth(), smooth(seed=1))


# Guided backpropagation


def dense_network(relu):
    """Two hidden layers, each with the ReLU that `relu(units, x)` builds."""
    clip = L.Input((2, 1, 2, 1))
    x = relu(3, L.Flatten()(clip))
    x = relu(4, x)
    return keras.Model(clip, L.Dense(2)(x))


RELUS = {
    "activation": lambda units, x: L.Dense(units, activation="relu")(x),
    "layer": lambda units, x: L.ReLU()(L.Dense(units)(x)),
    "activation layer": lambda units, x: L.Activation("relu")(L.Dense(units)(x)),
    "function": lambda units, x: ops.relu(L.Dense(units)(x)),
    "activations function": lambda units, x: keras.activations.relu(L.Dense(units)(x)),
    "wrapped": lambda units, x: L.Flatten()(
        L.TimeDistributed(L.Dense(units, activation="relu"))(L.Reshape((1, -1))(x))
    ),
}


@pytest.mark.parametrize("kind", RELUS)
def test_guided_backpropagation_by_hand(kind):
    network = dense_network(RELUS[kind])
    draw = np.random.default_rng(3)
    weights = [draw.standard_normal(w.shape).astype(np.float32) for w in network.get_weights()]
    network.set_weights(weights)
    first, first_bias, second, second_bias, last, _ = weights
    clip = draw.random((2, 1, 2, 1), np.float32)
    below = clip.ravel() @ first + first_bias
    above = np.maximum(below, 0) @ second + second_bias
    expected = np.maximum(last[:, 1], 0) * (above > 0)
    plain = last[:, 1] * (above > 0)
    expected = np.maximum(second @ expected, 0) * (below > 0)
    plain = second @ plain * (below > 0)
    attribution = attribute(network, clip, objectives.logit(1), method="guided_backpropagation")
    np.testing.assert_allclose(attribution.heatmap.ravel(), first @ expected, rtol=1e-5)
    assert attribution.settings["relus"] == 2
    # The network itself is as before: its gradient is the plain one.
    np.testing.assert_allclose(heat(network, clip, 1, "gradient").ravel(), first @ plain, rtol=1e-5)
    assert not np.allclose(first @ plain, first @ expected)


def test_other_activations_pass_the_gradient_as_ever():
    network = dense_network(lambda units, x: L.Dense(units, activation="tanh")(x))
    clip = np.random.default_rng(0).random((2, 1, 2, 1), np.float32)
    attribution = attribute(network, clip, objectives.logit(1), method="guided_backpropagation")
    np.testing.assert_array_equal(attribution.heatmap, heat(network, clip, 1, "gradient"))
    assert attribution.settings["relus"] == 0


# Baselines


def test_baselines():
    clip = np.random.default_rng(0).random((3, 6, 9, 2), np.float32)
    assert not baselines.baseline("black", clip).any()
    frozen = baselines.baseline("first_frame", clip)
    np.testing.assert_array_equal(frozen, np.stack([clip[0]] * 3))
    noise = baselines.baseline("noise", clip, seed=4)
    assert noise.shape == clip.shape and 0 <= noise.min() and noise.max() <= 1
    np.testing.assert_array_equal(noise, baselines.baseline("noise", clip, seed=4))
    assert not np.array_equal(noise, baselines.baseline("noise", clip, seed=5))
    blurred = baselines.baseline("blur", clip)
    assert blurred.std(axis=(1, 2)).max() < 0.5 * clip.std(axis=(1, 2)).min()


def test_a_blur_is_a_gaussian_with_repeated_edges():
    spot = np.zeros((1, 41, 31, 1), np.float32)
    spot[0, 20, 15] = 1
    blurred = baselines.blur(spot, 2.0)[0, ..., 0]
    rows, columns = np.arange(41) - 20, np.arange(31) - 15
    expected = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * 2.0**2)) / (2 * np.pi * 2.0**2)
    np.testing.assert_allclose(blurred, expected, atol=2e-4)
    np.testing.assert_allclose(baselines.blur(np.full_like(spot, 0.3), 9.0), 0.3, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("integrated_gradients", {"baseline": "blank"}, "'black'.*Received: 'blank'"),
        ("integrated_gradients", {"baseline": np.zeros((4, 8, 8, 1))}, "3 channels"),
        ("integrated_gradients", {"steps": 0}, "1 step or more. Received: 0"),
        ("integrated_gradients", {"max_steps": 0}, "1 step or more. Received: 0"),
        ("integrated_gradients", {"steps": 16, "max_steps": 8}, "max_steps=8. Received: steps=16"),
        ("integrated_gradients", {"baseline": 1.5}, r"baseline in \[0, 1\]. Received: 1.5"),
        ("integrated_gradients", {"tolerance": 0}, "tolerance above 0"),
        ("integrated_gradients", {"baseline": "noise", "seed": -1}, "seed of 0 or more"),
        ("smooth_grad", {"kind": "square"}, "'squared'.*Received: 'square'"),
        ("smooth_grad", {"samples": 0}, "1 samples or more"),
        ("smooth_grad", {"samples": 1, "kind": "variance"}, "2 samples or more"),
        ("smooth_grad", {"noise": -1}, "noise of 0 or more"),
        ("smooth_grad", {"noise": float("nan")}, "noise of 0 or more"),
        ("smooth_grad", {"noise": float("inf")}, "noise of 0 or more"),
        ("smooth_grad", {"seed": -1}, "seed of 0 or more"),
    ],
)
def test_wrong_options_are_refused(network, clip, method, options, message):
    with pytest.raises(ValueError, match=message):
        attribute(network, clip, objectives.logit(0), method=method, **options)


# Gradients themselves


def test_the_gradient_of_a_tuple_is_that_of_its_first_element():
    def function(x, factor):
        return factor * x * x, 7 * x

    (values, others), gradient = autodiff.value_and_gradient(function)([1.0, 3.0], 2.0)
    assert ops.convert_to_numpy(values).tolist() == [2, 18]
    assert ops.convert_to_numpy(others).tolist() == [7, 21]
    assert ops.convert_to_numpy(gradient).tolist() == [4, 12]


def test_values_that_do_not_depend_on_the_argument_have_no_gradient():
    _, gradient = autodiff.value_and_gradient(lambda x, y: 2 * y)([1.0, 3.0], [1.0, 1.0])
    assert ops.convert_to_numpy(gradient).tolist() == [0, 0]


def test_variables_are_read_as_they_are_now():
    variable = keras.Variable(2.0)
    plain = autodiff.compiled(lambda x: variable * x, variables=[variable])
    both = autodiff.value_and_gradient(lambda x: variable * x, variables=[variable])
    assert float(plain(3.0)) == 6 and float(both(3.0)[1]) == 2
    variable.assign(5.0)
    assert float(plain(3.0)) == 15 and float(both(3.0)[1]) == 5
