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
"""What a frame of the mask costs, in probability."""
VARIATION_WEIGHT = 0.02
"""What the cubed total variation of the mask costs, in probability."""

# Frames of a higher mask belong to a run that reverse mirrors.
_RUN = 0.1
# Masks count as on above it where they are shown or measured.
_SNAP = 0.5


def freeze_matrices(masks):
    """What freezing does to frames, `(N, T, T)`, of masks `(N, T)` in [0, 1].

    The first frame stays, and each frame holds on to the one before it by as much as its mask:
    `x'_0 = x_0`, `x'_t = (1 - m_t) x_t + m_t x'_{t-1}`.

    Mänttäri et al. 2020, "Interpreting Video Features: a Comparison of 3D Convolutional Networks
    and Convolutional LSTM Networks", https://arxiv.org/abs/2002.00367
    """
    frames = masks.shape[-1]
    held = masks * np.r_[0, np.ones(frames - 1)].astype(np.float32)
    made = (1 - held)[..., None] * ops.eye(frames)
    reach = 1
    # Each round doubles how far back a frame can hold: `held` is the product of that many masks.
    while reach < frames:
        made = made + held[..., None] * _later(made, reach)
        held = held * _later(held, reach)
        reach *= 2
    return made


def reverse_matrices(masks):
    """What reversing does to frames, `(N, T, T)`, of masks `(N, T)` in [0, 1].

    Each run of frames whose mask is above 0.1 is mirrored in time; a frame is blended with its
    mirror image by as much as its own mask. In the published code both frames of a pair are
    blended by the mask of the first of them, and that of the second has no gradient.

    Mänttäri et al. 2020, https://arxiv.org/abs/2002.00367
    """
    frames = masks.shape[-1]
    times = np.arange(frames)
    still = (masks <= _RUN)[:, None]
    past, future = times[None] <= times[:, None], times[None] >= times[:, None]
    before = ops.max(ops.where(ops.logical_and(still, past), times, -1), axis=-1)
    after = ops.min(ops.where(ops.logical_and(still, future), times, frames), axis=-1)
    mirror = ops.one_hot(before + after - times, frames)
    moved = ops.where(masks > _RUN, masks, 0.0)[..., None]
    return (1 - moved) * ops.eye(frames) + moved * mirror


PERTURBATIONS = MappingProxyType({"freeze": freeze_matrices, "reverse": reverse_matrices})
"""Functions of masks `(N, T)` that give matrices `(N, T, T)`, by name."""


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
    """Probability of the class for a clip under each mask, `(N,)`.

    No more perturbed clips exist at once than the network takes.
    """
    masks, size = check_masks(masks, len(clip)), scorer.rows(clip.shape)
    firsts = range(0, len(masks), size)
    return np.concatenate(
        [scorer.probabilities(perturb(clip, masks[first : first + size], by)) for first in firsts]
    )


def matrices(by: str) -> Callable:
    """The function of masks that a perturbation's name stands for."""
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


def cost(masks):
    """What masks `(N, T)` cost by their size and by how much they vary, `(N,)`."""
    return AREA_WEIGHT * ops.sum(masks, axis=-1) + VARIATION_WEIGHT * variation(masks)


def snapped(mask: ArrayLike) -> NDArray[np.bool_]:
    """Which frames of a mask are on, as it is shown and measured."""
    return np.asarray(mask) > _SNAP


def spread(mask: NDArray[np.float32], clip: NDArray) -> NDArray[np.float32]:
    """A mask of frames as a heatmap `(T, H, W)`: the same for all pixels of a frame."""
    return np.repeat(mask, np.prod(clip.shape[1:3])).reshape(clip.shape[:3]).astype(np.float32)


def check_masks(masks: ArrayLike, frames: int) -> NDArray[np.float32]:
    """Masks as float32 `(N, T)`, or what is wrong with them."""
    array = np.asarray(masks, np.float32)
    if array.ndim != 2 or array.shape[1] != frames:
        raise ValueError(f"Expected masks of shape (N, {frames}). Received: {array.shape}.")
    if not ((array >= 0) & (array <= 1)).all():
        low, high = array.min(), array.max()
        raise ValueError(f"Expected masks in [0, 1]. Received: values from {low} to {high}.")
    return array


def _later(rows, frames: int):
    """`(N, T, ...)` moved later by some frames; zeros come in from before the clip."""
    padding = [(0, 0), (frames, 0)] + [(0, 0)] * (len(rows.shape) - 2)
    return ops.pad(rows[:, :-frames], padding)
