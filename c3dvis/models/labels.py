"""Class names: published lists, text files, and the top classes of a prediction."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from c3dvis import files
from c3dvis.objectives.terms import in_order, names_of_classes

if TYPE_CHECKING:
    import keras

_MAXIMUM_BYTES = 2**20  # of a text file of class names


def read_labels(path: str | os.PathLike, count: int | None = None) -> tuple[str, ...]:
    """Class names from a text file (UTF-8), one per line.

    Args:
        path: The file.
        count: Expected number of names; None for any number.

    Raises:
        ValueError: If it is not a text file, or has a different number of lines.
    """
    try:
        lines = _text(Path(path)).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = files.why_unread(path, error)
        raise ValueError(f"Expected a text file of labels. Received: '{path}', {why}.") from None
    if not lines[-1]:
        lines.pop()
    if count is not None and len(lines) != count:
        raise ValueError(
            f"Expected {count} labels, one per line, one for each class of the network. "
            f"Received: {len(lines)} in {path}."
        )
    return tuple(lines)


def _text(path: Path) -> str:
    """The file's text, lines ended by newlines; devices and pipes, which may never end, refused."""
    if path.exists() and not path.is_file():
        raise OSError("not a file")
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(_MAXIMUM_BYTES + 1)
    if len(text) > _MAXIMUM_BYTES:
        raise OSError(f"more than {_MAXIMUM_BYTES:,} characters")
    return text


def decode_predictions(
    predictions: ArrayLike,
    top: int = 5,
    *,
    class_names: Sequence[str] | str | os.PathLike | keras.Model | None = None,
) -> list[list[tuple[int, str, float]]]:
    """The top classes of each clip, in the format of `decode_predictions` of `keras.applications`.

    Args:
        predictions: `(N, classes)`, a network's output: scores, higher is better.
        top: Classes per clip; all where there are fewer.
        class_names: In the order of the outputs, or the network that has them as `class_names`; or
            "kinetics400", the 400 classes of I3D and of torchvision's networks; or a text file with
            one per line. None, as of a network without them, is "class 0", "class 1", ...

    Returns:
        A list per clip of `(index, name, score)`, best first; equal scores in the order of classes.

    Raises:
        ValueError: If the shape is wrong, a score is NaN, or the number of names differs.

    Example:
        >>> from c3dvis import models
        >>> models.decode_predictions([[0.1, 0.7, 0.2]], 2, class_names=("wave", "clap", "jump"))
        [[(1, 'clap', 0.7), (2, 'jump', 0.2)]]
    """
    try:
        scores = np.asarray(predictions, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"Expected predictions (N, classes) of numbers. Received: {predictions!r:.60}."
        ) from None
    if scores.ndim != 2:
        raise ValueError(f"Expected predictions (N, classes). Received: shape {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"Expected numbers. Received: {int(np.isnan(scores).sum())} NaN.")
    if not isinstance(top, (int, np.integer)) or top < 1:
        hint = "" if isinstance(top, numbers.Real) else "; class_names= takes a network or names"
        raise ValueError(f"Expected 1 class per clip or more. Received: top={top!r}{hint}.")
    names = _names(class_names, scores.shape[1])
    if len(names) != scores.shape[1]:
        raise ValueError(
            f"Expected {scores.shape[1]} class names, one per output. Received: {len(names)}."
        )
    best = np.argsort(-scores, axis=-1, kind="stable")[:, :top]
    return [
        [(int(index), names[index], float(row[index])) for index in order]
        for row, order in zip(scores, best, strict=True)
    ]


def _names(class_names: Any, count: int) -> Sequence[str]:
    if hasattr(class_names, "layers"):
        class_names = names_of_classes(class_names)
    if class_names is None:
        return [f"class {i}" for i in range(count)]
    if isinstance(class_names, str) and class_names == "kinetics400":
        return KINETICS_400
    if isinstance(class_names, (str, os.PathLike)):
        return read_labels(class_names)
    return in_order(class_names)


# The 400 classes of Kinetics in the order of I3D's outputs: `label_map.txt` of
# https://github.com/google-deepmind/kinetics-i3d (Apache-2.0), SHA-256
# e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f, which is that of the alphabet.
# torchvision 0.29 lists the same names in the same order for its networks of Kinetics-400.
KINETICS_400 = read_labels(Path(__file__).with_name("kinetics400.txt"), 400)
