"""The number of clips per batch."""

import os

import keras
import numpy as np

from c3dvis import autodiff
from c3dvis.maximize.subnetwork.cut import Subnetwork

# On a CPU, convolutions of whole clips gain little from being computed together, and lose once
# their activations leave the cache; loops over time and small parts of a clip gain more, and a GPU
# most of all.
_OF_WHOLE_CLIPS, _OF_SMALL_WORK, _ON_GPU = 5, 16, 32
_SMALL = 0.25  # of a clip's volume
# Activations are held twice, as values and as gradients, and convolutions need extra memory.
_COPIES = 4
_SHARE_OF_MEMORY = 0.5


def choose_batch_size(subnetwork: Subnetwork, clip_shape: tuple[int, ...]) -> int:
    """A batch size for a part of a network: from the work a clip is, and the memory at hand.

    Args:
        subnetwork: What an objective reads of a network.
        clip_shape: `(T, H, W, C)`.
    """
    if autodiff.gpu_count():
        # Backends report free GPU memory differently, if at all: just try.
        return _ON_GPU
    volume = np.prod([end - first for first, end in subnetwork.box])
    small = volume <= _SMALL * np.prod(clip_shape[:3])
    looped = any(isinstance(step.layer, keras.layers.RNN) for step in subnetwork.network.steps)
    most = _OF_SMALL_WORK if small or looped else _OF_WHOLE_CLIPS
    memory = free_memory()
    if memory is None:
        return most
    fitting = int(_SHARE_OF_MEMORY * memory // bytes_of_a_clip(subnetwork, clip_shape))
    return max(1, min(most, fitting))


def bytes_of_a_clip(subnetwork: Subnetwork, clip_shape: tuple[int, ...]) -> int:
    """Approximate memory that a step on one clip needs, in bytes."""
    numbers = np.prod(clip_shape)
    for shape in map(subnetwork.network.shape, subnetwork.network.needed):
        # A length that is open is at most the clip's.
        known = [n or clip_shape[min(i, 2)] for i, n in enumerate(shape[1:])]
        numbers += np.prod(known, dtype=np.int64)
    return int(4 * _COPIES * numbers)


def free_memory() -> int | None:
    """Bytes of free main memory; None if the system does not report it."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
