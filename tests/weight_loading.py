"""What the tests of weight files share: networks that stay the same, and refusals in one line."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest

from c3dvis import models


def assert_same(network: keras.Model, other: keras.Model) -> None:
    for ours, theirs in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@contextlib.contextmanager
def unchanged(network: keras.Model) -> Iterator[None]:
    """Fails if the block changes a variable of the network, random states included."""
    before = [np.array(variable.numpy()) for variable in network.variables]
    yield
    for old, variable in zip(before, network.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def refusal(read: Callable, message: str | None = None) -> str:
    """The one line with which a reading is refused."""
    with pytest.raises(ValueError, match=message) as raised:
        read()
    text = str(raised.value)
    assert text.startswith("Expected ") and "Received: " in text and "\n" not in text
    return text


def refused(network: keras.Model, path, message: str) -> str:
    """The refusal of a file that a network is given, which stays as it is."""
    with unchanged(network):
        return refusal(lambda: models.load_weights(network, path), message)
