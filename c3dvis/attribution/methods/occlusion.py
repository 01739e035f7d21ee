"""Occlusion: how much the score drops when a block of pixels and frames is hidden."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution.blocks import Blocks, Window, measure_drops
from c3dvis.attribution.convergence import check_tolerance
from c3dvis.attribution.masks import perturbations
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer


def attribute(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    block: tuple[int, int, int] | None = None,
    stride: tuple[int, int, int] | None = None,
    perturbation: str = "blur",
    tolerance: float | None = None,
) -> Attribution:
    """Drop of the score when a spatiotemporal block is hidden, as the block slides over the clip.

    The heat of a pixel is the mean drop over all blocks that hide it. Blocks at the end of an axis
    are shifted inside, so that all have the same size.

    Args:
        scorer: The network and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        block: Frames, rows and columns of the block; None means a quarter of the clip's frames and
            a sixth of its rows and columns.
        stride: Distance from one block to the next along each axis; None means half a block.
        perturbation: What replaces a block: "blur", of 20 pixels, or "fade", black.
        tolerance: Searches from coarse to fine: windows of up to 4 x 4 x 4 neighbouring blocks are
            hidden first, and those that change the score most are split until the error bound is at
            most this; None hides every block. The bound assumes that no block changes the score
            more than a window that contains it. Blocks that cancel or replace each other break the
            assumption, so it is not a guarantee; docs/attribution.md reports how well it held. It
            is relative as in `convergence.relative_error`.

    Returns:
        A heatmap in units of the score. `perturbed` is the clip without the block of the largest
        drop; `settings` hold the number of `blocks`, the clips that were scored for them
        (`samples`) and, with a tolerance, the `error_bound` and whether it is within that
        (`within_tolerance`, always true as in the end all blocks are hidden).

    Raises:
        ValueError: A block that is empty or larger than the clip, a stride below 1 or one that
            skips pixels, an unknown perturbation, or a tolerance that is not above 0.

    Example:
        >>> from c3dvis import models
        >>> from c3dvis.attribution import attribute
        >>> from c3dvis.motion import MovingEvidence
        >>> clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
        >>> network = models.build("c3d-motion")
        >>> attribution = attribute(network, clip, method="occlusion", block=(8, 32, 32))
        >>> attribution.heatmap.shape, attribution.settings["blocks"]
        ((16, 64, 64), 27)

    Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901
    """
    check_tolerance(tolerance)
    size = _block(clip.shape[:3], block)
    step = _stride(size, stride)
    # The stronger of two levels; the other is the clip itself.
    hidden = perturbations.pyramid(clip, perturbation, levels=2)[0]
    grid = Blocks(clip.shape[:3], size, step)
    score = float(scorer.scores(clip[None])[0])

    def drops(windows: list[Window]) -> list[float]:
        return list(score - _scores(scorer, clip, hidden, [grid.pixels(w) for w in windows]))

    measured = measure_drops(grid, drops, tolerance)
    settings = {
        "block": list(size),
        "stride": list(step),
        "perturbation": perturbation,
        "blocks": math.prod(grid.counts),
        "samples": measured.samples,
    }
    if tolerance is not None:
        bound = measured.error_bound()
        within = {"error_bound": bound, "within_tolerance": bound <= tolerance}
        settings |= {"tolerance": tolerance, **within}
    return Attribution(
        clip,
        measured.heatmap().astype(np.float32),
        score,
        scorer.objective,
        "occlusion",
        settings,
        perturbed=_without(clip, hidden, grid.pixels(measured.largest())),
    )


def _block(shape: tuple[int, ...], block: tuple[int, ...] | None) -> tuple[int, ...]:
    if block is None:
        return tuple(max(1, n // share) for n, share in zip(shape, (4, 6, 6), strict=True))
    if not all(1 <= b <= n for b, n in zip(block, shape, strict=True)):
        raise ValueError(
            f"Expected a block (frames, rows, columns) from 1 up to {shape}. Received: {block}."
        )
    return tuple(map(int, block))


def _stride(block: tuple[int, ...], stride: tuple[int, ...] | None) -> tuple[int, ...]:
    if stride is None:
        return tuple(math.ceil(b / 2) for b in block)
    if not all(1 <= s <= b for s, b in zip(stride, block, strict=True)):
        raise ValueError(f"Expected a stride from 1 up to the block {block}. Received: {stride}.")
    return tuple(map(int, stride))


def _scores(scorer: Scorer, clip, hidden, blocks) -> NDArray[np.float32]:
    """Scores without each block, computed batch by batch."""
    parts = scorer.batches(len(blocks), clip.shape)
    return np.concatenate(
        [scorer.scores(np.stack([_without(clip, hidden, w) for w in blocks[p]])) for p in parts]
    )


def _without(clip, hidden, where: tuple[slice, ...]) -> NDArray[np.float32]:
    occluded = clip.copy()
    occluded[where] = hidden[where]
    return occluded
