"""Film strips of unfinished clips, which the page shows while the clips are being made."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from c3dvis import clips
from c3dvis.gallery.plan import Unit

# Subfolder of the gallery; it exists only during a run.
FOLDER = "forming"
# Seconds between two drawings.
_INTERVAL = 5
# Drawings whose files are kept.
_KEPT = 2


@dataclass(frozen=True)
class FormingClip:
    """A clip that is being made.

    Attributes:
        strip: Path of its film strip inside the gallery.
        shape: Frames, height and width.
        step: Number of steps so far.
    """

    strip: str
    shape: tuple[int, int, int]
    step: int


@dataclass
class Forming:
    """Draws the unfinished clips of a run every few seconds.

    Args:
        out: Folder of the gallery.
        show: Called after each drawing.

    Attributes:
        clips: By unit, the clip drawn last; it may be finished by now.
    """

    out: Path
    show: Callable[[], None]
    clips: dict[Unit, FormingClip] = field(default_factory=dict)
    _drawings: list[list[Path]] = field(default_factory=list)
    _drawn_at: float = field(default_factory=time.monotonic)

    def draw(self, unit_clips: Mapping[Unit, np.ndarray], step: int) -> None:
        """Writes the film strips of clips and calls `show`.

        Args:
            unit_clips: By unit, a clip `(T, H, W, C)` in RGB.
            step: Number of steps so far.

        Raises:
            OSError: If a strip cannot be written.
        """
        (self.out / FOLDER).mkdir(exist_ok=True)
        for unit, clip in unit_clips.items():
            strip = f"{FOLDER}/{unit.folder}-{unit.channel}-{step}.jpg"
            clips.write(self.out / strip, clip)
            self.clips[unit] = FormingClip(strip, clip.shape[:3], step)
        self.show()
        # An open page still shows the previous strips.
        self._drawings.append([self.out / self.clips[unit].strip for unit in unit_clips])
        while len(self._drawings) > _KEPT:
            for path in self._drawings.pop(0):
                path.unlink(missing_ok=True)
        self._drawn_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time for the next drawing."""
        return time.monotonic() - self._drawn_at >= _INTERVAL


def clear(out: Path) -> None:
    """Removes the strips of unfinished clips; no other run may be writing the folder."""
    path = out / FOLDER
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
