"""Heatmap functions to score: from a user's Python file, or methods of the package."""

from __future__ import annotations

import inspect
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.attribution import attribute
from c3dvis.attribution.result import Attribution
from c3dvis.bench.names import EXPECTED_FILE, FUNCTION, RANDOM, SMOOTHED, method_of
from c3dvis.text import in_one_line

# Of a network, a clip `(T, H, W, 3)` in [0, 1] and the index of a class: `(T, H, W)`.
Heatmap = Callable[[keras.Model, NDArray[np.float32], int], NDArray]


def heatmaps_of(names: Iterable[str]) -> dict[str, Heatmap]:
    """Functions by name: of Python files, and of methods of the package.

    Args:
        names: Each a file that ends in `.py` and defines `heatmap(network, clip, target)`; a
            method's name in any spelling, with `_smoothed` behind it for `Attribution.smoothed`;
            or "random map".

    Raises:
        ValueError: A file that isn't there, doesn't run or has no such function; an unknown
            method, or one that finds frames and draws no heatmap.

    Example:
        >>> heatmaps_of(["random map"])["random map"](None, np.zeros((2, 4, 4, 3)), 0).shape
        (2, 4, 4)
    """
    methods: dict[str, _Method] = {}
    functions: dict[str, Heatmap] = {}
    for name in names:
        method = method_of(name)
        if method is None:
            functions[name] = _random if name == RANDOM else of_file(Path(name))
        else:
            own = methods.setdefault(method, _Method(method))
            functions[name] = own.smoothed if name.endswith(SMOOTHED) else own.heatmap
    return functions


def of_file(path: Path) -> Heatmap:
    """The function `heatmap(network, clip, target)` that a Python file defines.

    The file is run like any program: it can import modules next to it.
    """
    sys.path.insert(0, str(path.resolve().parent))
    try:
        function = runpy.run_path(str(path)).get(FUNCTION)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{EXPECTED_FILE} Received: {path}, {_error_text(error, path)}."
        ) from error
    if not callable(function):
        raise ValueError(f"{EXPECTED_FILE} Received: {path}, which has none.")
    try:
        inspect.signature(function).bind(None, None, 0)
    except TypeError as error:
        raise ValueError(f"{EXPECTED_FILE} Received: one where {in_one_line(error)}.") from error
    return partial(_checked_heatmap, function=function, path=path)


def _checked_heatmap(network, clip, target, *, function: Callable, path: Path) -> NDArray:
    """The heatmap of a user's function; ValueError unless it has the clip's shape."""
    expected = f"Expected {FUNCTION} of {path} to give finite numbers of shape {clip.shape[:3]}."
    try:
        heat = np.asarray(function(network, clip.copy(), target), np.float64)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{expected} Received: a function that {_error_text(error, path)}."
        ) from error
    if heat.shape != clip.shape[:3]:
        raise ValueError(f"{expected} Received: shape {heat.shape}.")
    wrong = int(np.count_nonzero(~np.isfinite(heat)))
    if wrong:
        raise ValueError(f"{expected} Received: {wrong} NaN or infinite values.")
    return heat


def _error_text(error: BaseException, path: Path) -> str:
    """Describes an error of a user's file, with the line."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path
    ]
    lines += [error.lineno] if isinstance(error, SyntaxError) else []
    where = f" in line {lines[-1]}" if lines else ""
    return f"fails{where} with {type(error).__name__}: {in_one_line(error)}".rstrip(".")


class _Method:
    """A method of attribution; what it gives for the latest clip serves both of its heatmaps."""

    def __init__(self, method: str):
        self.method = method
        self._arguments: tuple = ()
        self._attribution: Attribution | None = None

    def heatmap(self, network, clip, target) -> NDArray[np.float32]:
        return self._explain(network, clip, target).heatmap

    def smoothed(self, network, clip, target) -> NDArray[np.float32]:
        return self._explain(network, clip, target).smoothed().heatmap

    def _explain(self, network, clip, target) -> Attribution:
        arguments = network, clip, target
        if self._attribution is None or any(
            a is not b for a, b in zip(arguments, self._arguments, strict=True)
        ):
            attribution = attribute(network, clip, objectives.logit(target), method=self.method)
            assert isinstance(attribution, Attribution)  # of one clip by one method
            self._arguments, self._attribution = arguments, attribution
        return self._attribution


def _random(network, clip, target) -> NDArray[np.float64]:
    # From the clip itself, so that every clip has its own and a second run the same.
    seed = np.frombuffer(np.ascontiguousarray(clip, np.float32).tobytes()[-64:], np.uint32)
    return np.random.default_rng(seed).random(clip.shape[:3])
