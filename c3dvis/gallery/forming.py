"""Clips while they form: film strips that the page shows until the finished clips are there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from c3dvis import clips
from c3dvis.gallery.plan import Unit

# In the gallery's folder, and only while it is being made.
FOLDER = "forming"
# Seconds between two drawings; what is made in less is shown when it is finished.
_EVERY = 5
# Drawings whose files are kept.
_KEPT = 2


@dataclass(frozen=True)
class FormingClip:
    """A clip that is being made.

    Attributes:
        strip: Path of its film strip inside the gallery.
        shape: Frames, height and width.
        step: Steps that it has had.
    """

    strip: str
    shape: tuple[int, int, int]
    step: int


@dataclass
class Forming:
    """Draws the clips of a run every few seconds.

    Args:
        out: Folder of the gallery.
        show: Called when some are drawn.

    Attributes:
        clips: Those drawn last, by unit; finished ones are among them.
    """

    out: Path
    show: Callable[[], None]
    clips: dict[Unit, FormingClip] = field(default_factory=dict)
    _drawings: list[list[Path]] = field(default_factory=list)
    _drawn_at: float = field(default_factory=time.monotonic)

    def draw(self, unit_clips: Mapping[Unit, np.ndarray], step: int) -> None:
        """Writes the strips of clips, and shows them.

        Args:
            unit_clips: By unit, clips `(T, H, W, C)` as a strip shows them.
            step: Steps that they have had.

        Raises:
            OSError: If a strip cannot be written.
        """
        (self.out / FOLDER).mkdir(exist_ok=True)
        for unit, clip in unit_clips.items():
            strip = f"{FOLDER}/{unit.folder}-{unit.channel}-{step}.jpg"
            clips.write(self.out / strip, clip)
            self.clips[unit] = FormingClip(strip, clip.shape[:3], step)
        self.show()
        # Those of the drawing before stay for a page that is open.
        self._drawings.append([self.out / self.clips[unit].strip for unit in unit_clips])
        while len(self._drawings) > _KEPT:
            for path in self._drawings.pop(0):
                path.unlink(missing_ok=True)
        self._drawn_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last drawing is some seconds ago."""
        return time.monotonic() - self._drawn_at >= _EVERY


def clear(out: Path) -> None:
    """Removes the strips of clips that were forming; for a run that has the folder for itself."""
    path = out / FOLDER
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
