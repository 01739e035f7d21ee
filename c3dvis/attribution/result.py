"""`Attribution`: the heatmap of one clip, and its display."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import clips, files
from c3dvis.attribution import baselines, draw
from c3dvis.attribution.method_names import method_name
from c3dvis.attribution.uncropped import fade_outside, paste
from c3dvis.clips import showing
from c3dvis.objectives import Objective
from c3dvis.objectives.describe import describe
from c3dvis.text import number

# Of the shorter side: 1.5 pixels of 64. Chosen by tube IoU on the clips of seed 1234.
_SMOOTHING = 1.5 / 64


@dataclass(frozen=True, eq=False)
class Attribution:
    """The attribution of an objective's score to the pixels and frames of a clip, by one method.

    A notebook shows it as an animation.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1], the clip that was explained.
        heatmap: float32 `(T, H, W)`, signed and not normalised: positive values support the
            objective, negative ones oppose it; the method determines their unit.
        score: The objective's score of the clip.
        objective: The explained objective, of one unit.
        method: Name of the method.
        settings: Options and results of the method, for JSON.
        perturbed: float32 `(T, H, W, C)`, the clip as changed by the method; None if it changes
            nothing.
        frame_mask: float32 `(T,)` in [0, 1], the importance of each frame; None if the method has
            no such mask.
        frame_scores: float32 `(frames of the output,)`, the class's probability in each frame if
            the network ends in a softmax or sigmoid, else its score; None if the output has no
            frames.
    """

    clip: NDArray[np.float32]
    heatmap: NDArray[np.float32]
    score: float
    objective: Objective
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    perturbed: NDArray[np.float32] | None = None
    frame_mask: NDArray[np.float32] | None = None
    frame_scores: NDArray[np.float32] | None = None

    def __post_init__(self):
        _check_shape("heatmap", self.heatmap, self.clip.shape[:3])
        if self.perturbed is not None:
            _check_shape("perturbed", self.perturbed, self.clip.shape)
        if self.frame_mask is not None:
            _check_shape("frame_mask", self.frame_mask, self.clip.shape[:1])

    def smoothed(self, sigma: float | None = None) -> Attribution:
        """The attribution with blurred absolute values: objects rather than single pixels.

        Gradients change their sign from pixel to pixel within one object. Slightly blurred absolute
        values cover known objects better (benchmarks/attribution.py); the sign is lost.

        Args:
            sigma: Standard deviation of the blur within a frame, in pixels; None means 1.5 pixels
                on frames of 64, and in proportion on others.

        Returns:
            An attribution whose heatmap is not negative; its settings contain the sigma as
            `smoothed`.

        Raises:
            ValueError: A sigma that is not above 0.

        Example:
            >>> from c3dvis import objectives
            >>> clip = np.zeros((1, 8, 8, 3), np.float32)
            >>> heat = np.zeros((1, 8, 8), np.float32)
            >>> heat[0, 4, 3:5] = -1, 1
            >>> attribution = Attribution(clip, heat, 1.0, objectives.logit(0), "gradient")
            >>> float(attribution.smoothed(1.0).heatmap.sum().round(2))
            2.0
        """
        sigma = _SMOOTHING * min(self.clip.shape[1:3]) if sigma is None else sigma
        if not 0 < sigma < np.inf:
            raise ValueError(f"Expected a sigma above 0. Received: {sigma}.")
        heatmap = baselines.gaussian(np.abs(self.heatmap), sigma).astype(np.float32)
        return replace(self, heatmap=heatmap, settings={**self.settings, "smoothed": sigma})

    def overlay(
        self,
        *,
        over: ArrayLike | None = None,
        polarity: str = "both",
        normalize: str = "clip",
        percentile: float = 99.9,
    ) -> NDArray[np.float32]:
        """The heatmap in colour over the grey clip: vermilion for the objective, blue against it.

        Args:
            over: Uncropped frames `(T, height, width, C)` in [0, 1], from which `clips.resize`, or
                `clips.read` with a `size`, made the clip. The heatmap is drawn in the cropped part;
                the rest is paler, outside a line. None means the clip itself.
            polarity: "both", or only "positive" or "negative" values.
            normalize: Whether the strongest colour stands for the largest value of the whole
                "clip" or of each "frame".
            percentile: Percentile of the absolute values that is taken for the largest, up to 100.

        Returns:
            float32 `(T, H, W, 3)` in [0, 1], as large as `over`. For a mask of frames, the clip
            with those frames in their own colours and a vermilion border, the others in grey.

        Raises:
            ValueError: A different number of frames than the clip has, or anything that
                `clips.check` refuses.

        Example:
            >>> from c3dvis import objectives
            >>> film = np.random.default_rng(0).random((4, 30, 60, 3), np.float32)
            >>> clip = clips.resize(film, (8, 8))
            >>> heat = np.ones((4, 8, 8), np.float32)
            >>> attribution = Attribution(clip, heat, 1.0, objectives.logit(0), "gradient")
            >>> attribution.overlay(over=film).shape
            (4, 30, 60, 3)
        """
        overlay = draw.overlay if self.frame_mask is None else draw.highlight_frames
        return overlay(
            self._frames(over),
            self.heatmap,
            polarity=polarity,
            normalize=normalize,
            percentile=percentile,
        )

    def animation(self, **options: Any) -> NDArray[np.float32]:
        """Clip, overlay and perturbed clip (if there is one) side by side, over a bar of frames.

        The bar has one mark per frame, with the current frame underlined. Marks show the mask of
        frames or, without one, the sum of each frame's heat. If the network scores each frame,
        columns above the bar show the scores.

        Args:
            **options: Options of `overlay`.

        Returns:
            float32 `(T, height, width, 3)` in [0, 1]; small clips are enlarged.
        """
        return draw.animation(*self._panels(**options), self._frame_weights(), self.frame_scores)

    def save(self, path: str | os.PathLike[str], *, fps: float = 8, **options: Any) -> None:
        """Writes the animation to a file.

        Args:
            path: Ending in .gif, .mp4 or .webp for an animation, in .png for a contact sheet with
                a column for each frame.
            fps: Frames per second.
            **options: Options of `overlay`.

        Raises:
            ValueError: Another ending, or a folder that does not exist.

        Example:
            >>> import tempfile
            >>> from c3dvis import objectives
            >>> clip = np.zeros((4, 8, 8, 3), np.float32)
            >>> heatmap = np.zeros((4, 8, 8), np.float32)
            >>> attribution = Attribution(clip, heatmap, 1.0, objectives.logit(0), "gradient")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     attribution.save(f"{folder}/gradient.gif")
            ...     os.listdir(folder)
            ['gradient.gif']
        """
        if files.as_path(path).suffix.lower() == ".png":
            panels = self._panels(**options)
            picture = draw.contact_sheet(*panels, self._frame_weights(), self.frame_scores)
            clips.write(path, picture[None], fps=fps)
        else:
            clips.write(path, self.animation(**options), fps=fps)

    def _panels(
        self, *, over: ArrayLike | None = None, **options: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]:
        """The clip, its overlay, and the perturbed clip, all as large as `over`."""
        frames, size = self._frames(over), self.clip.shape[1:3]
        perturbed = self.perturbed
        if perturbed is not None:
            perturbed = fade_outside(paste(clips.to_rgb(perturbed), clips.to_rgb(frames)), size)
        return fade_outside(frames, size), self.overlay(over=over, **options), perturbed

    def _frames(self, over: ArrayLike | None) -> NDArray[np.float32]:
        """The clip, or the frames that it was made from."""
        if over is None:
            return self.clip
        frames = clips.check(over)
        if len(frames) != len(self.clip):
            raise ValueError(
                f"Expected over= the {len(self.clip)} frames that the clip was made from. "
                f"Received: {len(frames)} frames."
            )
        return frames

    def _frame_weights(self) -> NDArray[np.float32]:
        return draw.frame_weights(self.heatmap) if self.frame_mask is None else self.frame_mask

    @property
    def objective_name(self) -> str:
        """The objective in words: "logit of moving left"."""
        return describe(self.objective)

    @property
    def deciding_frames(self) -> str:
        """The frames that decided, in words: those of the mask, or those with half of the heat."""
        if self.frame_mask is not None:
            return in_words(np.flatnonzero(self.frame_mask >= 0.5).tolist())
        return f"half of the heat in {in_words(half_of_the_heat(self.heatmap))}"

    @property
    def highest_frame(self) -> str | None:
        """The frame with the highest score of the class, in words; None without frame scores."""
        if self.frame_scores is None:
            return None
        highest = int(self.frame_scores.argmax())
        kind = "" if len(self.frame_scores) == len(self.clip) else "of the output "
        return f"highest in frame {highest} {kind}({number(float(self.frame_scores[highest]))})"

    @property
    def caption(self) -> str:
        """One line: the method, the objective and its score, and limits that were not met."""
        complete = self.settings.get("complete", True)
        incomplete = "" if complete else ", not complete"
        if not self.settings.get("within_tolerance", True):
            incomplete += ", not within tolerance"
        incomplete += "" if self.heatmap.any() else ", heatmap 0 everywhere"
        frames = "" if self.frame_mask is None else f", {self.deciding_frames}"
        highest = "" if self.frame_scores is None else f", {self.highest_frame}"
        score = f"score {self.score:.3f}"
        return f"{self.method}: {self.objective_name}, {score}{incomplete}{frames}{highest}"

    def __repr__(self) -> str:
        return f"Attribution({self.caption}; clip {self.clip.shape})"

    def _repr_html_(self) -> str:
        return showing.figure(self.animation(), self.caption)


class Attributions(list[Attribution]):
    """A list of attributions that a notebook shows side by side, up to 32 of them."""

    def _repr_html_(self) -> str:
        return _side_by_side(self)


class ByMethod(dict[str, Any]):
    """Attributions, or lists of them, by the name of the method; a notebook shows all.

    A method is found by any of its names: `results["GradCAM"]` is `results["grad_cam"]`.
    """

    def __missing__(self, given: str) -> Any:
        try:
            name = method_name(given)
        except ValueError as error:
            raise KeyError(str(error)) from None
        if name not in self:
            raise KeyError(given)
        return self[name]

    def _repr_html_(self) -> str:
        each = [[one] if isinstance(one, Attribution) else one for one in self.values()]
        return _side_by_side([attribution for listed in each for attribution in listed])


def _side_by_side(attributions: Sequence[Attribution]) -> str:
    return showing.row(
        [one.animation() for one in attributions], [one.caption for one in attributions]
    )


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if tuple(np.shape(array)) != tuple(shape):
        raise ValueError(f"Expected {name} of shape {shape}. Received: {np.shape(array)}.")


def half_of_the_heat(heatmap: NDArray[np.float32]) -> list[int]:
    """The fewest frames that together hold half of a heatmap's absolute values, in order.

    Example:
        >>> half_of_the_heat(np.array([1, 3, -4, 1], np.float32).reshape(4, 1, 1))
        [1, 2]
    """
    heat = np.abs(heatmap).sum(axis=(1, 2), dtype=np.float64)
    if not heat.any():
        return []
    order = np.argsort(-heat, kind="stable")
    count = int(np.searchsorted(np.cumsum(heat[order]), heat.sum() / 2)) + 1
    return sorted(order[:count].tolist())


def in_words(frames: Iterable[int]) -> str:
    """Numbers of frames in words.

    Example:
        >>> in_words([7]), in_words([3, 4, 5, 9])
        ('frame 7', 'frames 3 to 5, 9')
        >>> in_words([])
        'no frame'
    """
    frames = list(frames)
    runs = [
        [frame for _, frame in run]
        for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])
    ]
    texts = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    if not frames:
        return "no frame"
    return f"frame{'' if len(frames) == 1 else 's'} {', '.join(texts)}"
