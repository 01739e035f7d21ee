"""The benchmark of first convolutions: both of its sides compute the same gradient."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import stem_gradient


@pytest.mark.parametrize("name", stem_gradient.STEMS)
def test_both_sides_give_one_gradient(name):
    sides = [
        stem_gradient.stem(convolve, 1, *stem_gradient.STEMS[name])
        for convolve in (stem_gradient.of_backend, stem_gradient.of_package)
    ]
    seconds, difference = stem_gradient.compared(sides, 1)
    assert difference < 1e-5 and min(seconds) > 0
