"""Localization: whether a heatmap is highest on the pixels of the known evidence."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution.metrics import ties

_REGIONS = ("mask", "box")
_UNITS = ("frame", "clip")


def pointing_game(
    heatmap: ArrayLike, mask: ArrayLike, *, region: str = "mask", per: str = "frame"
) -> float:
    """Pointing game: how often the hottest pixel is on the evidence.

    Args:
        heatmap: `(T, H, W)`, signed.
        mask: bool `(T, H, W)`, true on the evidence.
        region: "mask", or "box": the smallest upright rectangle around the mask of each frame.
        per: "frame", the share of the frames with evidence whose hottest pixel is on it; or
            "clip", whether the hottest pixel of the clip is.

    Returns:
        From 0 to 1. For tied pixels, the share of them on the evidence: chance level for a constant
        map.

    Raises:
        ValueError: Shapes that differ, no evidence, an unknown region or unit.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.metrics import pointing_game
        >>> mask = np.zeros((2, 4, 4), bool)
        >>> mask[0, :2, :2] = True
        >>> pointing_game(mask.astype(float), mask), pointing_game(np.ones((2, 4, 4)), mask)
        (1.0, 0.25)

    Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop",
    https://arxiv.org/abs/1608.00507, without its 15 pixels of tolerance.
    """
    if region not in _REGIONS:
        raise ValueError(f"Expected region= 'mask' or 'box'. Received: {region!r}.")
    if per not in _UNITS:
        raise ValueError(f"Expected per= 'frame' or 'clip'. Received: {per!r}.")
    heat, evidence = _pair(heatmap, mask)
    if region == "box":
        evidence = np.stack([_box(frame) for frame in evidence])
    if per == "clip":
        return ties.argmax_in(heat, evidence)
    frames = np.flatnonzero(evidence.any(axis=(1, 2)))
    return float(np.mean([ties.argmax_in(heat[frame], evidence[frame]) for frame in frames]))


def tube_iou(heatmap: ArrayLike, mask: ArrayLike) -> float:
    """Intersection over union of the hottest pixels and the evidence's tube through the clip.

    As many pixels of the heatmap are taken as the tube has, so that only their order counts.

    Args:
        heatmap: `(T, H, W)`, signed.
        mask: bool `(T, H, W)`, true on the evidence.

    Returns:
        From 0 to 1. Pixels tied at the threshold count by their share: for a constant map,
        `s / (2 - s)` where s is the tube's share of the volume.

    Raises:
        ValueError: Shapes that differ, or no evidence.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.metrics import tube_iou
        >>> mask = np.arange(8).reshape(2, 2, 2) < 4
        >>> tube_iou(mask.astype(float), mask)
        1.0
    """
    heat, evidence = _pair(heatmap, mask)
    size = int(evidence.sum())
    common = float(ties.top_k_mask(heat, size)[evidence].sum())
    return common / (2 * size - common)


def relevance_mass(heatmap: ArrayLike, mask: ArrayLike) -> float:
    """Relevance mass: the share of the positive heat that is on the evidence.

    Args:
        heatmap: `(T, H, W)`, signed; what is below zero counts as none.
        mask: bool `(T, H, W)`, true on the evidence.

    Returns:
        From 0 to 1; the evidence's share of the volume if no heat is positive.

    Raises:
        ValueError: Shapes that differ, or no evidence.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution.metrics import relevance_mass
        >>> mask = np.arange(8).reshape(2, 2, 2) < 2
        >>> relevance_mass(np.ones((2, 2, 2)), mask)
        0.25

    Arras et al. 2022, "CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural
    network explanations", https://arxiv.org/abs/2003.07258
    """
    heat, evidence = _pair(heatmap, mask)
    positive = np.maximum(heat, 0)
    total = positive.sum()
    return float(positive[evidence].sum() / total if total else evidence.mean())


def _pair(heatmap: ArrayLike, mask: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    heat, evidence = ties.finite(heatmap, 3, "heatmap"), np.asarray(mask)
    if evidence.shape != heat.shape or evidence.dtype != bool:
        raise ValueError(
            f"Expected a mask of bools of shape {heat.shape}, as the heatmap's. "
            f"Received: {evidence.dtype} of shape {evidence.shape}."
        )
    if not evidence.any():
        raise ValueError("Expected a mask with evidence. Received: one that is false throughout.")
    return heat, evidence


def _box(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The smallest upright rectangle around what is true in a frame."""
    box = np.zeros_like(mask)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box
