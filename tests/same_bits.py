"""Comparing clips that were computed in different batches."""

import functools

import numpy as np
from keras import ops

from c3dvis import autodiff


@functools.cache
def batches_agree() -> bool:
    """Whether a clip has the same bits in any batch, by this machine's convolutions.

    TensorFlow's kernels for AVX512 see to that; those for older processors share the work out
    otherwise for other batches, and round differently.
    """
    draw = np.random.default_rng(0)
    clips = draw.normal(size=(4, 4, 8, 8, 4)).astype("float32")
    kernel = draw.normal(size=(3, 3, 3, 4, 6)).astype("float32")
    run = autodiff.value_and_gradient(
        lambda clips: ops.sum(ops.conv(clips, kernel, 1, "same") ** 2, axis=(1, 2, 3, 4))
    )
    together = ops.convert_to_numpy(run(clips)[1])
    return all(
        np.array_equal(ops.convert_to_numpy(run(clips[:count])[1]), together[:count])
        for count in (1, 2)
    )


def assert_same(actual, expected):
    """Equal to the bit; where this machine's batches don't agree, equal but for rounding."""
    if batches_agree():
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
