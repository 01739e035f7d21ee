"""Real clips for comparison with synthetic ones, from a sweep of a folder of videos.

real/sweep-1f0c35a2/        responses of some layers; a stopped sweep is resumed
real/conv3b/7-0.gif  .jpg   the clip with the unit's highest activation
real/conv3b/7-weak-0.gif    the clip with its lowest activation; .jpg
real.json                   names of the clips and the unit's scores for them
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from c3dvis import files, identity, objectives, pages, responses, stored
from c3dvis.gallery.plan import CLASSES, Section, Unit, units_of
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices
from c3dvis.responses import clip_sources
from c3dvis.responses.sweep_result import Sweep, ranked, read_folder
from c3dvis.text import counted

if TYPE_CHECKING:  # pages are written without Keras
    import keras

FOLDER = "real"
_NAME = "real.json"
# Number of clips shown of each unit, strongest and weakest.
_CLIPS, _WEAKEST = 4, 2
# Maximum size of the clips that `draw` reads.
_MAX_BYTES = 2**29


@dataclass(frozen=True)
class RealClip:
    """A real clip with the highest, or lowest, activation of a unit.

    Attributes:
        name: Path of the clip below the folder.
        score: Score of the gallery's objective for it.
        gif: Path of its GIF inside the gallery.
        strip: Path of its film strip; None if it is too wide for one.
        shape: Frames, height and width of the strip.
    """

    name: str
    score: float
    gif: str
    strip: str | None
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class RealClips:
    """The real clips of a gallery.

    Attributes:
        folder: Name of their folder.
        count: Number of clips swept.
        units: By layer and channel, the strongest clips of each unit, best first.
        weakest: By layer and channel, the weakest clips, lowest first, without the strongest; not
            there after a sweep of an earlier version.
    """

    folder: str
    count: int
    units: Mapping[tuple[str, int], tuple[RealClip, ...]]
    weakest: Mapping[tuple[str, int], tuple[RealClip, ...]] = field(default_factory=dict)

    def knows(self, unit: Unit) -> bool:
        """Whether the clips of a unit are complete."""
        key = (unit.layer, unit.channel)
        return bool(self.units.get(key)) and key in self.weakest


@dataclass(frozen=True)
class SweptClips:
    """The swept clips of a gallery, which are read from their folder on demand.

    Attributes:
        network: Network of the gallery.
        settings: Settings of the gallery.
        folder: Folder of videos.
        swept: The responses to them.
    """

    network: keras.Model
    settings: Settings
    folder: str | Path
    swept: Sweep

    def strongest(self, section: Section) -> list[responses.UnitClips]:
        """The strongest and weakest clips of the units of a section."""
        channels = [unit.channel for unit in section.units]
        return responses.unit_clips(
            self.network,
            self.swept,
            self.folder,
            layer_of(section),
            channels,
            frames=self.settings.frames,
            size=self.settings.size,
        )

    def draw(self, max_count: int) -> tuple[Sweep, NDArray[np.float32]]:
        """Up to `max_count` random clips `(N, T, H, W, 3)`, and the responses to them."""
        from c3dvis.models.clip_shapes import clip_shape
        from c3dvis.responses.sweeps import USUAL_SHAPE

        frames, height, width, channels = clip_shape(
            self.network,
            frames=self.settings.frames,
            size=self.settings.size,
            default=USUAL_SHAPE,
        )
        order = np.random.default_rng(0).permutation(len(self.swept.names))
        rows = np.sort(order[: min(max_count, _MAX_BYTES // (12 * frames * height * width))])
        names = [self.swept.names[row] for row in rows]
        read = clip_sources.of(
            self.folder, frames=frames, size=(height, width), channels=channels
        ).named(names)
        layers = {
            name: replace(layer, scores=layer.scores[rows]) for name, layer in self.swept.items()
        }
        sources = tuple(self.swept.sources[row] for row in rows)
        return Sweep(tuple(names), sources, {}, layers), np.stack([read[name] for name in names])


def add(
    network: keras.Model,
    settings: Settings,
    sections: Sequence[Section],
    out: Path,
    folder: str | Path,
    *,
    report: Callable[[str], None],
    bar: bool = False,
) -> SweptClips:
    """Sweeps a folder of clips and writes the strongest and weakest ones of each unit.

    Args:
        network: Network of the gallery.
        settings: Settings of the gallery.
        sections: Sections of the gallery.
        out: Folder of the gallery.
        folder: Folder of videos.
        report: Called with a line for each stage.
        bar: Whether to show the progress, with the time left.

    Returns:
        The swept clips, for comparison with synthetic ones.

    Raises:
        ValueError: If the folder holds no videos, or the gallery has real clips of another folder.
        OSError: If a file cannot be written.
    """
    known, name = read(out), Path(folder).resolve().name
    if known is not None and known.folder != name:
        raise ValueError(
            f"Expected the real clips that {out} was given before, of {known.folder!r}. "
            f"Received: {name!r}; choose another folder with --out."
        )
    report(f"sweeping the clips of {folder}")
    swept = _sweep(network, settings, sections, out, folder, bar)
    report(f"swept {counted(len(swept.names), 'clip')}, {len(swept.failed)} could not be read")
    swept_clips = SweptClips(network, settings, folder, swept)
    if known is not None and all(map(known.knows, units_of(sections))):
        return swept_clips
    shown = {} if known is None else dict(known.units)
    weakest = {} if known is None else dict(known.weakest)
    for section in sections:
        for unit, one in zip(section.units, swept_clips.strongest(section), strict=True):
            key, fps = (unit.layer, unit.channel), settings.fps
            shown[key] = _write(out, unit, one.strongest, fps)
            names = {clip.name for clip in one.strongest}
            weak = [clip for clip in one.weakest if clip.name not in names][:_WEAKEST]
            weakest[key] = _write(out, unit, weak, fps, prefix="weak-")
    real = RealClips(name, len(swept.names), shown, weakest)
    files.write_json(out / _NAME, _to_json(real))
    return swept_clips


def layer_of(section: Section) -> str:
    """The name of a section's layer in a sweep."""
    return objectives.LOGITS if section.layer == CLASSES else section.layer


