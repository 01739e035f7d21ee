"""The names of classes: published lists, text files, and the best classes of a prediction."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

_ATTEMPTS = 2
_CACHE = "c3dvis"  # folder inside Keras's own, ~/.keras


@dataclass(frozen=True)
class LabelList:
    """A published list of class names, one a line.

    Attributes:
        url: Where it is downloaded from.
        sha256: Of the file.
    """

    url: str
    sha256: str


LISTS = {
    "kinetics400": LabelList(
        "https://raw.githubusercontent.com/google-deepmind/kinetics-i3d/master/data/label_map.txt",
        "e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f",
    ),
}


def labels(name: str) -> tuple[str, ...]:
    """A published list of class names, downloaded once and kept in Keras's folder.

    A file with another hash than the published one is deleted and downloaded once more.

    Args:
        name: "kinetics400", the 400 classes of I3D in the order of its outputs.

    Returns:
        The names, in the order of the outputs.

    Raises:
        ValueError: If the list is not known, or what is downloaded is another file.
        OSError: If it can't be downloaded.

    Example: (not run with the tests, as it downloads)
        >>> from c3dvis.models.labels import labels
        >>> labels("kinetics400")[0]  # doctest: +SKIP
        'abseiling'
    """
    if name not in LISTS:
        near = difflib.get_close_matches(str(name), LISTS, 3, 0.4) or list(LISTS)
        raise ValueError(
            f"Expected the name of a list of labels, such as {', '.join(map(repr, near))}. "
            f"Received: {name!r}."
        )
    return read_labels(_downloaded(f"{name}.txt", LISTS[name]))


def read_labels(path: str | os.PathLike, count: int | None = None) -> tuple[str, ...]:
    """Class names from a text file (UTF-8), one a line.

    Args:
        path: The file.
        count: How many there must be; None for any number.

    Raises:
        ValueError: If it is no text file, or has another number of lines.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Expected a text file of labels. Received: {path}: {error}") from None
    if count is not None and len(lines) != count:
        raise ValueError(
            f"Expected {count} labels, one a line, as the network has as many classes. "
            f"Received: {len(lines)} in {path}."
        )
    return tuple(lines)


def decode_predictions(
    predictions: ArrayLike,
    top: int = 5,
    *,
    class_names: Sequence[str] | str | os.PathLike,
) -> list[list[tuple[int, str, float]]]:
    """The best classes of each clip, as `decode_predictions` of `keras.applications` gives them.

    Args:
        predictions: `(N, classes)`, a network's output: scores, higher is better.
        top: Classes a clip; all where there are fewer.
        class_names: In the order of the outputs, such as `network.class_names`; or the name of a
            published list, "kinetics400" (downloaded once); or a text file with one a line.

    Returns:
        A list a clip of `(index, name, score)`, best first; equal scores in the order of classes.

    Raises:
        ValueError: If the shape is another, a score is NaN, or there are not as many names.

    Example:
        >>> from c3dvis import models
        >>> models.decode_predictions([[0.1, 0.7, 0.2]], 2, class_names=("wave", "clap", "jump"))
        [[(1, 'clap', 0.7), (2, 'jump', 0.2)]]
    """
    scores = np.asarray(predictions)
    if scores.ndim != 2:
        raise ValueError(f"Expected predictions (N, classes). Received: shape {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"Expected numbers. Received: {int(np.isnan(scores).sum())} NaN.")
    if top < 1:
        raise ValueError(f"Expected at least 1 class a clip. Received: top={top}.")
    names = _names(class_names)
    if len(names) != scores.shape[1]:
        raise ValueError(
            f"Expected {scores.shape[1]} class names, one an output. Received: {len(names)}."
        )
    best = np.argsort(-scores, axis=-1, kind="stable")[:, :top]
    return [
        [(int(index), names[index], float(row[index])) for index in order]
        for row, order in zip(scores, best, strict=True)
    ]


def _names(class_names: Sequence[str] | str | os.PathLike) -> Sequence[str]:
    if isinstance(class_names, str) and class_names in LISTS:
        return labels(class_names)
    if isinstance(class_names, (str, os.PathLike)):
        return read_labels(class_names)
    return class_names


def _downloaded(name: str, published: LabelList) -> Path:
    """The file in Keras's cache, from the network where it isn't there, with the right hash."""
    import keras

    received = ""
    for _ in range(_ATTEMPTS):
        try:
            path = Path(keras.utils.get_file(name, origin=published.url, cache_subdir=_CACHE))
        except Exception as reason:  # of no narrower class in Keras
            raise OSError(
                f"{published.url} could not be downloaded ({' '.join(str(reason).split())}); save "
                "it yourself and give the file in place of the name"
            ) from reason
        received = hashlib.sha256(path.read_bytes()).hexdigest()
        if received == published.sha256:
            return path
        path.unlink()  # in the cache from another time, or damaged on its way
    raise ValueError(
        f"Expected a file with the SHA-256 {published.sha256} from {published.url}. "
        f"Received: {received}, {_ATTEMPTS} times; it was deleted."
    )
