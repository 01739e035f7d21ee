"""The clips of an audit with film, class and actor, read one at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips as clips_room
from c3dvis import identity
from c3dvis.audit.actor import Actor, NoActor, find_actor
from c3dvis.audit.labels import class_numbers
from c3dvis.clips.reading import excerpt
from c3dvis.responses import clip_sources
from c3dvis.text import regular_expression


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Clips that can be read by index.

    Attributes:
        names: Names of the clips.
        labels: Class index of each clip.
        films: Film of each clip.
        shape: `(T, H, W, C)` of a clip.
        given: The clips.
        masks: A folder, or one mask per clip; None detects what moves.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...]
    films: tuple[str, ...]
    shape: tuple[int, int, int, int]
    given: clip_sources.Clips
    masks: Path | Sequence[ArrayLike] | None = None

    def clip(self, index: int) -> NDArray[np.float32]:
        """A clip, as the network takes it; ValueError if it can't be read."""
        one = next(self.given.start_at(index))
        if one.clip is None:
            raise ValueError(one.error)
        clip = one.clip
        if self.shape[3] == 1 and clip.shape[3] == 3:
            clip = clip.mean(axis=-1, keepdims=True)
        return clips_room.check(clip, self.shape)

    def actor(self, index: int, clip: NDArray[np.float32]) -> Actor:
        """The actor of a clip; NoActor where there is none, ValueError for an unfit mask."""
        if self.masks is None:
            return find_actor(clip)
        if isinstance(self.masks, Path):
            return find_actor(clip, _read_mask(self.masks, self.names[index], self.shape))
        return find_actor(clip, np.asarray(self.masks[index], np.float32))

    @property
    def identity(self) -> Any:
        """What identifies the clips, classes, films and masks, as JSON."""
        clips: Any = self.given.identity
        if "arrays" in clips:
            clips = [identity.sha256(self.clip(index)) for index in range(len(self.names))]
        masks: Any = self.masks
        if isinstance(masks, Path):
            masks = [[str(p), p.stat().st_size] for p in sorted(masks.rglob("*")) if p.is_file()]
        return [clips, list(self.labels), list(self.films), self.shape, identity.described(masks)]


def clip_set(
    clips: Any,
    labels: Mapping[str, str | int] | Sequence[str | int] | None,
    *,
    shape: tuple[int, int, int, int],
    class_names: Sequence[str] | None,
    class_count: int,
    masks: str | os.PathLike[str] | Sequence[ArrayLike] | None,
    source: str | None,
) -> ClipSet:
    """Clips with their classes, films and masks; the arguments are those of `audit`.

    Raises:
        ValueError: Invalid clips, classes, masks or pattern.
    """
    if hasattr(clips, "element_spec") or hasattr(clips, "num_batches"):
        raise ValueError(
            "Expected a folder, files or arrays, as each clip is read by itself. "
            f"Received: {type(clips).__name__}."
        )
    frames, height, width, channels = shape
    given = clip_sources.of(clips, frames=frames, size=(height, width), channels=channels)
    listed = given.identity.get("files")
    count = given.count or 0
    names = [str(i) for i in range(count)] if listed is None else [name for name, _ in listed]
    if listed is None and (labels is None or isinstance(labels, Mapping)):
        raise ValueError("Expected labels, one for each clip. Received: none.")
    if masks is not None:
        if isinstance(masks, (str, os.PathLike)):
            masks = Path(masks)
            if not masks.is_dir():
                raise ValueError(f"Expected a folder of masks. Received: {str(masks)!r}.")
        elif len(masks) != count:
            raise ValueError(f"Expected a mask for each of {count} clips. Received: {len(masks)}.")
    return ClipSet(
        names=tuple(names),
        labels=tuple(class_numbers(names, labels, class_names, class_count)),
        films=_films(names, source),
        shape=shape,
        given=given,
        masks=masks,
    )


def _films(names: Sequence[str], source: str | None) -> tuple[str, ...]:
    """The film of each clip: what a pattern matches in its name, or the name."""
    if source is None:
        return tuple(names)
    pattern = regular_expression(source)
    matches = [pattern.search(name) for name in names]
    missing = [name for name, one in zip(names, matches, strict=True) if one is None]
    if missing:
        raise ValueError(
            f"Expected a pattern that is in each clip's name. Received: {source!r}, which is not "
            f"in {missing[0]!r}."
        )
    return tuple((one.group(1) if pattern.groups else one.group()) or "" for one in matches if one)


def _read_mask(folder: Path, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """The mask of a clip's name, with any ending: a film as long as the clip, or one picture."""
    path = folder / name
    if not path.exists():
        siblings = sorted(path.parent.glob("*")) if path.parent.is_dir() else []
        matches = [one for one in siblings if path.stem in (one.stem, one.name)]
        if not matches:
            raise NoActor(f"there is no mask for it in {folder}")
        path = matches[0]
    read = excerpt(path, frames=shape[0], size=(shape[1], shape[2]), short="hold")
    return read.clip.mean(axis=-1)
