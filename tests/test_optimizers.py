"""ClipwiseAdam: one second moment per clip."""

import keras
import numpy as np
import pytest

from c3dvis.maximize.optimizers import ClipwiseAdam


def stepped(gradients, **options):
    """What one variable becomes, from ones, after steps along the gradients."""
    variable = keras.Variable(np.ones_like(gradients[0], np.float32))
    optimizer = ClipwiseAdam(0.1, **options)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return keras.ops.convert_to_numpy(variable)


def test_the_first_step_is_the_gradient_at_unit_length():
    gradient = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    length = np.sqrt((gradient**2).mean((1, 2), keepdims=True))
    expected = 1 - 0.1 * gradient / length
    np.testing.assert_allclose(stepped([gradient], weight_decay=None), expected, rtol=1e-5)


def test_steps_do_not_depend_on_the_gradients_scale():
    gradients = np.random.default_rng(1).standard_normal((4, 2, 5)).astype(np.float32)
    scaled = gradients * np.array([1e-9, 1e4], np.float32)[None, :, None]
    np.testing.assert_allclose(stepped(scaled), stepped(gradients), rtol=1e-4)


def test_a_clip_does_not_depend_on_its_neighbour():
    gradients = np.random.default_rng(2).standard_normal((3, 2, 5)).astype(np.float32)
    other = gradients.copy()
    other[:, 1] *= 100
    np.testing.assert_array_equal(stepped(gradients)[0], stepped(other)[0])


def test_two_steps_by_hand():
    a, b = (np.random.default_rng(s).standard_normal((1, 6)) for s in (3, 4))
    got = stepped([a.astype(np.float32), b.astype(np.float32)], weight_decay=0.5)
    value = np.ones((1, 6)) * (1 - 0.05)
    value = value - 0.1 * a / np.sqrt((a**2).mean())
    value = value * (1 - 0.05)
    mean = (0.9 * 0.1 * a + 0.1 * b) / (1 - 0.9**2)
    square = (0.9 * 0.1 * (a**2).mean() + 0.1 * (b**2).mean()) / (1 - 0.9**2)
    np.testing.assert_allclose(got, value - 0.1 * mean / np.sqrt(square), rtol=1e-4)


@pytest.mark.parametrize("weight_decay", [None, 0.3])
def test_settings_survive_a_copy(weight_decay):
    config = ClipwiseAdam(0.2, beta_2=0.8, weight_decay=weight_decay).get_config()
    again = ClipwiseAdam.from_config(config).get_config()
    assert again == config and again["beta_2"] == 0.8


def test_no_gradient_moves_nothing():
    still = np.zeros((1, 4), np.float32)
    np.testing.assert_array_equal(stepped([still, still], weight_decay=None), np.ones((1, 4)))