def _sweep(
    network: keras.Model,
    settings: Settings,
    sections: Sequence[Section],
    out: Path,
    folder: str | Path,
    bar: bool,
) -> Sweep:
    """Responses to a folder's clips, with classes scored as the gallery's objective does."""
    from c3dvis.gallery import render

    layers = sorted(layer_of(section) for section in sections)
    # Units can be added to a gallery; each selection of layers has its own sweep.
    sweep_folder = out / FOLDER / f"sweep-{identity.sha256(layers)[:8]}"
    sweep_folder.mkdir(parents=True, exist_ok=True)
    swept = responses.sweep(
        network,
        folder,
        layers=layers,
        out=sweep_folder,
        top=_CLIPS,
        frames=settings.frames,
        size=settings.size,
        preprocess=choices.preprocess(settings.value_range),
        verbose="auto" if bar else 0,
    )
    has_classes = any(section.layer == CLASSES for section in sections)
    return _with_log_odds(swept) if has_classes and render.has_exclusive_classes(network) else swept


def read(out: Path) -> RealClips | None:
    """The real clips that `add` wrote; None if there are none."""
    try:
        values = stored.mapping(files.read_json(out / _NAME))
        folder, count = stored.text(values["folder"]), stored.count(values["count"])
        strongest, weakest = {}, {}
        for one in map(stored.mapping, stored.items(values["units"])):
            key = (stored.text(one["layer"]), stored.count(one["channel"]))
            strongest[key] = _clips(one["clips"])
            if one.get("weakest") is not None:  # earlier versions wrote none
                weakest[key] = _clips(one["weakest"])
        return RealClips(folder, count, strongest, weakest)
    except (KeyError, ValueError):  # missing or damaged
        return None


def sweeps(out: Path) -> list[Sweep]:
    """The finished sweeps of a gallery, each of some of its layers."""
    finished = []
    for folder in sorted((out / FOLDER).glob("sweep-*")):
        with contextlib.suppress(ValueError):
            finished.append(read_folder(folder))
    return finished


def _write(
    out: Path, unit: Unit, clips: Sequence[responses.UnitClip], fps: float, *, prefix: str = ""
) -> tuple[RealClip, ...]:
    (out / FOLDER / unit.folder).mkdir(exist_ok=True)
    written = []
    for rank, one in enumerate(clips):
        path = f"{FOLDER}/{unit.folder}/{unit.channel}-{prefix}{rank}"
        film = pages.film(out, path, one.marked(), one.name, fps=fps)
        written.append(RealClip(one.name, one.score, film.file, film.strip, film.shape))
    return tuple(written)


def _with_log_odds(swept: Sweep) -> Sweep:
    """A sweep with classes scored by the gallery's objective: logit plus log odds."""
    layer = swept[objectives.LOGITS]
    scores = _log_odds(layer.scores.astype(np.float32)) + layer.scores
    sources = np.unique(swept.sources, return_inverse=True)[1]
    strongest = ranked(scores, sources, _CLIPS)
    classes = replace(
        layer,
        scores=scores,
        strongest=strongest,
        weakest=ranked(-scores, sources, _CLIPS),
        peaks=scores[strongest, np.arange(scores.shape[1])],
        places=np.zeros((*strongest.shape, 3), np.int32),
    )
    return replace(swept, layers={**swept.layers, objectives.LOGITS: classes})


def _log_odds(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each logit minus the log-sum-exp of the others, `(N, classes)`."""
    others = np.where(np.eye(logits.shape[1], dtype=bool), -np.inf, logits[:, None])
    highest = others.max(axis=-1)
    return logits - highest - np.log(np.exp(others - highest[..., None]).sum(axis=-1))


def _to_json(real: RealClips) -> dict[str, Any]:
    units = []
    for key, clips in real.units.items():
        layer, channel = key
        one = {"layer": layer, "channel": channel, "clips": [asdict(clip) for clip in clips]}
        if key in real.weakest:
            one["weakest"] = [asdict(clip) for clip in real.weakest[key]]
        units.append(one)
    return {"folder": real.folder, "count": real.count, "units": units}


def _clips(values: Any) -> tuple[RealClip, ...]:
    return tuple(stored.dataclass_of(RealClip, one) for one in stored.items(values))
