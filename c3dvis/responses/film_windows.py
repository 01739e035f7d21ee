"""How filters of a layer respond in each of many windows of one long film."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from c3dvis.clips import showing
from c3dvis.clips.reading import Excerpt, excerpts
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives.terms import layer_name
from c3dvis.pages.windows import Series
from c3dvis.responses.sweeps import USUAL_SHAPE, sweep
from c3dvis.responses.unit_responses import checked_units, row_of
from c3dvis.text import number

__all__ = ["FilmResponses", "film_responses"]

# Windows of a filter that a notebook shows.
_SHOWN = 4


@dataclass(frozen=True, eq=False)
class FilmResponses:
    """The responses of filters of a layer to windows of a film; a notebook shows the strongest.

    Attributes:
        layer: Name of the layer.
        channels: Index of each filter.
        values: float32 `(windows, len(channels))`, the mean of a filter's activation over the
            places of its layer.
        windows: The windows in order of time, each with its `clip`, `frames` and `seconds`.
    """

    layer: str
    channels: tuple[int, ...]
    values: NDArray[np.float32]
    windows: tuple[Excerpt, ...] = field(repr=False)

    def __repr__(self) -> str:
        filters = f"{len(self.channels)} filters"
        return f"FilmResponses({self.layer!r}, {filters}, {len(self.windows)} windows)"

    def series(self, channel: int) -> Series:
        """The values of one filter in the order of time."""
        values = self.values[:, row_of(channel, self.channels)].astype(np.float64)
        return Series(f"filter {channel}", values, "mean activation")

    def strongest(self, channel: int, count: int = 4) -> list[int]:
        """Numbers of the windows that excite a filter most, in the order of time."""
        return self.series(channel).strongest(count)

    def _repr_html_(self) -> str:
        shown, captions = [], []
        for channel in self.channels:
            values = self.series(channel).values
            for i in self.strongest(channel, _SHOWN):
                one = self.windows[i]
                when = f"{one.seconds_in_words} s" if one.seconds else f"from frame {one.span[0]}"
                captions.append(f"filter {channel}: {number(float(values[i]))}, {when}")
                shown.append(one.clip)
        return showing.row(shown, captions)


def film_responses(
    network: keras.Model,
    film: str | os.PathLike[str],
    layer: str,
    *,
    windows: int,
    channels: Sequence[int] | int | None = None,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    start: int | str = 0,
    step: int | None = None,
    short: str | None = None,
    preprocess: Callable | None = None,
    batch_size: int = 4,
) -> FilmResponses:
    """How filters respond in each of many windows of one film.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        film: A video, an animated picture or a folder of frames; it is decoded once.
        layer: Name of one of its layers, or `objectives.LOGITS` for the scores of classes.
        windows: Number of clips, from equal parts of the film; with `step` they slide over it.
        channels: Indices of the filters, or one index; None means all.
        frames: Frames per clip; None means what the network takes, or 16.
        size: Height and width of the clips; None means what the network takes, or 112.
        start: See `c3dvis.clips.read`.
        step: Frames from one frame of a clip to the next. With it the clips begin at equal
            distances, so that many of them overlap; without it the film is cut into equal parts,
            and each clip's frames are spread evenly over its part.
        short: See `c3dvis.clips.read`; for films with too few frames.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Number of clips per batch.

    Raises:
        ValueError: A film that can't be read or is too short, an unknown layer or filter.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from c3dvis import clips, models, responses
        >>> from c3dvis.motion import MovingEvidence
        >>> network = models.build("c3d-motion")
        >>> several = MovingEvidence(seed=1).batch(0, 2).clips
        >>> with TemporaryDirectory() as folder:
        ...     film = f"{folder}/film.mp4"
        ...     clips.write(film, several.reshape(32, 64, 64, 3))
        ...     film_maps = responses.film_responses(network, film, "conv2", windows=3, step=1)
        >>> film_maps
        FilmResponses('conv2', 16 filters, 3 windows)
        >>> film_maps.windows[1].span
        (8, 23)
    """
    if windows < 1:
        raise ValueError(f"Expected 1 window or more. Received: {windows}.")
    network, layer = one_input(network, scaled=preprocess is None), layer_name(layer)
    taken, height, width, depth = clip_shape(network, frames=frames, size=size, default=USUAL_SHAPE)
    read = excerpts(
        film, windows, frames=taken, size=(height, width), start=start, step=step, short=short
    )
    read = [one.with_channels(depth) for one in read]
    (responses,) = of_windows(
        network, read, {layer: channels}, preprocess=preprocess, batch_size=batch_size
    )
    return responses


def of_windows(
    network: keras.Model,
    windows: Sequence[Excerpt],
    chosen: Mapping[str, Sequence[int] | int | None],
    *,
    preprocess: Callable | None = None,
    batch_size: int = 4,
) -> list[FilmResponses]:
    """The responses of several layers to windows that are read, from one pass.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        windows: Windows of a film.
        chosen: The filters of each layer; None means all.
        preprocess: See `film_responses`, as for `batch_size`.

    Raises:
        ValueError: An unknown layer or filter.
    """
    clips = [one.clip for one in windows]
    swept = sweep(
        network,
        clips,
        layers=list(chosen),
        preprocess=preprocess,
        batch_size=batch_size,
        verbose=0,
    )
    results = []
    for layer, channels in chosen.items():
        scores = swept[layer].scores.astype(np.float32)
        shown = checked_units(layer, scores.shape[1], channels)
        results.append(FilmResponses(layer, tuple(shown), scores[:, shown], tuple(windows)))
    return results
