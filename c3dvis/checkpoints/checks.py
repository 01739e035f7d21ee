"""Checks of weight files besides names: formats, shapes, values, and layers left untrained."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from c3dvis import files
from c3dvis.text import in_one_line, in_short

_NORMALIZATION = re.compile(r"batch_?norm|(^|_)bn(_|$|\d)", re.IGNORECASE)
# Not converted here: whether kernels are reversed depends on the backend that wrote the file, not
# on its shapes, and fc6 would have to be permuted too. A wrong guess would load without a word.
THEANO_ADVICE = (
    "Kernels in Theano's manner have to be converted first: transpose (out, in, frames, rows, "
    "columns) to (frames, rows, columns, in, out), reverse all three directions if Theano ran "
    "them, and permute the rows of fc6 from channels first to channels last."
)


def unreadable(path: Path, expected: str) -> ValueError:
    """The error for a file of unknown format."""
    if path.is_dir():
        what = "is a folder"
    elif not path.exists():
        what = files.absent(path)
    elif not path.stat().st_size:
        what = "is empty"
    else:
        with path.open("rb") as file:
            head = file.read(40)
        if head.startswith(b"PK"):
            what = "is a zip archive of something else, or cut short"
        elif head.isascii():
            page = "; is it a web page? It" if head.lstrip().startswith(b"<") else " and"
            what = f"is not an HDF5 file{page} begins with {head.decode()!r}"
        else:
            what = f"is not an HDF5 file or any other of these; it begins with {head[:12]!r}"
    return ValueError(f"Expected {expected}. Received: '{path}', which {what}.")


def damaged(path: Path, expected: str, reason: BaseException) -> ValueError:
    """The error for a file that begins like one of a known format but can't be read."""
    what = in_one_line(reason) or type(reason).__name__
    return ValueError(
        f"Expected {expected}. Received: '{path}', which is cut short or damaged ({what:.300})."
    )


def is_dense(layer) -> bool:
    """Whether a layer is fully connected."""
    return type(layer).__name__ == "Dense"


def check_shape(layer: str, variable, name: str, shape: tuple[int, ...], path: str) -> None:
    """Compares the shape of a weight in a file with the network's, before it is read."""
    expected = tuple(variable.shape)
    if shape == expected:
        return
    message = (
        f"Expected shape {expected} for the {variable.name} of layer {layer!r}. "
        f"Received: {shape} ({name!r} in '{path}')."
    )
    if len(expected) == 5 and shape == (expected[4], expected[3], *expected[:3]):
        message += f" {THEANO_ADVICE}"
    raise ValueError(message)


def refuse_unused_normalization(network, unused: Iterable[str], path: str) -> None:
    """Refuses batch normalization that the network lacks: its results would be different."""
    lost = [name for name in unused if _NORMALIZATION.search(name)]
    if lost and not any(_NORMALIZATION.search(type(layer).__name__) for layer in network.layers):
        raise ValueError(
            "Expected the weights of a network without batch normalization. Received: "
            f"'{path}' with {in_short(lost)}; load it into the network that was trained (C3D: "
            "batch_normalization=True), then use fold_batch_normalization."
        )


def check_finite(layer: str, value: np.ndarray, path: str) -> None:
    """Refuses NaN and infinite weights, naming the layer."""
    wrong = value.size - np.count_nonzero(np.isfinite(value))
    if wrong:
        raise ValueError(
            f"Expected finite weights. Received: {wrong} NaN or infinite of {value.size} values "
            f"in layer {layer!r} of '{path}'."
        )


def warn_unconverted(network, missing: Iterable[str]) -> None:
    """Warns of fully connected layers that a file lacks, or has at their initial values."""
    untrained = {name: "not in the file" for name in missing}
    for layer in network.layers:
        if is_dense(layer) and layer.name not in untrained:
            state = _initial_state([np.asarray(value) for value in layer.get_weights()])
            if state is not None:
                untrained[layer.name] = state
    if untrained:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in untrained.items())
        message = f"Layers that look never trained or never converted: {reasons}."
        if "fc6" in untrained or "fc8" in untrained:
            message += (
                " A published converter of C3D's weights transfers no fully connected layer, and "
                "another forgets to permute the rows of fc6 from channels first to channels last; "
                "class scores mean nothing then."
            )
        warnings.warn(message, stacklevel=4)  # the caller of models.load_weights


def _initial_state(values: Sequence[np.ndarray]) -> str | None:
    """Why weights look untouched: all zero, or as Glorot's uniform initializer leaves them."""
    if not any(value.any() for value in values):
        return "all zeros"
    if len(values) != 2 or values[1].any():
        return None
    kernel = np.asarray(values[0], np.float32)
    limit = np.sqrt(6 / sum(kernel.shape))
    # The deviation of n uniform draws strays from limit / sqrt(3) by about 0.45 / sqrt(n).
    tolerance = max(0.01, 3 * 0.45 / np.sqrt(kernel.size))
    as_drawn = abs(kernel.std() * np.sqrt(3) / limit - 1) < tolerance
    if as_drawn and np.abs(kernel).max() <= limit * (1 + 1e-6):
        return "still at its initial scale, with a bias of zeros"
    return None
