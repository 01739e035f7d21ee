"""The result of maximizing one unit."""

from dataclasses import dataclass

import numpy as np

from c3dvis import clips as clip_values


@dataclass(frozen=True)
class MaximizedClip:
    """One clip that was maximized for one unit.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1]; with one channel more where it is transparent.
        score: The objective's score of this clip without transforms, over grey if it is
            transparent.
        status: "ok"; "no gradient" if nothing changed the score; "failed" if the score became NaN
            or infinite, and the clip is the last one before that.
        failed_step: Step from 0 at which it failed, else None.
    """

    clip: np.ndarray
    score: float
    status: str
    failed_step: int | None = None

    def __repr__(self) -> str:
        return f"MaximizedClip({self.status}, score {self.score:.3g}, clip {self.clip.shape})"

    def _repr_html_(self) -> str:
        return clip_values.show(
            [self.clip], captions=[f"{self.status}, score {self.score:.3g}"]
        ).html
