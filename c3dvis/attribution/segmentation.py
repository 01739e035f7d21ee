"""The objective for a segmentation network: a class where it is predicted, or in a region."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.models import layers
from c3dvis.objectives.terms import class_index, names_of_classes

Region = tuple[slice, slice, slice]


def class_objective(
    network: keras.Model,
    clip: NDArray[np.float32],
    class_name: str | None,
    *,
    region: Region | None = None,
    preprocess: Callable | None = None,
) -> objectives.Objective:
    """The mean logit of a class over the positions where it is predicted, or over a region.

    Args:
        network: A segmentation network, see `c3dvis.models.chosen.segments`.
        clip: float32 `(T, H, W, C)` in [0, 1].
        class_name: Name or index of the class; None means the one predicted in most places. Class 0
            of a softmax is the background and is left out.
        region: Frames, rows and columns of the output; None means where the class is predicted.
        preprocess: See `attribute`.

    Raises:
        ValueError: An unknown class, one that is predicted nowhere, or a region outside the output.
    """
    inputs = clip[None] if preprocess is None else preprocess(clip[None])
    scores = network.predict(inputs, verbose=0)[0]
    is_softmax = scores.shape[-1] > 1 and layers.output_activation(network) == "softmax"
    labels = scores.argmax(axis=-1)
    names = names_of_classes(network)
    if class_name is None:
        counts = np.bincount(labels.ravel(), minlength=scores.shape[-1])[1:] if is_softmax else ()
        index = 1 + int(np.argmax(counts)) if is_softmax else 0
    elif class_name.isascii() and class_name.isdigit() and class_name not in (names or ()):
        index = int(class_name)
    else:
        index = class_index(class_name, names)
    if not index < scores.shape[-1]:
        raise ValueError(f"Expected a class from 0 to {scores.shape[-1] - 1}. Received: {index}.")
    if region is not None:
        places = np.zeros(labels.shape, bool)
        places[region] = True
    else:
        places = labels == index if is_softmax else scores[..., index] > 0.5
    if not places.any():
        what = f"class {index if names is None else names[index]!r}, which is predicted nowhere"
        what = what if region is None else f"a region outside of its {labels.shape}"
        raise ValueError(
            "Expected a class that the network predicts in the clip, or a region of its output. "
            f"Received: {what}."
        )
    where = places if region is None else region
    return objectives.logit(index if names is None else names[index], where=where)
