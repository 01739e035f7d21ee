"""What is asked of a segmentation network: a class where the network sees it, or in a region."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis import objectives
from c3dvis.models import layers
from c3dvis.objectives.terms import class_index

Region = tuple[slice, slice, slice]


def target(
    network: keras.Model,
    clip: NDArray[np.float32],
    chosen: str | None,
    *,
    region: Region | None = None,
    preprocess: Callable | None = None,
) -> objectives.Objective:
    """A class, by the mean of its scores over some places.

    Args:
        network: One that gives classes for each place, see `c3dvis.models.chosen.segments`.
        clip: float32 `(T, H, W, C)` in [0, 1].
        chosen: The class, by name or index; None is the one that the network sees in most places,
            the first, which is the background where there are several, left out.
        region: Of the output; None is where the network sees the class.
        preprocess: As `attribute` takes it.

    Raises:
        ValueError: A class that isn't there, or is nowhere seen; a region outside.
    """
    given = clip[None] if preprocess is None else preprocess(clip[None])
    scores = network.predict(given, verbose=0)[0]
    several = scores.shape[-1] > 1 and layers.output_activation(network) == "softmax"
    labels = scores.argmax(axis=-1)
    names = getattr(network, "class_names", None)
    if chosen is None:
        counts = np.bincount(labels.ravel(), minlength=scores.shape[-1])[1:] if several else ()
        index = 1 + int(np.argmax(counts)) if several else 0
    elif chosen.isascii() and chosen.isdigit() and chosen not in (names or ()):
        index = int(chosen)
    else:
        index = class_index(chosen, names)
    if not index < scores.shape[-1]:
        raise ValueError(f"Expected a class from 0 to {scores.shape[-1] - 1}. Received: {index}.")
    if region is not None:
        places = np.zeros(labels.shape, bool)
        places[region] = True
    else:
        places = labels == index if several else scores[..., index] > 0.5
    if not places.any():
        what = f"class {index if names is None else names[index]!r}, which it sees nowhere"
        what = what if region is None else f"a region outside of its {labels.shape}"
        raise ValueError(
            "Expected a class that the network sees in the clip, or a region of what it gives. "
            f"Received: {what}."
        )
    where = places if region is None else region
    return objectives.logit(index if names is None else names[index], where=where)
