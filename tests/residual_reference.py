"""What the tests of networks share: NumPy's word for a layer, and PyTorch if there."""

import sys
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

DATA = Path(__file__).parent / "data" / "pytorch"


def convolve(x, kernel, strides=(1, 1, 1)):
    """Correlation with half a kernel of zeros on both sides, written from the definition."""
    half = [length // 2 for length in kernel.shape[:3]]
    padded = np.pad(x, [(0, 0), *((n, n) for n in half), (0, 0)])
    counts = [(length - 1) // step + 1 for length, step in zip(x.shape[1:4], strides, strict=True)]
    total = np.zeros((len(x), *counts, kernel.shape[-1]))
    for place in np.ndindex(*kernel.shape[:3]):
        t, i, j = (
            slice(first, first + (count - 1) * step + 1, step)
            for first, count, step in zip(place, counts, strides, strict=True)
        )
        total += padded[:, t, i, j] @ kernel[place]
    return total


def normalize(x, gamma, beta, mean, variance):
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def relu(x):
    return np.maximum(x, 0)


def all_weights(network):
    return {
        layer.name: [np.asarray(value, np.float64) for value in layer.get_weights()]
        for layer in network.layers
        if layer.weights
    }


def randomize(network, seed=0):
    """Gives every weight a value that no start leaves, and that keeps activations of order one."""
    draw = np.random.default_rng(seed)
    for variable in network.weights:
        shape = tuple(variable.shape)
        if variable.name in ("moving_variance", "gamma"):
            value = draw.uniform(0.5, 1.5, shape)
        elif variable.name == "kernel":
            value = draw.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        else:
            value = draw.normal(0, 0.3, shape)
        variable.assign(value)
    return network


def clips_for(shape, seed=1):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def activations(network, names, clips):
    """The outputs of layers, by one pass."""
    tapped = keras.Model(network.input, [network.get_layer(name).output for name in names])
    values = tapped(clips, training=False)
    return [np.asarray(value) for value in (values if len(names) > 1 else [values])]


def relative_error(values, expected):
    """The largest difference, as a part of the largest value."""
    assert values.shape == expected.shape
    assert np.abs(expected).max() > 1e-3  # zeros would agree with anything
    return np.abs(values - expected).max() / np.abs(expected).max()


def pytorch():
    """PyTorch, or the test is skipped."""
    return pytest.importorskip("torch", reason="parity needs PyTorch: pip install -e .[parity]")


def torchvision(name):
    """A module of torchvision, or the test is skipped."""
    pytorch()
    # Its compiled operators do not load beside a PyTorch for CPUs only, and no network needs them.
    sys.modules.setdefault(
        "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
    )
    with warnings.catch_warnings():
        # torchvision warns of operators that it does not find, and nothing here uses.
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason="parity needs torchvision: extra parity")


def randomize_pytorch(network):
    """Numbers that are not those of the start, where that is all zeros or all ones."""
    nn = pytorch().nn
    pytorch().manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(part.running_mean, 0, 0.3)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.bias, 0, 0.1)
    return network.eval()
