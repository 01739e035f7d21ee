"""The error of a heatmap that is estimated from samples: one measure for all methods."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def relative_error(error: ArrayLike, heatmap: ArrayLike) -> float:
    """Root mean square of an error over the pixels, relative to the heatmap's standard deviation.

    At 0.1, the error has a hundredth of the heatmap's variance; noise alone has about 1.

    Args:
        error: `(T, H, W)`, the error of each pixel: its standard error, a bound, or the difference
            from another heatmap.
        heatmap: `(T, H, W)`, in any unit.

    Returns:
        From 0; 1 for the error of a constant heatmap.

    Example:
        >>> relative_error([[[1.0, -1.0]]], [[[5.0, 25.0]]])
        0.1
    """
    size = float(np.std(np.asarray(heatmap, np.float64)))
    distance = float(np.sqrt(np.mean(np.square(np.asarray(error, np.float64)))))
    return distance / size if size else float(distance > 0)


def check_tolerance(tolerance: float | None) -> None:
    """ValueError for a tolerance that is neither None nor above 0."""
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"Expected a tolerance above 0. Received: {tolerance}.")


def most_samples(
    name: str,
    samples: int | None,
    tolerance: float | None,
    max_samples: int | None,
    *,
    fixed: int,
    most: int,
) -> int:
    """The largest number of samples that a method draws.

    Args:
        name: Name of the option `samples`, for messages.
        samples: Number of samples, without a tolerance; None means `fixed`.
        tolerance: None draws a fixed number.
        max_samples: Maximum number of samples with a tolerance; None means `most`.
        fixed: Default of `samples`.
        most: Default of `max_samples`.

    Raises:
        ValueError: A tolerance that is not above 0, or options that contradict each other.
    """
    check_tolerance(tolerance)
    if tolerance is None and max_samples is not None:
        raise ValueError(f"Expected max_samples with a tolerance. Received: {max_samples} alone.")
    if tolerance is not None and samples is not None:
        raise ValueError(
            f"Expected {name} or a tolerance, which decides their number up to max_samples. "
            f"Received: {name}={samples} and tolerance={tolerance}."
        )
    given, default = (samples, fixed) if tolerance is None else (max_samples, most)
    return default if given is None else given


class BatchSpread:
    """The standard error of a mean heatmap, by the spread of the heatmaps of equal batches.

    Holds two maps, however many batches there are.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.batches = 0
        self._sum, self._squares = np.zeros(shape), np.zeros(shape)

    def add(self, heatmap: NDArray) -> None:
        """Adds the heatmap of one batch."""
        self.batches += 1
        self._sum += heatmap
        self._squares += np.square(heatmap, dtype=np.float64)

    def relative_error(self, heatmap: NDArray[np.float64]) -> float | None:
        """Of the mean of all batches, relative to a heatmap; None of fewer than two batches."""
        if self.batches < 2:
            return None
        spread = self._squares - self._sum**2 / self.batches
        standard_error = np.sqrt(np.maximum(spread, 0) / (self.batches - 1) / self.batches)
        return relative_error(standard_error, heatmap)


def error_settings(
    error: float | None, tolerance: float | None, max_samples: int | None = None
) -> dict[str, float | bool | None]:
    """The error and, if there is one, the tolerance, for an attribution's settings."""
    statement: dict[str, float | bool | None] = {"standard_error": error}
    if tolerance is not None:
        statement |= {
            "tolerance": tolerance,
            "max_samples": max_samples,
            "within_tolerance": error is not None and error <= tolerance,
        }
    return statement
