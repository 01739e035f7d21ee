"""Transforms of a clip's rows and columns, the same for all its frames."""

import math

import numpy as np
from keras import ops

from c3dvis.checks import are_numbers, whole
from c3dvis.maximize.transforms._resampling import Resampling, Transform, interpolation


class Pad(Resampling):
    """Adds a grey border, so that later transforms move no pixel of the clip out of sight.

    Args:
        pixels: Width of the border on each side; height and width grow by twice as much.

    Example:
        >>> tuple(Pad(2)(ops.zeros((1, 4, 8, 8, 3)), ops.zeros((1, 0))).shape)
        (1, 4, 12, 12, 3)
    """

    def __init__(self, pixels: int, **kwargs):
        super().__init__(**kwargs)
        self.pixels = whole(pixels, "pixels")

    def matrices(self, shape, uniforms):
        border = ((self.pixels, self.pixels), (0, 0))
        return {axis: np.pad(np.eye(shape[axis], dtype=np.float32), border) for axis in (2, 3)}


class Jitter(Resampling):
    """Cuts a window at a random whole-pixel offset.

    Args:
        pixels: Largest offset; height and width shrink by it.

    Example:
        >>> tuple(Jitter(2)(ops.zeros((1, 4, 8, 8, 3)), ops.zeros((1, 2))).shape)
        (1, 4, 6, 6, 3)
    """

    uniforms = 2

    def __init__(self, pixels: int, **kwargs):
        super().__init__(**kwargs)
        self.pixels = whole(pixels, "pixels")

    def matrices(self, shape, uniforms):
        offsets = ops.floor(uniforms * (self.pixels + 1))
        return {
            axis: interpolation(
                ops.arange(shape[axis] - self.pixels, dtype="float32") + offsets[:, i, None],
                shape[axis],
            )
            for i, axis in enumerate((2, 3))
        }


class Scale(Resampling):
    """Magnifies around the centre by a random factor; edges are repeated where it shrinks.

    Args:
        smallest: Minimum factor.
        largest: Maximum factor.

    Example:
        >>> tuple(Scale(0.8, 1.2)(ops.zeros((1, 4, 8, 8, 3)), ops.zeros((1, 1))).shape)
        (1, 4, 8, 8, 3)
    """

    uniforms = 1

    def __init__(self, smallest: float = 0.9, largest: float = 1.1, **kwargs):
        super().__init__(**kwargs)
        if not (are_numbers(smallest, largest) and 0 < smallest <= largest):
            raise ValueError(
                f"Expected 0 < smallest <= largest. Received: {smallest!r}, {largest!r}."
            )
        self.smallest, self.largest = smallest, largest

    def matrices(self, shape, uniforms):
        factors = self.smallest + (self.largest - self.smallest) * uniforms
        matrices = {}
        for axis in (2, 3):
            centre = (shape[axis] - 1) / 2
            away = ops.arange(shape[axis], dtype="float32") - centre
            matrices[axis] = interpolation(centre + away / factors, shape[axis])
        return matrices


class Crop(Resampling):
    """Cuts a window of random size at a random place and magnifies it to the clip's size.

    The window has the clip's aspect ratio and lies inside it; the rest is not seen, so a pattern
    must be found all over the clip.

    Args:
        smallest: Minimum side of the window as a share of the clip's, in (0, 1]; the maximum is 1.

    Example:
        >>> tuple(Crop(0.5)(ops.zeros((1, 4, 8, 8, 3)), ops.zeros((1, 3))).shape)
        (1, 4, 8, 8, 3)
    """

    uniforms = 3

    def __init__(self, smallest: float = 0.8, **kwargs):
        super().__init__(**kwargs)
        if not (are_numbers(smallest) and 0 < smallest <= 1):
            raise ValueError(f"Expected smallest in (0, 1]. Received: {smallest!r}.")
        self.smallest = smallest

    def matrices(self, shape, uniforms):
        share = self.smallest + (1 - self.smallest) * uniforms[:, :1]
        matrices = {}
        for i, axis in ((1, 2), (2, 3)):
            start = uniforms[:, i : i + 1] * (1 - share) * shape[axis]
            # Of pixels' middles, so that the window's edges fall on the clip's.
            middles = ops.arange(shape[axis], dtype="float32") + 0.5
            matrices[axis] = interpolation(start + middles * share - 0.5, shape[axis])
        return matrices


class Rotate(Transform):
    """Turns around the centre by a random angle; edges are repeated in the corners.

    Every pixel is read between its four neighbours (bilinear). That is not a product with one
    matrix per axis, and three shears, which are, blur three times.

    Args:
        degrees: Largest angle either way, 0 to 180.

    Example:
        >>> clip = ops.reshape(ops.arange(4, dtype="float32"), (1, 1, 2, 2, 1))  # 0 1, below 2 3
        >>> turned = Rotate(90)(clip, ops.ones((1, 1)))
        >>> ops.convert_to_numpy(turned).round().ravel().tolist()
        [2.0, 0.0, 3.0, 1.0]
    """

    uniforms = 1

    def __init__(self, degrees: float = 10.0, **kwargs):
        super().__init__(**kwargs)
        if not (are_numbers(degrees) and 0 <= degrees <= 180):
            raise ValueError(f"Expected degrees from 0 to 180. Received: {degrees!r}.")
        self.degrees = degrees

    def call(self, clips, uniforms):
        count, frames, height, width, channels = clips.shape
        angles = (2 * uniforms - 1) * (self.degrees * math.pi / 180)
        # Pixels lead: each is read once with all its frames and channels.
        pixels = ops.reshape(ops.transpose(clips, (0, 2, 3, 1, 4)), (-1, frames * channels))
        first = ops.arange(count, dtype="int32")[:, None] * (height * width)
        turned = 0.0
        for rows, columns, weights in _neighbours(angles, height, width):
            index = first + ops.cast(rows * width + columns, "int32")
            read = ops.take(pixels, ops.reshape(index, (-1,)), axis=0)
            turned = turned + ops.reshape(weights, (-1, 1)) * read
        turned = ops.reshape(turned, (count, height, width, frames, channels))
        return ops.transpose(turned, (0, 3, 1, 2, 4))


def _neighbours(angles, height: int, width: int):
    """Row, column and weight, each `(N, height * width)`, of the four pixels behind each pixel."""
    middle = ((height - 1) / 2, (width - 1) / 2)
    places = np.indices((height, width), np.float32).reshape(2, -1)
    y, x = (ops.convert_to_tensor(a - m) for a, m in zip(places, middle, strict=True))
    cosine, sine = ops.cos(angles), ops.sin(angles)
    along_rows = _pair(cosine * y - sine * x + middle[0], height)
    along_columns = _pair(sine * y + cosine * x + middle[1], width)
    for row, row_weight in along_rows:
        for column, column_weight in along_columns:
            yield row, column, row_weight * column_weight


def _pair(positions, length: int):
    """The whole positions on both sides, and the weight of each."""
    inside = ops.clip(positions, 0, length - 1)
    before = ops.floor(inside)
    after = ops.minimum(before + 1, length - 1)
    return (before, 1 - (inside - before)), (after, inside - before)
