"""Products of activations, as several objectives take them."""

import math

# Below it a cosine counts as this much, as in lucid: far from its direction a clip still has a
# gradient towards it.
_LEAST_COSINE = 0.1
# Added to lengths, in units of activation: an activation of zeros has no direction.
_LENGTH = 1e-4


def dot(vectors, targets, axes: tuple[int, ...], power: float):
    """Dot product over some axes, times a power of the cosine; with a gradient at zeros, too."""
    from keras import ops

    dots = ops.sum(vectors * targets, axis=axes)
    if not power:
        return dots
    lengths = [
        ops.sqrt(ops.sum(ops.square(each), axis=axes) + _LENGTH**2) for each in (vectors, targets)
    ]
    cosines = dots / (lengths[0] * lengths[1])
    return dots * ops.maximum(cosines, _LEAST_COSINE) ** power


def gram(activation):
    """Mean over positions of all products of two channels: `(N, ..., C)` to `(N, C, C)`."""
    from keras import ops

    channels = activation.shape[-1]
    flat = ops.reshape(activation, (ops.shape(activation)[0], -1, channels))
    positions = ops.cast(ops.shape(flat)[1], flat.dtype)
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / positions


def checked_power(power: float) -> float:
    if not (math.isfinite(power) and power >= 0):
        raise ValueError(f"Expected a power of 0 or more. Received: {power}.")
    return float(power)
