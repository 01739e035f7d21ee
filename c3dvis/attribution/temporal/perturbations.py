"""Freezing and reversing a clip's frames under a mask of frames.

Both are linear in the clip: every frame of the perturbed clip is a mixture of the clip's frames,
`x' = W(m) x` with one matrix `(T, T)` a mask.
"""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from c3dvis.attribution.scorer import Scorer

AREA_WEIGHT = 0.01
"""Penalty of each frame of the mask, in probability."""
VARIATION_WEIGHT = 0.02
"""Penalty of the cubed total variation of the mask, in probability."""

# Frames whose mask is higher belong to a run that `reverse_matrices` mirrors.
_RUN_THRESHOLD = 0.1
# Frames whose mask is higher are on where a mask is shown or measured.
_BINARY_THRESHOLD = 0.5


def freeze_matrices(masks):
    """Matrices `(N, T, T)` that freeze frames under masks `(N, T)` in [0, 1].

    The first frame stays; each other frame is replaced by the one before it in proportion to its
    mask:
    `x'_0 = x_0`, `x'_t = (1 - m_t) x_t + m_t x'_{t-1}`.

    Mänttäri et al. 2020, "Interpreting Video Features: a Comparison of 3D Convolutional Networks
    and Convolutional LSTM Networks", https://arxiv.org/abs/2002.00367
    """
    frames = masks.shape[-1]
    product = ops.multiply(masks, np.r_[0, np.ones(frames - 1)].astype(np.float32))
    matrices = (1 - product)[..., None] * ops.eye(frames, dtype="float32")
    # Each round doubles the number of earlier frames: `product` is that of so many masks.
    reach = 1
    while reach < frames:
        matrices = matrices + product[..., None] * _delay(matrices, reach)
        product = product * _delay(product, reach)
        reach *= 2
    return matrices


def reverse_matrices(masks):
    """Matrices `(N, T, T)` that reverse frames under masks `(N, T)` in [0, 1].

    Each run of frames whose mask is above 0.1 is mirrored in time; a frame is blended with its
    mirror image in proportion to its own mask. In the published code the mask of the first frame of
    a pair blends both, and that of the second has no gradient.

    Mänttäri et al. 2020, https://arxiv.org/abs/2002.00367
    """
    frames = masks.shape[-1]
    times = np.arange(frames)
    still = (masks <= _RUN_THRESHOLD)[:, None]
    past, future = times[None] <= times[:, None], times[None] >= times[:, None]
    before = ops.max(ops.where(ops.logical_and(still, past), times, -1), axis=-1)
    after = ops.min(ops.where(ops.logical_and(still, future), times, frames), axis=-1)
    mirror = ops.one_hot(ops.subtract(before + after, times), frames, dtype="float32")
    moved = ops.where(masks > _RUN_THRESHOLD, masks, 0.0)[..., None]
    return (1 - moved) * ops.eye(frames, dtype="float32") + moved * mirror


PERTURBATIONS = MappingProxyType({"freeze": freeze_matrices, "reverse": reverse_matrices})
"""Functions from masks `(N, T)` to matrices `(N, T, T)`, by name."""


def mix_frames(clip, matrices):
    """Clips whose frames are mixtures of a clip's frames.

    Args:
        clip: Tensor `(T, H, W, C)`.
        matrices: Tensor `(N, T, T)`; row `t` holds the share of each frame in frame `t`.

    Returns:
        Tensor `(N, T, H, W, C)`.
    """
    frames = clip.shape[0]
    mixed = ops.matmul(ops.reshape(matrices, (-1, frames)), ops.reshape(clip, (frames, -1)))
    return ops.reshape(mixed, (-1, *clip.shape))


def perturb(clip: NDArray[np.float32], masks: ArrayLike, by: str) -> NDArray[np.float32]:
    """A clip frozen or reversed under masks.

    Args:
        clip: `(T, H, W, C)`.
        masks: `(N, T)` in [0, 1].
        by: "freeze" or "reverse".

    Returns:
        float32 `(N, T, H, W, C)`.

    Example:
        >>> import numpy as np
        >>> from c3dvis.attribution import temporal
        >>> clip = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
        >>> temporal.perturb(clip, [[0, 1, 1, 0]], "freeze").ravel()
        array([0., 0., 0., 3.], dtype=float32)
        >>> temporal.perturb(clip, [[0, 1, 1, 0]], "reverse").ravel()
        array([0., 2., 1., 3.], dtype=float32)
    """
    masks = check_masks(masks, len(clip))
    mixed = mix_frames(ops.convert_to_tensor(clip), matrices(by)(ops.convert_to_tensor(masks)))
    return np.asarray(ops.convert_to_numpy(mixed))


def probabilities(
    scorer: Scorer, clip: NDArray[np.float32], masks: ArrayLike, by: str
) -> NDArray[np.float32]:
    """Probability of the class for a clip under each mask, `(N,)`, computed batch by batch."""
    masks = check_masks(masks, len(clip))
    parts = scorer.batches(len(masks), clip.shape)
    return np.concatenate([scorer.probabilities(perturb(clip, masks[p], by)) for p in parts])


def matrices(by: str) -> Callable:
    """The function of `PERTURBATIONS` of this name."""
    if by not in PERTURBATIONS:
        names = " or ".join(map(repr, PERTURBATIONS))
        raise ValueError(f"Expected a perturbation of time, {names}. Received: {by!r}.")
    return PERTURBATIONS[by]


def variation(masks):
    """Cubed total variation `(N,)` of masks `(N, T)`, with the exponents of the paper.

    For each frame but the first and last, the cubes of its differences to both neighbours. The
    paper takes the cube root of their sum and then its cube: the same value, but its gradient at
    0 is not a number.
    """
    cubes = ops.abs(masks[:, 1:] - masks[:, :-1]) ** 3
    return ops.sum(cubes[:, :-1], axis=-1) + ops.sum(cubes[:, 1:], axis=-1)


def penalty(masks):
    """Penalty `(N,)` of the size and variation of masks `(N, T)`."""
    return AREA_WEIGHT * ops.sum(masks, axis=-1) + VARIATION_WEIGHT * variation(masks)


def binarize(mask: ArrayLike) -> NDArray[np.bool_]:
    """The frames of a mask that are on: above 0.5."""
    return np.asarray(mask) > _BINARY_THRESHOLD


def frame_heatmap(mask: NDArray[np.float32], clip: NDArray) -> NDArray[np.float32]:
    """A mask of frames as a heatmap `(T, H, W)`: the same for all pixels of a frame."""
    return np.repeat(mask, np.prod(clip.shape[1:3])).reshape(clip.shape[:3]).astype(np.float32)


def check_masks(masks: ArrayLike, frames: int) -> NDArray[np.float32]:
    """Masks as float32 `(N, T)`; ValueError for another shape, or values outside [0, 1]."""
    array = np.asarray(masks, np.float32)
    if array.ndim != 2 or array.shape[1] != frames:
        raise ValueError(f"Expected masks of shape (N, {frames}). Received: {array.shape}.")
    if not ((array >= 0) & (array <= 1)).all():
        low, high = array.min(), array.max()
        raise ValueError(f"Expected masks in [0, 1]. Received: values from {low} to {high}.")
    return array


def _delay(rows, frames: int):
    """`(N, T, ...)` shifted later by some frames, zeros before."""
    padding = [(0, 0), (frames, 0)] + [(0, 0)] * (len(rows.shape) - 2)
    return ops.pad(rows[:, :-frames], padding)
